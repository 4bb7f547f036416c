package client

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/rpcerr"
)

// Config says which cluster is meant and how to reach it.
type Config struct {
	// Cluster goes into every request that names none; maintainers of another cluster refuse it. Required.
	Cluster string
	// Find gives the addresses of the maintainers. Required.
	Find Finder
	// TLS is for connections to maintainers; nil means plain text.
	TLS *tls.Config
	// Patience is how long a call without a deadline goes on when nobody answers. Zero means 30 s: a leader that
	// hangs is replaced within its session TTL, 5 s by default. Less than that TTL makes take-overs visible.
	Patience time.Duration
	// TryTimeout bounds the first try at each maintainer; every round doubles it. Zero means 5 s. Too short, and calls
	// that are long (creating a keyspace of 100,000 spans) are sent twice; too long, and a hung leader costs that much.
	TryTimeout time.Duration
	// DialOptions are added, for tests and for interceptors.
	DialOptions []grpc.DialOption
}

const (
	defaultPatience = 30 * time.Second
	// nobodyPatience is how long a call without a deadline waits for the first maintainer to register.
	nobodyPatience = 5 * time.Second

	defaultTryTimeout = 5 * time.Second
	minPause          = 20 * time.Millisecond
	maxPause          = 500 * time.Millisecond

	// maxMessage bounds a request and an answer; long lists come as streams.
	maxMessage = 64 << 20
)

func (c Config) withDefaults() Config {
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	if c.TryTimeout == 0 {
		c.TryTimeout = defaultTryTimeout
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Cluster == "" {
		errs = append(errs, errors.New("client: Cluster is required"))
	}
	if c.Find == nil {
		errs = append(errs, errors.New("client: Find is required"))
	}
	if c.Patience < 0 || c.TryTimeout < 0 {
		errs = append(errs, errors.New("client: Patience and TryTimeout must not be negative"))
	}
	return errors.Join(errs...)
}

// Client is a connection to a cluster.
type Client struct {
	cfg Config

	mu     sync.Mutex
	conns  map[string]*grpc.ClientConn
	closed bool
}

// New connects lazily: an error is one of the configuration.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, conns: map[string]*grpc.ClientConn{}}, nil
}

// Control is the control API. Calls are repeated as the package says; a stream is repeated until it is open, and not after.
func (c *Client) Control() controlv1.ControlClient { return controlv1.NewControlClient(c) }

// Close ends all connections, and the calls on them.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	var errs []error
	for _, conn := range c.conns {
		errs = append(errs, conn.Close())
	}
	clear(c.conns)
	return errors.Join(errs...)
}

var errClosed = errors.New("client: closed")

// conn gives the one connection to an address.
func (c *Client) conn(addr string) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	if conn, ok := c.conns[addr]; ok {
		return conn, nil
	}
	// The dialer resolves names itself; gRPC's resolver would need a network of its own in tests.
	conn, err := grpc.NewClient("passthrough:///"+addr, c.dialOptions()...)
	if err != nil {
		return nil, err
	}
	c.conns[addr] = conn
	return conn, nil
}

func (c *Client) dialOptions() []grpc.DialOption {
	creds := insecure.NewCredentials()
	if c.cfg.TLS != nil {
		creds = credentials.NewTLS(c.cfg.TLS)
	}
	return append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithChainUnaryInterceptor(rpcerr.UnaryClient()),
		grpc.WithChainStreamInterceptor(rpcerr.StreamClient()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		// What restarts on its old address should be reached soon.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: minPause, Multiplier: 2, Jitter: 0.2, MaxDelay: maxPause},
			MinConnectTimeout: time.Second,
		}),
	}, c.cfg.DialOptions...)
}

// Invoke is what the generated code calls for every unary method.
func (c *Client) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	c.complete(args)
	if err := checkSize(args); err != nil {
		return err
	}
	return c.retry(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		return conn.Invoke(ctx, method, args, reply, opts...)
	})
}

// checkSize refuses what no maintainer would take in.
func checkSize(req any) error {
	m, ok := req.(proto.Message)
	if !ok {
		return nil
	}
	if size := proto.Size(m); size > maxMessage {
		return fault.New(fault.InvalidArgument, "has %d MiB, and at most %d MiB can be sent", (size+1<<20-1)>>20, maxMessage>>20).
			On("request", string(m.ProtoReflect().Descriptor().Name())).
			Fix("ask for less at a time: a keyspace can be given more ranges with `spanward span add`")
	}
	return nil
}
