package etcdx

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/spanward/spanward/internal/fault"
)

// stragglers is how long the other endpoints are waited for once one has answered. One that hangs is no reason to start
// late.
const stragglers = time.Second

// answer is what one endpoint said of itself.
type answer struct {
	endpoint, version string
	cluster           uint64
	err               error
	definite          bool // err is a fault, whatever the other endpoints say
}

// examine asks all endpoints at once. It returns the first fault, or ETCD_UNREACHABLE if none answered.
func (a *access) examine(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan answer, len(a.endpoints))
	for _, e := range a.endpoints {
		go func() { answers <- a.ask(ctx, e) }()
	}
	pending := len(a.endpoints)
	defer func() {
		cancel()
		for ; pending > 0; pending-- {
			<-answers
		}
	}()
	var first answer
	var late <-chan time.Time
	var cause error
	// If none answers the error says so; only the trouble of some is worth a line of its own.
	var silent []answer
	defer func() {
		for _, s := range silent {
			if first.endpoint != "" {
				a.cfg.Logger.Warn("etcd endpoint does not answer", zap.String("endpoint", s.endpoint), zap.Error(s.err))
			}
		}
	}()
	for pending > 0 {
		select {
		case got := <-answers:
			pending--
			if got.definite {
				return got.err
			}
			if got.err != nil {
				silent = append(silent, got)
				cause = got.err
				continue
			}
			if err := a.fits(got, first); err != nil {
				return err
			}
			if first.endpoint == "" {
				first = got
				t := time.NewTimer(stragglers)
				defer t.Stop()
				late = t.C
			}
		case <-late:
			a.cfg.Logger.Warn("some etcd endpoints do not answer", zap.Int("endpoints", pending))
			return nil
		}
	}
	if _, told := fault.As(cause); told && first.endpoint == "" {
		return cause
	}
	if first.endpoint == "" {
		return a.unreachable(cause)
	}
	return nil
}

// fits checks an endpoint against what is needed and against the first that answered.
func (a *access) fits(got, first answer) error {
	if !atLeast(got.version, minVersion) {
		return fault.New(fault.EtcdTooOld, "this endpoint runs etcd %s; at least %s is needed", got.version, minVersion).
			On(a.cfg.Flag, got.endpoint).Fix("upgrade etcd to %s or later, or use `spanward etcd`", minVersion)
	}
	if first.endpoint != "" && got.cluster != first.cluster {
		return fault.New(fault.WrongCluster, "this endpoint belongs to etcd cluster %x, but %s to %x", got.cluster, first.endpoint, first.cluster).
			On(a.cfg.Flag, got.endpoint).Fix("name endpoints of one etcd cluster only")
	}
	return nil
}

// ask uses a connection of its own to one endpoint, which unlike the client's fails at once and says why.
func (a *access) ask(ctx context.Context, endpoint string) answer {
	creds := insecure.NewCredentials()
	if a.tls != nil {
		creds = credentials.NewTLS(a.tls)
	}
	var connected atomic.Bool
	_, host, _ := strings.Cut(endpoint, "://")
	cc, err := grpc.NewClient("passthrough:///"+host, grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			connected.Store(err == nil)
			return c, err
		}))
	if err != nil {
		return answer{endpoint: endpoint, err: err}
	}
	defer func() { _ = cc.Close() }()
	r, err := a.status(ctx, cc)
	switch {
	case err == nil:
		return answer{endpoint: endpoint, version: r.GetVersion(), cluster: r.GetHeader().GetClusterId()}
	case isAuth(err):
		return answer{endpoint: endpoint, err: a.denied(endpoint, err), definite: true}
	case connected.Load() && status.Code(err) == codes.Unavailable:
		err = a.misunderstood(endpoint, err)
	}
	return answer{endpoint: endpoint, err: err}
}

func (a *access) status(ctx context.Context, cc *grpc.ClientConn) (*pb.StatusResponse, error) {
	if a.cfg.User != "" {
		r, err := pb.NewAuthClient(cc).Authenticate(ctx, &pb.AuthenticateRequest{Name: a.cfg.User, Password: a.password})
		if err != nil && !errors.Is(rpctypes.Error(err), rpctypes.ErrAuthNotEnabled) {
			return nil, err
		}
		ctx = metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, r.GetToken())
	}
	return pb.NewMaintenanceClient(cc).Status(ctx, &pb.StatusRequest{})
}

// isAuth tells etcd's ways of saying who may not come in.
func isAuth(err error) bool {
	err = rpctypes.Error(err)
	for _, e := range []error{
		rpctypes.ErrAuthFailed, rpctypes.ErrUserEmpty, rpctypes.ErrUserNotFound, rpctypes.ErrPermissionDenied, rpctypes.ErrInvalidAuthToken,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return status.Code(err) == codes.Unauthenticated || status.Code(err) == codes.PermissionDenied
}

func (a *access) denied(endpoint string, cause error) error {
	f := fault.New(fault.EtcdAuth, "etcd does not accept this user and password").On(a.field("user"), a.cfg.User).
		Fix("check --%s and --%s", a.field("user"), a.field("password-file"))
	if a.cfg.User == "" {
		f = fault.New(fault.EtcdAuth, "this etcd wants a user").On(a.cfg.Flag, endpoint).
			Fix("add --%s and --%s", a.field("user"), a.field("password-file"))
	}
	return f.Because(cause)
}

// misunderstood is for an endpoint that accepted the connection and then would not talk: nearly always TLS.
func (a *access) misunderstood(endpoint string, cause error) error {
	if a.tls != nil {
		return fault.New(fault.EtcdAuth, "etcd and this client do not accept each other's certificates: %s", reasonOf(cause)).
			On(a.cfg.Flag, endpoint).Fix("check --%s, --%s and --%s", a.field("cacert"), a.field("cert"), a.field("key")).Because(cause)
	}
	return fault.New(fault.EtcdUnreachable, "something answers there, but not as etcd without TLS does").On(a.cfg.Flag, endpoint).
		Fix("check the address; for an etcd with TLS write https:// and give --%s", a.field("cacert")).Because(cause)
}

// reasonOf is the inner part of what gRPC says about a failed connection.
func reasonOf(err error) string {
	text := status.Convert(err).Message()
	for _, part := range []string{"tls: ", "connect: "} {
		if i := strings.LastIndex(text, part); i >= 0 {
			text = text[i:]
		}
	}
	return strings.Trim(text, `"`)
}
