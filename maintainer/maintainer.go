package maintainer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/spanward/spanward/election"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/leases"
	"github.com/spanward/spanward/view"
)

// Maintainer is one replica of the control plane.
type Maintainer struct {
	cfg      Config
	log      *zap.Logger
	clock    leases.Clock
	instance string
	started  time.Time
	view     *view.View
	past     *past
	server   *grpc.Server
	control  *control
	standbys *standbys
	stats    stats
	tuning   *tuning

	// serving are the goroutines of streams, which end with the server.
	serving sync.WaitGroup
	// lead is what this process leads with, nil if it does not.
	lead atomic.Pointer[lead]
	// risen is closed when the process begins to lead, and then replaced.
	risen     chan struct{}
	risenLock sync.Mutex
	// beaten is when the loop of the term made its last turn, on the clock.
	beaten atomic.Int64
	// evidence is what the standby has found out about a leader whose process is gone; the campaign takes it.
	evidence chan election.Evidence
	// campaigning: it has a session and would take the seat if it were free, or has it.
	campaigning atomic.Bool
	// stopping: the process stops cleanly.
	stopping atomic.Bool
	// killed gets the error of a failpoint: the process must do nothing any more.
	killed chan error
}

// lead is a term and the loop that works in it.
type lead struct {
	term *term
	loop *loop
}

// New makes a maintainer and starts nothing.
func New(cfg Config) (*Maintainer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("maintainer: %w", err)
	}
	m := &Maintainer{
		cfg: cfg, log: cfg.Logger.Named("maintainer").With(zap.String("maintainer", cfg.Name)), clock: cfg.Clock,
		instance: uuid.NewString(), standbys: newStandbys(), evidence: make(chan election.Evidence), killed: make(chan error, 1),
		risen: make(chan struct{}), tuning: &tuning{flags: cfg.settings()},
	}
	v, err := view.New(view.Config{Client: cfg.Client, Layout: cfg.Layout, Logger: m.log, Clock: cfg.Clock})
	if err != nil {
		return nil, fmt.Errorf("maintainer: %w", err)
	}
	m.view = v
	m.past = newPast(m.state(), m.clock, cfg.TTL)
	m.control = newControl(m)
	m.server = newServer(m)
	return m, nil
}

// Run serves, waits for its turn to lead, and leads, until ctx ends; then it stops cleanly: a leader names a successor
// and resigns. It returns when everything that it started has stopped.
func (m *Maintainer) Run(ctx context.Context) error {
	m.started = time.Now()
	defer context.AfterFunc(ctx, func() { m.stopping.Store(true) })()
	inner, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	g, inner := errgroup.WithContext(inner)
	g.Go(func() error { return m.view.Run(inner) })
	g.Go(func() error { return m.remember(inner) })
	g.Go(func() error { return m.serve(inner) })
	g.Go(func() error { return m.standBy(inner) })
	g.Go(func() error {
		defer stop(nil)
		return m.take(ctx, inner)
	})
	g.Go(func() error {
		select {
		case err := <-m.killed:
			return err
		case <-inner.Done():
			return nil
		}
	})
	err := g.Wait()
	m.control.close()
	m.serving.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	select {
	case killed := <-m.killed:
		err = errors.Join(killed, err)
	default:
	}
	return err
}

// take keeps one session after the other until ctx ends. The first is over before the next begins.
func (m *Maintainer) take(ctx, inner context.Context) error {
	for ctx.Err() == nil {
		if err := m.session(ctx, inner); err != nil && inner.Err() == nil {
			m.log.Warn("session ended", zap.Error(err))
			pause(ctx, sessionPause)
		}
		if inner.Err() != nil {
			return context.Cause(inner)
		}
	}
	return nil
}

// rememberEvery is how often a standby notes what it may have to know as the leader.
const rememberEvery = 100 * time.Millisecond

// remember keeps what can be known of sessions only by having watched, whoever leads. It polls: what is received from
// the channel must be noted under the lock that the loop takes for the same.
func (m *Maintainer) remember(ctx context.Context) error {
	for pause(ctx, rememberEvery) {
		m.past.catchUp()
	}
	return nil
}

// hit is a failpoint. Its error means that this process is being killed.
func (m *Maintainer) hit(ctx context.Context, name string) error {
	err := m.cfg.Failpoints.Hit(ctx, name)
	if err != nil {
		select {
		case m.killed <- err:
		default:
		}
	}
	return err
}

func (m *Maintainer) state() state { return state{m.view} }

func (m *Maintainer) nameTaken() bool {
	return read(m.state(), func(s *view.State) bool { return s.Maintainer(m.cfg.Name) != nil })
}

// current is the term that this process leads, nil if it does not.
func (m *Maintainer) current() *term {
	t, _ := m.leading()
	return t
}

func (m *Maintainer) leading() (*term, *loop) {
	if l := m.lead.Load(); l != nil && l.term.over.Err() == nil {
		return l.term, l.loop
	}
	return nil, nil
}

// rise makes the term known, also to those that wait for it.
func (m *Maintainer) rise(l *lead) {
	m.risenLock.Lock()
	defer m.risenLock.Unlock()
	m.lead.Store(l)
	close(m.risen)
	m.risen = make(chan struct{})
}

// rising is closed when the process begins to lead the next time.
func (m *Maintainer) rising() <-chan struct{} {
	m.risenLock.Lock()
	defer m.risenLock.Unlock()
	return m.risen
}

// risenWait is how long somebody who asks for the leader here is kept waiting. He has read in the leader key that this
// process leads, which he may know before the process itself does, or before it has caught up.
const risenWait = time.Second

// awaitLead is leading for somebody who has reason to believe that this process leads.
func (m *Maintainer) awaitLead(ctx context.Context) (*term, *loop) {
	limit := time.NewTimer(risenWait)
	defer limit.Stop()
	for !m.stopping.Load() {
		risen := m.rising()
		if t, l := m.leading(); t != nil {
			return t, l
		}
		select {
		case <-risen:
		case <-limit.C:
			return nil, nil
		case <-ctx.Done():
			return nil, nil
		}
	}
	return nil, nil
}

// leaderAddress is where the leader serves, "" if nobody leads as far as this process knows.
func (m *Maintainer) leaderAddress() string {
	if r, _ := m.leaderRecord(); !r.Resigned {
		return r.Address
	}
	return ""
}

// leaderRecord is the leader key as the view knows it, with its term; 0 if there is none.
func (m *Maintainer) leaderRecord() (record.Leader, int64) {
	l := read(m.state(), (*view.State).Leader)
	if l == nil {
		return record.Leader{}, 0
	}
	return l.Leader, l.Term
}

// beat says that the loop of the term works.
func (m *Maintainer) beat() { m.beaten.Store(int64(m.clock())) }

// healthy is asked before each renewal of the session. A leader whose loop hangs must lose it.
func (m *Maintainer) healthy() bool {
	if m.lead.Load() == nil {
		return true
	}
	return m.clock()-time.Duration(m.beaten.Load()) < m.cfg.TTL/2+longestNap
}

// pause waits, and says whether it was for the whole time.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
