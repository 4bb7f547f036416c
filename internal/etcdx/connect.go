package etcdx

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spanward/spanward/internal/fault"
)

const (
	// defaultDialTimeout is how long an etcd may take to answer for the first time.
	defaultDialTimeout = 5 * time.Second
	// pingInterval is how long a connection may be silent under a request before etcd is asked whether it is there, and
	// pingTimeout how long that answer may take. gRPC allows no shorter interval, and etcd closes connections that ask
	// more often than every five seconds. Whoever needs an answer sooner gives his call a deadline.
	pingInterval = 10 * time.Second
	pingTimeout  = 2 * time.Second
)

// Config says which etcd to use and as whom.
type Config struct {
	// Endpoints are addresses of one etcd cluster: host:port, with http:// or https:// in front or not.
	Endpoints []string
	// CACert is a PEM file of the authorities that may vouch for etcd; empty means those of the system. Cert and Key are
	// this client's. Any of the three makes endpoints without a scheme https.
	CACert, Cert, Key string
	// User logs in with the password in PasswordFile, without its line end. Both or none.
	User, PasswordFile string
	// DialTimeout bounds Connect. Zero means 5 s.
	DialTimeout time.Duration
	// Flag is what the user calls this etcd: faults name the fields Flag, Flag-cacert, Flag-user, and so on. Empty means
	// "etcd".
	Flag string
	// Logger is told which endpoints do not answer. Nil means silence.
	Logger *zap.Logger
}

func (c Config) withDefaults() Config {
	if c.DialTimeout == 0 {
		c.DialTimeout = defaultDialTimeout
	}
	if c.Flag == "" {
		c.Flag = "etcd"
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return c
}

// Connect returns a client of the etcd cluster at the endpoints, after every endpoint that answers has shown that it is
// new enough and belongs to the same cluster as the others. Its errors are faults: INVALID_ARGUMENT, ETCD_UNREACHABLE if
// no endpoint answers, ETCD_AUTH, ETCD_TOO_OLD, WRONG_CLUSTER. The caller closes the client.
func Connect(ctx context.Context, cfg Config) (*clientv3.Client, error) {
	cfg = cfg.withDefaults()
	acc, err := newAccess(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	if err := acc.examine(ctx); err != nil {
		return nil, err
	}
	return acc.connect(ctx)
}

// connect makes the client, which logs in if there is a user.
func (a *access) connect(ctx context.Context) (*clientv3.Client, error) {
	c, err := clientv3.New(clientv3.Config{
		Endpoints: a.endpoints, TLS: a.tls, Username: a.cfg.User, Password: a.password,
		DialTimeout: a.cfg.DialTimeout, DialKeepAliveTime: pingInterval, DialKeepAliveTimeout: pingTimeout,
		DialOptions: DialOptions(),
		// It reports every retry as a warning; those who make the calls say what matters.
		Logger: a.cfg.Logger.Named("etcd").WithOptions(zap.IncreaseLevel(zap.ErrorLevel)),
	})
	switch {
	case err != nil && isAuth(err):
		return nil, a.denied(a.endpoints[0], err)
	case err != nil:
		return nil, a.unreachable(err)
	case ctx.Err() != nil:
		_ = c.Close()
		return nil, a.unreachable(ctx.Err())
	}
	return c, nil
}

func (a *access) unreachable(cause error) error {
	why := "no answer within " + a.cfg.DialTimeout.String()
	if status.Code(cause) == codes.Unavailable {
		why = reasonOf(cause)
	}
	return fault.New(fault.EtcdUnreachable, "no endpoint of etcd answers: %s", why).
		On(a.cfg.Flag, a.listed()).Fix("check that etcd runs and that this address is right").Because(cause)
}
