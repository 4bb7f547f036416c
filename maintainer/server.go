package maintainer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/rpcerr"
)

const (
	// maxMessage bounds a message: a full report has one line for each span of a node.
	maxMessage = 64 << 20
	// minPing is the shortest interval at which peers may ask whether the connection lives.
	minPing = 3 * time.Second
	// keepalivePeriod and keepaliveTimeout notice peers whose host has gone without a word.
	keepalivePeriod  = 10 * time.Second
	keepaliveTimeout = 5 * time.Second
	// stopGrace is how long calls may go on when the process stops.
	stopGrace = time.Second
)

func newServer(m *Maintainer) *grpc.Server {
	creds := insecure.NewCredentials()
	if m.cfg.ServerTLS != nil {
		creds = credentials.NewTLS(m.cfg.ServerTLS)
	}
	s := grpc.NewServer(
		grpc.Creds(creds),
		grpc.ChainUnaryInterceptor(rpcerr.UnaryServer(m.log)),
		grpc.ChainStreamInterceptor(rpcerr.StreamServer(m.log)),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepalivePeriod, Timeout: keepaliveTimeout}),
	)
	sessionv1.RegisterSessionServer(s, sessions{m: m})
	controlv1.RegisterControlServer(s, m.control)
	return s
}

// serve answers until ctx ends. A killed process breaks all connections at once.
func (m *Maintainer) serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- m.server.Serve(m.cfg.Listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	calm := time.AfterFunc(stopGrace, m.server.Stop)
	defer calm.Stop()
	if context.Cause(ctx) == nil || errors.Is(context.Cause(ctx), context.Canceled) {
		m.server.GracefulStop()
	} else {
		m.server.Stop()
	}
	if err := <-served; err != nil {
		m.log.Debug("no longer serving", zap.Error(err))
	}
	return nil
}

// dial connects to another maintainer. The caller closes the connection.
func (m *Maintainer) dial(address string) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if m.cfg.TLS != nil {
		creds = credentials.NewTLS(m.cfg.TLS)
	}
	return grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return m.cfg.Dial(ctx, address) }),
		grpc.WithChainUnaryInterceptor(rpcerr.UnaryClient()),
		grpc.WithChainStreamInterceptor(rpcerr.StreamClient()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepalivePeriod, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
	)
}
