package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Dispatcher is one worker process of a cluster.
type Dispatcher struct {
	cfg       Config
	workloads map[string]Workload
	log       *zap.Logger
	stats     stats
	started   atomic.Bool

	// The rest belongs to Run's goroutine.

	dir *dataDir
	// past are the instances of this process whose session is over and of which nothing runs any more.
	past map[string]bool
	// kill ends everything as if the process had died.
	kill context.CancelCauseFunc
}

// New makes a dispatcher that runs these workloads, by name. It starts nothing.
func New(cfg Config, workloads map[string]Workload) (*Dispatcher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(workloads); err != nil {
		return nil, err
	}
	return &Dispatcher{
		cfg: cfg, workloads: maps.Clone(workloads), past: map[string]bool{},
		log: cfg.Logger.Named("dispatcher").With(zap.String("node", cfg.Name)),
	}, nil
}

var errStarted = errors.New("dispatcher: Run was called before")

// Run works until ctx ends, and then stops cleanly: it closes every span, hands it back and ends its session. It
// returns when nothing of it runs any more. A lost session is replaced by a new one; only what no retry can help is
// an error.
func (d *Dispatcher) Run(ctx context.Context) error {
	if d.started.Swap(true) {
		return errStarted
	}
	// A clean stop needs etcd for a while after ctx has ended.
	alive, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)
	d.kill = kill
	err := d.sessions(ctx, alive)
	var dead killed
	if errors.As(context.Cause(alive), &dead) {
		return dead.error
	}
	return err
}

// sessions lives one session after the other.
func (d *Dispatcher) sessions(ctx, alive context.Context) (err error) {
	if d.dir, err = openDataDir(ctx, d.cfg.DataDir, d.log); err != nil {
		return unlessStopped(ctx, err)
	}
	defer d.dir.close()
	wait := retryPause
	for {
		if ctx.Err() != nil {
			return nil
		}
		s, err := d.register(ctx)
		if err != nil {
			return unlessStopped(ctx, err)
		}
		if err := d.live(alive, ctx.Done(), s); !errors.Is(err, errLost) || ctx.Err() != nil {
			return err
		}
		if s.lasted(d.cfg.TTL) {
			wait = retryPause
		}
		_ = pause(ctx, wait/2+jitter(wait))
		wait = min(2*wait, maxRetryPause)
	}
}

func (s *session) lasted(d time.Duration) bool { return time.Since(s.node.StartedAt) > d }

func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// killed is the cause of everything that ends because a failpoint says that the process is dead.
type killed struct{ error }

func (k killed) Unwrap() error { return k.error }

// hit is a failpoint. An error means that this process is dead: it ends everything, and etcd stays as it is.
func (d *Dispatcher) hit(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	err := d.cfg.Failpoints.Hit(ctx, name)
	if err != nil {
		err = killed{fmt.Errorf("%s: %w", name, err)}
		d.kill(err)
	}
	return err
}
