package dispatcher

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanward/spanward/operator"
)

// run is one opening of one span by a workload, from the call of Open to the end of what it made.
type run struct {
	ref  operator.Ref
	task Task
	// lagMS is what the instance reported last, nil while unknown.
	lagMS atomic.Pointer[int64]

	// The rest is guarded by instances.mu.

	// cancel ends the context of the call that is under way.
	cancel   context.CancelFunc
	instance Instance
	// aborting: Abort was called; no other call begins any more, and what one returns is ignored.
	aborting bool
	// shut: Close has succeeded.
	shut bool
}

// outcome is what a call into a workload came to.
type outcome struct {
	run *run
	// event for the actor; nil if the instance was aborted, as an actor asked.
	event operator.Event
}

// instances calls workloads, each call in a goroutine of its own, and knows all that runs. It stands beside the
// loop, so that fencing needs nothing but its mutex.
type instances struct {
	// results has a reader until the context given to each call ends.
	results chan outcome
	hit     func(ctx context.Context, name string) error

	mu     sync.Mutex
	live   map[*run]struct{}
	fenced bool
	calls  sync.WaitGroup
}

func newInstances(hit func(context.Context, string) error) *instances {
	return &instances{results: make(chan outcome, maxResults), hit: hit, live: map[*run]struct{}{}}
}

var errNoInstance = errors.New("the workload returned neither an instance nor an error")

// open calls Workload.Open. ctx is the session's.
func (i *instances) open(ctx context.Context, r *run, w Workload, rep Reporter) {
	try, cancel := context.WithCancel(ctx)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fenced {
		cancel()
		return
	}
	r.cancel = cancel
	i.live[r] = struct{}{}
	i.calls.Go(func() {
		defer cancel()
		p := opening()
		if i.hit(ctx, p.before) != nil {
			i.forget(r)
			return
		}
		inst, err := w.Open(try, r.task, rep)
		if err == nil && inst == nil {
			err = errNoInstance
		}
		_ = i.hit(ctx, p.after) // what was opened has to be aborted even then
		i.opened(ctx, r, inst, err)
	})
}

func (i *instances) opened(ctx context.Context, r *run, inst Instance, err error) {
	if err != nil {
		i.forget(r)
		i.tell(ctx, outcome{r, operator.OpenFailed{Err: err.Error()}})
		return
	}
	i.mu.Lock()
	r.instance = inst
	late := i.fenced
	r.aborting = late
	i.mu.Unlock()
	if late {
		inst.Abort()
		i.forget(r)
		return
	}
	i.tell(ctx, outcome{r, operator.Opened{}})
}

// giveUp ends the context of an Open that is under way.
func (i *instances) giveUp(r *run) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.cancel != nil {
		r.cancel()
	}
}

// abort calls Instance.Abort and tells when it has returned.
func (i *instances) abort(ctx context.Context, r *run) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.shut {
		i.calls.Go(func() { i.tell(ctx, outcome{run: r}) })
		return
	}
	i.abortLocked(r, func() { i.tell(ctx, outcome{run: r}) })
}

// fence aborts everything at once and lets nothing begin any more. There is a goroutine for each instance: with
// fewer, one abort that hangs would hold up others. It returns without waiting for them.
func (i *instances) fence() (aborted int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fenced = true
	for r := range i.live {
		r.cancel()
		i.abortLocked(r, func() {})
	}
	return len(i.live)
}

func (i *instances) abortLocked(r *run, then func()) {
	if r.instance == nil || r.aborting {
		return
	}
	r.aborting = true
	r.cancel()
	i.calls.Go(func() {
		r.instance.Abort()
		i.forget(r)
		then()
	})
}

// running counts what has not ended.
func (i *instances) running() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.live)
}

func (i *instances) forget(r *run) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.live, r)
}

// tell hands an outcome to the loop, which is there as long as the session.
func (i *instances) tell(ctx context.Context, o outcome) {
	select {
	case i.results <- o:
	case <-ctx.Done():
	}
}

// jitter is up to half of d.
func jitter(d time.Duration) time.Duration { return rand.N(d/2 + 1) }

// pause waits, and fails at once if ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lag is the greatest that is known in each keyspace.
func (i *instances) lag() map[string]time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	out := map[string]time.Duration{}
	for r := range i.live {
		if ms := r.lagMS.Load(); ms != nil {
			out[r.ref.Keyspace] = max(out[r.ref.Keyspace], time.Duration(*ms)*time.Millisecond)
		}
	}
	return out
}
