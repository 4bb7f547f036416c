package events

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/leases"
)

// Config tells a recorder which clock to read.
type Config struct {
	// Clock is the dispatcher's, CLOCK_BOOTTIME. Required.
	Clock leases.Clock
	// Log gets a warning when lines cannot be written. Nil means no log.
	Log *zap.Logger
}

// Recorder writes the events of the workloads that it wraps. It is a dispatcher.Observer.
type Recorder struct {
	cfg Config
	// until is the moment up to which the session may act.
	until atomic.Int64
	// broken is set while lines cannot be written, so that a full disk is one entry in the log and not thousands.
	broken atomic.Bool

	mu      sync.Mutex
	running map[*track]struct{}
}

// New makes a recorder that wraps nothing yet.
func New(cfg Config) (*Recorder, error) {
	if cfg.Clock == nil {
		return nil, errors.New("events: Clock is required")
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	cfg.Log = cfg.Log.Named("events")
	return &Recorder{cfg: cfg, running: map[*track]struct{}{}}, nil
}

// Renewed writes one line for every open span: the session may act until then.
func (r *Recorder) Renewed(mayActUntil time.Duration) {
	r.until.Store(int64(mayActUntil))
	r.forAll(Renewed)
}

// Fenced writes one line for every open span: the right to act is over.
func (r *Recorder) Fenced() { r.forAll(Fenced) }

func (r *Recorder) forAll(k Kind) {
	r.mu.Lock()
	tracks := make([]*track, 0, len(r.running))
	for t := range r.running {
		tracks = append(tracks, t)
	}
	r.mu.Unlock()
	for _, t := range tracks {
		t.note(k)
	}
}

// track follows one opening of one span.
type track struct {
	rec   *Recorder
	task  dispatcher.Task
	sinks []io.Writer

	// mu orders the lines of the span: what renews or fences from outside cannot write after the end.
	mu   sync.Mutex
	at   dispatcher.Position
	over bool
}

// start writes that an opening begins.
func (r *Recorder) start(task dispatcher.Task, sinks []io.Writer) *track {
	t := &track{rec: r, task: task, sinks: sinks, at: task.From}
	t.note(OpenStart)
	return t
}

func (t *track) opened() {
	t.note(Opened)
	t.rec.mu.Lock()
	defer t.rec.mu.Unlock()
	t.rec.running[t] = struct{}{}
}

// end writes the last line of the opening.
func (t *track) end(k Kind) {
	t.rec.mu.Lock()
	delete(t.rec.running, t)
	t.rec.mu.Unlock()
	t.note(k)
}

func (t *track) position(p dispatcher.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = p
}

// note writes one line, unless the opening is over.
func (t *track) note(k Kind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	now, until := t.rec.cfg.Clock(), time.Duration(t.rec.until.Load())
	if k == Closed || k == Aborted || k == Fenced {
		until = min(until, now)
	}
	t.over = k == Closed || k == Aborted
	t.rec.write(lineOf(k, t.task, t.at, now, until), t.sinks)
}

func (r *Recorder) write(l Line, sinks []io.Writer) {
	var errs []error
	for _, w := range sinks {
		errs = append(errs, l.write(w))
	}
	err := errors.Join(errs...)
	was := r.broken.Swap(err != nil)
	if err != nil && !was {
		r.cfg.Log.Warn("events are lost", zap.String("span", string(l.Span)), zap.Error(err))
	}
}
