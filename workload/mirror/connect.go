package mirror

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/fault"
)

const (
	dialTimeout   = 5 * time.Second
	pingEvery     = 5 * time.Second
	pingTimeout   = 3 * time.Second
	largestOfAny  = 256 << 20 // the destination decides what is too large, not the client
	largestAnswer = 1 << 30
)

// connect makes a client. It does not wait for the etcd, unless a user has to log in.
func connect(ctx context.Context, e Etcd) (*clientv3.Client, error) {
	cfg := clientv3.Config{
		Endpoints: e.Endpoints, DialTimeout: dialTimeout, DialKeepAliveTime: pingEvery, DialKeepAliveTimeout: pingTimeout,
		PermitWithoutStream: true, MaxCallSendMsgSize: largestOfAny, MaxCallRecvMsgSize: largestAnswer,
		Username: e.User, Logger: zap.NewNop(), Context: context.WithoutCancel(ctx),
	}
	var err error
	if cfg.TLS, err = e.tls(); err != nil {
		return nil, err
	}
	if cfg.Password, err = e.password(); err != nil {
		return nil, err
	}
	c, err := clientv3.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", strings.Join(e.Endpoints, ","), err)
	}
	return c, nil
}

// tls is nil unless something asks for it.
func (e Etcd) tls() (*tls.Config, error) {
	if e.CACert == "" && e.Cert == "" && e.Key == "" && !strings.Contains(strings.Join(e.Endpoints, ","), "s://") {
		return nil, nil //nolint:nilnil // nil is how clientv3 is told to use none
	}
	info := transport.TLSInfo{TrustedCAFile: e.CACert, CertFile: e.Cert, KeyFile: e.Key}
	cfg, err := info.ClientConfig()
	if err != nil {
		return nil, fault.New(fault.InvalidArgument, "the certificates cannot be used: %v", err).
			On("cacert", e.CACert+" "+e.Cert+" "+e.Key).Fix("check the files").Because(err)
	}
	return cfg, nil
}

func (e Etcd) password() (string, error) {
	if e.PasswordFile == "" {
		return "", nil
	}
	b, err := os.ReadFile(e.PasswordFile)
	if err != nil {
		return "", fault.New(fault.InvalidArgument, "cannot be read: %v", err).On("password-file", e.PasswordFile).Fix("check the file").Because(err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
