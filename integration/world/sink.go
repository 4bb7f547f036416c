package world

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/span"
)

// sink is where all workloads of a world write. It fences by token, as the mirror's destination does, and notes
// every moment at which two instances that may both write overlap.
type sink struct {
	mu    sync.Mutex
	fence []fence
	live  map[*instance]bool
	// opened counts instances by span; broken is the first violation.
	opened map[span.ID]int
	broken error
	// failures is how many openings are still to fail, hangs how many are still to hang until they are given up.
	failures, hangs int
}

// fence is the highest token that has opened a range of a keyspace.
type fence struct {
	keyspace string
	r        span.Range
	token    uint64
}

func newSink() *sink { return &sink{live: map[*instance]bool{}, opened: map[span.ID]int{}} }

// workload is the sink's side of one process.
type workload struct {
	s    *sink
	name string
	// dead is closed when the process is killed: its instances can do nothing more.
	dead chan struct{}
	// openFor and closeFor are how long opening and closing take.
	openFor, closeFor time.Duration
	// hangOpen and hangClose make calls that begin from now on hang, whatever their context says, for as long as the
	// process lives.
	hangOpen, hangClose atomic.Bool
}

func (w *workload) Open(ctx context.Context, t dispatcher.Task, r dispatcher.Reporter) (dispatcher.Instance, error) {
	if err := pause(ctx, w.dead, w.openFor); err != nil {
		return nil, err
	}
	if w.hangOpen.Load() {
		<-w.dead
		return nil, errDead
	}
	if w.s.hang() {
		return nil, pause(ctx, w.dead, time.Hour)
	}
	in := &instance{w: w, t: t, stop: make(chan struct{}), ended: make(chan struct{}), from: t.From.At, r: r}
	if err := w.s.open(in); err != nil {
		return nil, err
	}
	go in.run()
	if w.name == "d3" {
		return in, nil
	}
	return &exact{in}, nil
}

// open fences the sink with the instance's token: nothing with a smaller one gets through afterwards.
func (s *sink) open(in *instance) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures > 0 {
		s.failures--
		return errors.New("the sink is full")
	}
	for _, f := range s.fence {
		if f.keyspace == in.t.Keyspace && f.r.Overlaps(in.t.Range) && f.token > in.t.Token {
			return fmt.Errorf("token %d is behind the sink's %d", in.t.Token, f.token)
		}
	}
	for other := range s.live {
		if other.t.Keyspace == in.t.Keyspace && other.t.Range.Overlaps(in.t.Range) {
			s.fail("%s opens %s with token %d while %s still runs %s with token %d",
				in.w.name, in.t.Span, in.t.Token, other.w.name, other.t.Span, other.t.Token)
		}
	}
	s.fence = append(s.fence, fence{in.t.Keyspace, in.t.Range, in.t.Token})
	s.live[in] = true
	s.opened[in.t.Span]++
	return nil
}

func (s *sink) fail(format string, args ...any) {
	if s.broken == nil {
		s.broken = fmt.Errorf(format, args...)
	}
}

// misplaced notes a closing at a position that the instance was beyond when it was held.
func (s *sink) misplaced(in *instance, at dispatcher.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail("%s closes %s at %d, which is beyond it", in.w.name, in.t.Span, at.At)
}

func (s *sink) end(in *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, in)
}

// killed forgets the instances of a process that is gone.
func (s *sink) killed(w *workload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for in := range s.live {
		if in.w == w {
			delete(s.live, in)
		}
	}
}

func (s *sink) failNext(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = n
}

func (s *sink) hangNext(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangs = n
}

func (s *sink) hang() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hangs == 0 {
		return false
	}
	s.hangs--
	return true
}

func (s *sink) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// running are the spans that have a live instance.
func (s *sink) running() map[span.ID]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := map[span.ID]string{}
	for in := range s.live {
		m[in.t.Span] = in.w.name
	}
	return m
}

// instance makes one step of progress a virtual second.
type instance struct {
	w     *workload
	t     dispatcher.Task
	r     dispatcher.Reporter
	stop  chan struct{}
	once  sync.Once
	ended chan struct{}
	mu    sync.Mutex
	from  uint64
}

// spanLoad is what every instance reports.
const spanLoad = 10.0

func (in *instance) run() {
	defer close(in.ended)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-in.stop:
			return
		case <-in.w.dead:
			return
		case <-tick.C:
			in.mu.Lock()
			in.from++
			at := in.from
			in.mu.Unlock()
			load := spanLoad
			in.r.Report(dispatcher.Status{Checkpoint: dispatcher.At(at), Load: &load, SplitKeys: []string{in.t.Range.Start + "5"}})
		}
	}
}

func (in *instance) Close(ctx context.Context) (dispatcher.Position, error) {
	if in.w.hangClose.Load() {
		<-in.w.dead
		return dispatcher.Position{}, errDead
	}
	if err := pause(ctx, in.w.dead, in.w.closeFor); err != nil && !errors.Is(err, errDead) {
		return dispatcher.Position{}, err // of a dead process nobody hears
	}
	in.Abort()
	in.mu.Lock()
	defer in.mu.Unlock()
	return dispatcher.At(in.from), nil
}

func (in *instance) Abort() {
	in.once.Do(func() { close(in.stop) })
	<-in.ended
	in.w.s.end(in)
}

// exact is an instance that can close at a position that others agree on. Those of one node cannot, as some workloads.
type exact struct{ *instance }

// Hold stops the progress.
func (in *exact) Hold(ctx context.Context) (dispatcher.Position, error) {
	if err := pause(ctx, in.w.dead, in.w.closeFor); err != nil && !errors.Is(err, errDead) {
		return dispatcher.Position{}, err
	}
	in.once.Do(func() { close(in.stop) })
	<-in.ended
	in.mu.Lock()
	defer in.mu.Unlock()
	return dispatcher.At(in.from), nil
}

// CloseAt makes the progress that is missing, and closes.
func (in *exact) CloseAt(ctx context.Context, at dispatcher.Position) (dispatcher.Position, error) {
	if err := pause(ctx, in.w.dead, in.w.closeFor); err != nil && !errors.Is(err, errDead) {
		return dispatcher.Position{}, err
	}
	in.Abort()
	in.mu.Lock()
	defer in.mu.Unlock()
	if at.At < in.from {
		in.w.s.misplaced(in.instance, at)
	}
	in.from = at.At
	return at, nil
}

var errDead = errors.New("the process is dead")

func pause(ctx context.Context, dead <-chan struct{}, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-dead:
		return errDead
	}
}
