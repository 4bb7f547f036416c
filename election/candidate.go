package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/leases"
)

const (
	// callTimeout bounds one request to etcd; the next one goes to another endpoint.
	callTimeout = time.Second
	// defaultGrace is the head start of a named successor. It takes a few milliseconds if it is there at all.
	defaultGrace = 250 * time.Millisecond
	// drainPoll is how often a draining candidate asks whether it still is.
	drainPoll = 250 * time.Millisecond
)

// Errors that callers tell apart.
var (
	// ErrTermOver says that a seat is no longer its holder's.
	ErrTermOver = errors.New("the term is over")
	// ErrResigned says that Resign ended the term.
	ErrResigned = fmt.Errorf("%w: resigned", ErrTermOver)
	// ErrRefused says that Depose did not try; nothing has changed.
	ErrRefused = errors.New("deposing refused")
	// ErrSeated says that this candidate holds a seat already.
	ErrSeated = errors.New("the candidate holds the seat")
)

// Config says who the candidate is.
type Config struct {
	Client *clientv3.Client
	// Key is the key of the seat, the same for all candidates.
	Key string
	// Self is what the key says while this candidate leads. Instance must be unique to the process.
	Self record.Leader
	// Session is the process's own; the key hangs on its lease. Its Run must be running.
	Session *leases.Session
	// Draining, if not nil, keeps the candidate from campaigning while it returns true. It must not block.
	Draining func() bool
	// Grace is how long others leave a resigned seat to its named successor. Zero means 250 ms; a longer grace delays the
	// next leader by that much if the successor is dead, a shorter one lets others take the seat from a busy successor.
	Grace time.Duration
	// Logger is told who leads. Nil means silence.
	Logger *zap.Logger
}

func (c Config) withDefaults() Config {
	if c.Draining == nil {
		c.Draining = func() bool { return false }
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	c.Self.Resigned, c.Self.Successor = false, ""
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Client == nil || c.Session == nil {
		errs = append(errs, errors.New("a candidate needs a client and a session"))
	}
	if c.Key == "" {
		errs = append(errs, errors.New("a candidate needs the key of the seat"))
	}
	if c.Self.Maintainer == "" || c.Self.Instance == "" {
		errs = append(errs, errors.New("a candidate needs a name and an instance"))
	}
	if c.Grace < 0 {
		errs = append(errs, fmt.Errorf("grace %v: want none or more", c.Grace))
	}
	return errors.Join(errs...)
}

// Candidate takes part in the election for one process. Campaign and Depose may run at the same time: one of them gets the
// seat, the other ErrSeated.
type Candidate struct {
	cfg   Config
	value string // of the key while this candidate leads

	mu      sync.Mutex
	seat    *Seat         // the last one, nil before the first
	deposed time.Duration // when this candidate last deposed, on the session's clock
	ever    bool          // it has
}

// New checks the configuration. It starts nothing.
func New(cfg Config) (*Candidate, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Candidate{cfg: cfg, value: string(record.EncodeLeader(cfg.Self))}, nil
}

// seated reports whether the last seat is still held.
func (c *Candidate) seated() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seat != nil && c.seat.Err() == nil
}

// used reports whether a term is over that this candidate has had. Such a term is not taken up again, even if the key
// still shows it: the candidate then swaps the key for a new term.
func (c *Candidate) used(term int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seat != nil && (term < c.seat.term || term == c.seat.term && c.seat.Err() != nil)
}

// won makes the seat of a term, once: Campaign and Depose may both find that it was won. The session may have ended
// since; then the seat must not be taken, and the key goes with the lease.
func (c *Candidate) won(term int64) (*Seat, error) {
	s := &Seat{candidate: c, term: term, lost: make(chan struct{})}
	c.mu.Lock()
	if c.seat != nil && term <= c.seat.term {
		c.mu.Unlock()
		return nil, ErrSeated
	}
	c.seat = s
	c.mu.Unlock()
	if err := c.cfg.Session.Err(); err != nil {
		s.end(fmt.Errorf("%w: %w", ErrTermOver, err))
		return nil, err
	}
	c.cfg.Logger.Info("elected", zap.Int64("term", term))
	return s, nil
}

// mine reports whether the key shows this process on its present session.
func (c *Candidate) mine(h Holder) bool {
	return h.Leads() && h.Instance == c.cfg.Self.Instance && h.lease == c.cfg.Session.ID()
}

// whileSession derives a context that ends with the session. The returned function must be called; it waits for what
// this started.
func (c *Candidate) whileSession(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-c.cfg.Session.Lost():
			cancel(c.cfg.Session.Err())
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel(nil)
		wg.Wait()
	}
}
