package view

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/leases"
)

// Config says what a View follows, and how patiently.
type Config struct {
	// Client of etcd. Required.
	Client *clientv3.Client
	// Layout of the keys to follow. Required.
	Layout keys.Layout
	// Logger; nil is silent.
	Logger *zap.Logger
	// Clock that sessions are timed by; nil is leases.Boottime.
	Clock leases.Clock

	// ProbeEvery is how often etcd is asked how far the watch is. Zero means 1 s. It is also how long a revision that
	// changed nothing here may stay unknown to those who do not Wait for it.
	ProbeEvery time.Duration
	// StuckAfter is how long a watch may say nothing at all before it is replaced. Zero means 3 s. If it is not
	// several times ProbeEvery, healthy watches are replaced, which costs little.
	StuckAfter time.Duration
	// PageTimeout bounds the reading of one page of a listing. Zero means 30 s.
	PageTimeout time.Duration
	// PageSize is how many records a page has. Zero means 50,000. For each page etcd counts all records that follow, so
	// small pages take quadratic time.
	PageSize int64
}

const (
	defaultProbeEvery  = time.Second
	defaultStuckAfter  = 3 * time.Second
	defaultPageTimeout = 30 * time.Second
	defaultPageSize    = 50_000

	// nudgeEvery is how often a waiter asks for progress: a revision without changes here is reported on request only.
	nudgeEvery = 50 * time.Millisecond
)

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Clock == nil {
		c.Clock = leases.Boottime
	}
	for d, v := range map[*time.Duration]time.Duration{
		&c.ProbeEvery: defaultProbeEvery, &c.StuckAfter: defaultStuckAfter, &c.PageTimeout: defaultPageTimeout,
	} {
		if *d == 0 {
			*d = v
		}
	}
	if c.PageSize == 0 {
		c.PageSize = defaultPageSize
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Client == nil {
		errs = append(errs, errors.New("no etcd client"))
	}
	if c.Layout == (keys.Layout{}) {
		errs = append(errs, errors.New("no layout"))
	}
	if c.ProbeEvery < 0 || c.StuckAfter < c.ProbeEvery {
		errs = append(errs, fmt.Errorf("probe every %v, stuck after %v: the first must be positive and the shorter", c.ProbeEvery, c.StuckAfter))
	}
	if c.PageTimeout < 0 || c.PageSize < 0 {
		errs = append(errs, fmt.Errorf("pages of %d in %v", c.PageSize, c.PageTimeout))
	}
	return errors.Join(errs...)
}

// View follows the records of a cluster. Run must be running for it to do so.
type View struct {
	cfg Config
	log *zap.Logger
	// nudge asks the watching goroutine to ask etcd how far the watch is.
	nudge chan struct{}

	mu      sync.RWMutex
	state   *State // replaced by a listing, never nil
	gone    vanished
	waiters map[*waiter]bool
	subs    map[*Subscription]bool
	stats   Stats
}

// Stats say what the view has been doing.
type Stats struct {
	// Lists and Watches count how often each was begun.
	Lists, Watches int
	// Heard is when etcd last said anything, zero before the first time.
	Heard time.Time
}

// New makes a view that is empty, at revision 0, until Run has listed.
func New(cfg Config) (*View, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	return &View{
		cfg: cfg, log: cfg.Logger.Named("view"), nudge: make(chan struct{}, 1),
		state: NewState(cfg.Layout), gone: newVanished(), waiters: map[*waiter]bool{}, subs: map[*Subscription]bool{},
	}, nil
}

// Read shows f the state, which stands still meanwhile: f must be quick, must not call methods of the view, and must not
// keep the State. The values it gets from it may be kept.
func (v *View) Read(f func(*State)) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	f(v.state)
}

// Revision is the one up to which the view is complete, 0 before the first listing.
func (v *View) Revision() int64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.state.Revision()
}

// Stats are the counters so far.
func (v *View) Stats() Stats {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.stats
}

// SeenVanish tells when this process saw a session's registration disappear, by the view's clock. It remembers that
// for at least three TTLs of the session.
//
// If it does not remember, because it never saw the session or because that was too long ago, ok is false, and only
// SeenAt is set: if the session is not there now, it was gone by then, or has been for three TTLs.
func (v *View) SeenVanish(session int64) (gone Vanished, ok bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.gone.get(session)
}

// waiter waits for a revision. reached is closed when it is there.
type waiter struct {
	revision int64
	reached  chan struct{}
}

// Wait returns once the view is complete up to a revision, or with ctx's error. Wait(ctx, 1) waits for the first listing.
func (v *View) Wait(ctx context.Context, revision int64) error {
	v.mu.Lock()
	if v.state.Revision() >= revision {
		v.mu.Unlock()
		return nil
	}
	w := &waiter{revision, make(chan struct{})}
	v.waiters[w] = true
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.waiters, w)
	}()
	impatience := time.NewTicker(nudgeEvery)
	defer impatience.Stop()
	for {
		v.poke()
		select {
		case <-w.reached:
			return nil
		case <-impatience.C:
		case <-ctx.Done():
			return fmt.Errorf("the view has not reached revision %d: %w", revision, ctx.Err())
		}
	}
}

func (v *View) poke() {
	select {
	case v.nudge <- struct{}{}:
	default:
	}
}

// apply brings one revision in. It comes from Run's goroutine only, so that the revision cannot move in between.
func (v *View) apply(revision int64, changes []Change) {
	now := v.cfg.Clock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if revision <= v.state.Revision() {
		return // seen already: by the listing, or by the watch before this one
	}
	d := v.state.Apply(revision, changes)
	for _, n := range d.Gone {
		v.gone.add(n, now)
	}
	v.publish(d)
}

// replace puts a listing in the place of the state.
func (v *View) replace(next *State) {
	now := v.cfg.Clock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if next.Revision() < v.state.Revision() {
		v.log.Error("etcd went back in time: restored from a backup, or another cluster",
			zap.Int64("revision", next.Revision()), zap.Int64("seen", v.state.Revision()))
	}
	d := reset(next.Revision())
	for n := range v.state.Nodes() {
		if next.Session(n.Session) == nil {
			d.Gone = append(d.Gone, n)
			v.gone.add(n, now)
		}
	}
	// Sessions may have come and gone between the state before and this one.
	v.gone.unseenUntil(now)
	v.state = next
	v.publish(d)
}

func (v *View) publish(d *Dirty) {
	for w := range v.waiters {
		if w.revision <= d.Revision {
			close(w.reached)
			delete(v.waiters, w)
		}
	}
	if d.empty() {
		return
	}
	for s := range v.subs {
		s.put(d)
	}
}
