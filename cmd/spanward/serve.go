package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
)

// serveFlags are those of every process that serves something.
type serveFlags struct {
	name              string
	listen, advertise string
	readyFile         string
	insecureListen    bool
	clientCA          string
	httpListen        string
	ttl               time.Duration
	log               logFlags
}

// minTTL is the shortest session that etcd's own pace allows.
const minTTL = 2 * time.Second

func (f *serveFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "name in the cluster (required)")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:0", "address to serve at; port 0 chooses a free one")
	flags.StringVar(&f.advertise, "advertise", "", "address to announce (default: the one that it serves at)")
	f.registerCommon(cmd)
	flags.StringVar(&f.clientCA, "tls-client-ca", "", "file with the CA that clients' certificates must come from")
	flags.StringVar(&f.httpListen, "http-listen", "", "address of /metrics, /healthz and /readyz (default: not served)")
	flags.DurationVar(&f.ttl, "session-ttl", 5*time.Second, "how long etcd keeps the session of a silent process; whole seconds, at least 2s")
	fromEnv(flags, "name", "listen", "advertise", "http-listen")
}

// registerCommon has what an etcd needs, too.
func (f *serveFlags) registerCommon(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.readyFile, "ready-file", "", "file to write {name,address,pid} to, at once, when it serves")
	flags.BoolVar(&f.insecureListen, "insecure-listen", false, "allow an address that others can reach without TLS")
	f.log.register(cmd)
}

func (f *serveFlags) check() error {
	if f.name == "" {
		return fault.New(fault.InvalidArgument, "is missing").On("--name", "").Fix("give the process a name of its own")
	}
	if f.ttl < minTTL || f.ttl%time.Second != 0 {
		return fault.New(fault.InvalidArgument, "is not a whole number of seconds of at least two").On("--session-ttl", f.ttl.String()).
			Fix("use 5s, say: longer means later failovers, shorter more of them")
	}
	return keys.CheckName("--name", f.name)
}

// open listens. Without a certificate only this host may be served.
func (f *serveFlags) open(t tlsFlags) (*listener, *tls.Config, error) {
	secure, err := t.server(f.clientCA)
	if err != nil {
		return nil, nil, err
	}
	if err := f.allowed("--listen", f.listen, secure != nil); err != nil {
		return nil, nil, err
	}
	l, err := listen("--listen", f.listen)
	if err != nil {
		return nil, nil, err
	}
	return newListener(l), secure, nil
}

func listen(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fault.New(fault.InvalidArgument, "cannot listen: %s", err).On(flag, address).
			Fix("use HOST:PORT of this machine, and a port that is free; port 0 chooses one").Because(err)
	}
	return l, nil
}

// allowed refuses to serve the network without TLS by accident.
func (f *serveFlags) allowed(flag, address string, secure bool) error {
	if secure || f.insecureListen {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fault.New(fault.InvalidArgument, "is not HOST:PORT: %s", err).On(flag, address).Fix("write 127.0.0.1:0, say")
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fault.New(fault.InvalidArgument, "others can reach it, and there is no TLS").On(flag, address).
		Fix("give --tls-cert and --tls-key, or --insecure-listen if the network is trusted")
}

// announced is the address that others are told.
func (f *serveFlags) announced(l net.Listener) string {
	if f.advertise != "" {
		return f.advertise
	}
	return l.Addr().String()
}

// ready is what --ready-file says.
type ready struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	PID     int    `json:"pid"`
	// HTTP is where /metrics is, null if it is not served.
	HTTP output.Text `json:"http"`
}

func newReady(name, address string) ready {
	return ready{Name: name, Address: address, PID: os.Getpid()}
}

// writeReady puts the whole file in place at once: who waits for it never reads half of it.
func writeReady(path string, r ready) error {
	if path == "" {
		return nil
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return writeFile(path, append(raw, '\n'))
}

func writeFile(path string, raw []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(raw)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// tlsFlags are for connections between processes of a cluster.
type tlsFlags struct{ ca, cert, key string }

// server is nil without a certificate.
func (t tlsFlags) server(clientCA string) (*tls.Config, error) {
	if t.cert == "" && t.key == "" {
		if clientCA != "" {
			return nil, fault.New(fault.InvalidArgument, "needs --tls-cert and --tls-key").On("--tls-client-ca", clientCA).
				Fix("give the server a certificate, too")
		}
		return nil, nil
	}
	pair, err := t.pair()
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if clientCA != "" {
		if cfg.ClientCAs, err = pool("--tls-client-ca", clientCA); err != nil {
			return nil, err
		}
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return cfg, nil
}

// client is nil without a CA: then the connection is not encrypted.
func (t tlsFlags) client() (*tls.Config, error) {
	if t.ca == "" {
		return nil, nil
	}
	roots, err := pool("--tls-ca", t.ca)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if t.cert != "" || t.key != "" {
		pair, err := t.pair()
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

func (t tlsFlags) pair() (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(t.cert, t.key)
	if err != nil {
		return pair, fault.New(fault.InvalidArgument, "certificate and key cannot be read: %s", err).
			On("--tls-cert", t.cert).Fix("give --tls-cert and --tls-key, both PEM files").Because(err)
	}
	return pair, nil
}

func pool(flag, file string) (*x509.CertPool, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fault.New(fault.InvalidArgument, "cannot be read: %s", err).On(flag, file).Fix("name a PEM file").Because(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(raw) {
		return nil, fault.New(fault.InvalidArgument, "holds no certificate").On(flag, file).Fix("name a PEM file")
	}
	return p, nil
}

// server is a component: Run returns when all it has started has stopped.
type server interface {
	Run(ctx context.Context) error
}

// serveFunc is a server.
type serveFunc func(ctx context.Context) error

// Run calls the function.
func (f serveFunc) Run(ctx context.Context) error { return f(ctx) }

// stopped is the end of a server that was told to stop, however its Run puts it.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// serveAll runs helpers for as long as the role runs: they start before it and stop after it.
func serveAll(ctx context.Context, log *zap.Logger, role server, helpers ...server) error {
	began := time.Now()
	around, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	inner, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var g errgroup.Group
	for _, h := range helpers {
		g.Go(func() error {
			err := stopped(around, h.Run(around))
			if err != nil {
				fail(err)
			}
			return err
		})
	}
	err := stopped(inner, role.Run(inner))
	stop()
	if bad := g.Wait(); err == nil {
		err = bad
	}
	log.Info("stopped", zap.Duration("after", time.Since(began).Round(time.Millisecond)), zap.Error(err))
	if err != nil {
		return fmt.Errorf("stopped: %w", err)
	}
	return nil
}
