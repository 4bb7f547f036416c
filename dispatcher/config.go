package dispatcher

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/spanward/spanward/internal/failpoint"
	"github.com/spanward/spanward/internal/rpcerr"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/leases"
)

// Limits of a dispatcher. Each is the most of something that is held, sent or waited for.
const (
	// maxInFlight batches of transactions are sent to etcd at a time.
	maxInFlight = 4
	// linger is how long parts wait for company while another batch is in flight.
	linger = 5 * time.Millisecond
	// maxAsks messages of the leader wait for the loop; then the stream does.
	maxAsks = 16
	// maxInputs of one span wait for its abort; further asks are dropped, and asked again.
	maxInputs = 16
	// maxResults of workload calls wait for the loop; then the calls' goroutines do.
	maxResults = 256
	// maxReportSpans and maxReportBytes bound one report but a full one, which must be whole.
	maxReportSpans = 500
	maxReportBytes = 1 << 20
	// maxStageResults are kept for a leader that cannot be reached; older ones are dropped first.
	maxStageResults = 20_000
	// statusEvery is how often load and the like are sent; changes of state are sent at once. positionsEvery is how often
	// checkpoints are sent of spans of which nothing else has changed.
	statusEvery    = 100 * time.Millisecond
	positionsEvery = time.Second
	// callTimeout bounds every single call to etcd.
	callTimeout = 3 * time.Second
	// closeTry bounds one call of Instance.Close or CloserAt.Hold; another one follows. closeAtTry bounds one of
	// CloserAt.CloseAt, which may have a way to go until it reaches its position; nothing of that way is lost by a timeout.
	closeTry   = time.Minute
	closeAtTry = 2 * time.Minute
	// closePause is the wait before the second try to close; it doubles up to maxClosePause.
	closePause    = 50 * time.Millisecond
	maxClosePause = 10 * time.Second
	// retryPause is the wait after the first error of etcd or the leader; it doubles up to maxRetryPause.
	retryPause    = 10 * time.Millisecond
	maxRetryPause = time.Second
	// fencedPause is how long aborts wait for Observer.Fenced to note which instances the loss has hit.
	fencedPause = 50 * time.Millisecond
	// endPause bounds the wait for aborted instances where the process stops anyway.
	endPause = 2 * time.Second
	// keepalivePeriod and keepaliveTimeout notice a leader's host that has gone without a word.
	keepalivePeriod  = 10 * time.Second
	keepaliveTimeout = 5 * time.Second
)

// Config tells a dispatcher who it is.
type Config struct {
	// Cluster spells the keys. Required.
	Cluster keys.Layout
	// Name of the node. Required; a pattern of [keys.NamePattern]. Only one process runs under a name: others wait.
	Name string
	// Advertise is the address that clients of the workload are sent to; it may be empty.
	Advertise string
	// Client of etcd. Required; it is not closed.
	Client *clientv3.Client
	// TTL of the session, whole seconds, at least two. Zero means 5 s. After a crash the node's spans wait this long;
	// a pause of etcd or of the process longer than this makes everything open again.
	TTL time.Duration
	// DataDir, if set, is locked, and lets a restart on the same host take its name back at once.
	DataDir string
	// Labels and Capacity, the most spans the node takes, are for the scheduler. Zero is no limit.
	Labels   map[string]string
	Capacity int64
	// Version of the program, for people.
	Version string
	// StopTimeout bounds a clean stop: what has not closed by then is aborted. Zero means 8 s.
	StopTimeout time.Duration
	// TLS for the connection to the leader. Nil means plain text. Ignored if Dial is set.
	TLS *tls.Config
	// Dial makes the connection to a leader's address.
	Dial func(address string) (*grpc.ClientConn, error)
	// Clock measures the right to act. Nil means the host's CLOCK_BOOTTIME.
	Clock leases.Clock
	// Logger may be nil.
	Logger *zap.Logger
	// Failpoints may be nil.
	Failpoints *failpoint.Set
	// Observer may be nil.
	Observer Observer
}

// Observer is told what happens to the right to act. Its methods are called from several goroutines.
type Observer interface {
	// Renewed: the session may act until this reading of the clock.
	Renewed(mayActUntil time.Duration)
	// Fenced: the right to act is over; what runs is being aborted.
	Fenced()
}

func (c Config) withDefaults() Config {
	if c.TTL == 0 {
		c.TTL = 5 * time.Second
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = 8 * time.Second
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Dial == nil {
		c.Dial = dialer(c.TLS)
	}
	if c.Clock == nil {
		c.Clock = leases.Boottime
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	c.Labels = maps.Clone(c.Labels)
	return c
}

func (c Config) validate(workloads map[string]Workload) error {
	errs := []error{keys.CheckName("name", c.Name)}
	if c.Cluster == (keys.Layout{}) {
		errs = append(errs, errors.New("dispatcher: Cluster is required"))
	}
	if c.Client == nil {
		errs = append(errs, errors.New("dispatcher: Client is required"))
	}
	if c.TTL < 2*time.Second || c.TTL%time.Second != 0 {
		errs = append(errs, fmt.Errorf("dispatcher: TTL %v is not a whole number of seconds of at least two", c.TTL))
	}
	if c.StopTimeout < 0 || c.Capacity < 0 {
		errs = append(errs, errors.New("dispatcher: StopTimeout and Capacity must not be negative"))
	}
	if len(workloads) == 0 {
		errs = append(errs, errors.New("dispatcher: no workload"))
	}
	for name, w := range workloads {
		errs = append(errs, keys.CheckName("workload", name))
		if w == nil {
			errs = append(errs, fmt.Errorf("dispatcher: workload %q is nil", name))
		}
	}
	return errors.Join(errs...)
}

// dialer connects to leaders as [Config.TLS] says.
func dialer(secure *tls.Config) func(string) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if secure != nil {
		creds = credentials.NewTLS(secure)
	}
	return func(address string) (*grpc.ClientConn, error) {
		return grpc.NewClient(address,
			grpc.WithTransportCredentials(creds),
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepalivePeriod, Timeout: keepaliveTimeout}),
			grpc.WithStreamInterceptor(rpcerr.StreamClient()),
		)
	}
}

func workloadNames(workloads map[string]Workload) []string {
	return slices.Sorted(maps.Keys(workloads))
}

type nobody struct{}

func (nobody) Renewed(time.Duration) {}
func (nobody) Fenced()               {}
