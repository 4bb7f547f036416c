package dispatcher_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spanward/spanward/dispatcher"
)

// sink is a workload that writes down everything, and does what it is told.
type sink struct {
	mu     sync.Mutex
	events []event
	live   map[string]*running
	tasks  []dispatcher.Task
	// Errors of opening and closing, by span. A channel holds a call up until it is closed.
	openErr, closeErr              map[string]error
	holdOpen, holdClose, holdAbort map[string]chan struct{}
	// failEarly is what an instance says before its Open has returned.
	failEarly map[string]error
	// deaf calls ignore the end of their context.
	deaf map[string]bool
	// position is the final one of each span, but for those in at.
	position dispatcher.Position
	at       map[string]dispatcher.Position
	// exact: instances can close at a given position. Errors and channels of Hold, by span.
	exact    bool
	holdErr  map[string]error
	holdHold map[string]chan struct{}
	renewals int
}

type event struct {
	at         time.Time
	what, span string
}

type running struct {
	sink     *sink
	task     dispatcher.Task
	reporter dispatcher.Reporter
	closing  bool
}

func newSink() *sink {
	return &sink{
		live: map[string]*running{}, openErr: map[string]error{}, closeErr: map[string]error{},
		at: map[string]dispatcher.Position{}, holdErr: map[string]error{}, holdHold: map[string]chan struct{}{},
		holdOpen: map[string]chan struct{}{}, holdClose: map[string]chan struct{}{}, holdAbort: map[string]chan struct{}{}, deaf: map[string]bool{},
	}
}

func (s *sink) note(what, span string) {
	s.events = append(s.events, event{time.Now(), what, span})
}

func (s *sink) Open(ctx context.Context, t dispatcher.Task, r dispatcher.Reporter) (dispatcher.Instance, error) {
	id := string(t.Span)
	s.mu.Lock()
	s.note("open", id)
	err, hold, deaf := s.openErr[id], s.holdOpen[id], s.deaf[id]
	s.mu.Unlock()
	if err := wait(ctx, hold, deaf); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.note("gave up", id)
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := &running{sink: s, task: t, reporter: r}
	if err := s.failEarly[id]; err != nil {
		r.Fail(err)
	}
	if s.live[id] != nil {
		s.note("TWICE", id)
	}
	s.live[id] = i
	s.tasks = append(s.tasks, t)
	s.note("opened", id)
	if s.exact {
		return exact{i}, nil
	}
	return i, nil
}

// final is the position that a span closes at.
func (s *sink) final(id string) dispatcher.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.at[id]; ok {
		return at
	}
	return s.position
}

// exact is an instance that can close where it is told to.
type exact struct{ *running }

func (e exact) Hold(ctx context.Context) (dispatcher.Position, error) {
	id := string(e.task.Span)
	s := e.sink
	s.mu.Lock()
	s.note("hold", id)
	err, hold := s.holdErr[id], s.holdHold[id]
	s.mu.Unlock()
	return s.final(id), errors.Join(wait(ctx, hold, false), err)
}

func (e exact) CloseAt(ctx context.Context, at dispatcher.Position) (dispatcher.Position, error) {
	if low := e.sink.final(string(e.task.Span)); at.At < low.At {
		return dispatcher.Position{}, fmt.Errorf("asked to close at %d, but it is at %d already", at.At, low.At)
	}
	return at, e.close(ctx, fmt.Sprint("close at ", at.At))
}

func wait(ctx context.Context, hold chan struct{}, deaf bool) error {
	if hold == nil {
		return nil
	}
	done := ctx.Done()
	if deaf {
		done = nil
	}
	select {
	case <-hold:
		return nil
	case <-done:
		return ctx.Err()
	}
}

func (i *running) Close(ctx context.Context) (dispatcher.Position, error) {
	return i.sink.final(string(i.task.Span)), i.close(ctx, "close")
}

func (i *running) close(ctx context.Context, what string) error {
	id := string(i.task.Span)
	s := i.sink
	s.mu.Lock()
	if i.closing {
		s.note("CLOSED TWICE AT A TIME", id)
	}
	i.closing = true
	s.note(what, id)
	err, hold, deaf := s.closeErr[id], s.holdClose[id], s.deaf[id]
	s.mu.Unlock()
	defer s.set(func() { i.closing = false })
	if err := errors.Join(wait(ctx, hold, deaf), err); err != nil {
		return err
	}
	return i.end("closed")
}

func (i *running) Abort() {
	i.sink.mu.Lock()
	hold := i.sink.holdAbort[string(i.task.Span)]
	i.sink.mu.Unlock()
	_ = wait(context.Background(), hold, true)
	_ = i.end("aborted")
}

func (i *running) end(how string) error {
	s := i.sink
	s.mu.Lock()
	defer s.mu.Unlock()
	id := string(i.task.Span)
	if s.live[id] != i {
		return fmt.Errorf("%s has ended already", id)
	}
	delete(s.live, id)
	s.note(how, id)
	return nil
}

func (s *sink) Renewed(time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewals++
}

func (s *sink) Fenced() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note("fenced", "")
}

// set changes what the sink does.
func (s *sink) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// hold makes calls for a span wait until release.
func (s *sink) hold(m map[string]chan struct{}, id string) (release func()) {
	c := make(chan struct{})
	s.set(func() { m[id] = c })
	return func() {
		s.set(func() { delete(m, id) })
		close(c)
	}
}

// releaseAll lets the test end.
func (s *sink) releaseAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range []map[string]chan struct{}{s.holdOpen, s.holdClose, s.holdAbort, s.holdHold} {
		for id, c := range m {
			delete(m, id)
			close(c)
		}
	}
	clear(s.closeErr)
	clear(s.holdErr)
}

func (s *sink) running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live)
}

func (s *sink) reporter(id string) dispatcher.Reporter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[id].reporter
}

// trace is what has happened to a span, in order.
func (s *sink) trace(id string) (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.span == id {
			out = append(out, e.what)
		}
	}
	return out
}

// when is the time of the first event of a kind; zero if there is none.
func (s *sink) when(what string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.what == what {
			return e.at
		}
	}
	return time.Time{}
}

// taskOf is the newest task of a span.
func (s *sink) taskOf(id string) (t dispatcher.Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, task := range s.tasks {
		if string(task.Span) == id {
			t = task
		}
	}
	return t
}
