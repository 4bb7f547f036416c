package dispatcher

import (
	"context"
	"time"

	"github.com/spanward/spanward/operator"
)

// call is one try to hold or to close an instance. For one instance they come one after the other, as its actor decides.
type call struct {
	// try counts those that failed before; later ones wait longer.
	try int
	// bound of the call itself.
	bound  time.Duration
	points failpoints
	do     func(ctx context.Context, inst Instance) (Position, error)
	// done and failed translate what it came to.
	done   func(Position) operator.Event
	failed func(why string) operator.Event
	// shuts: after a success nothing of the instance runs any more.
	shuts bool
}

// closing is a call of Instance.Close, or of CloserAt.CloseAt where at is known.
func closing(at Position, try int, p failpoints) call {
	c := call{
		try: try, bound: closeTry, points: p, shuts: true,
		do:     func(ctx context.Context, inst Instance) (Position, error) { return inst.Close(ctx) },
		done:   func(at Position) operator.Event { return operator.Closed{At: at} },
		failed: func(why string) operator.Event { return operator.CloseFailed{Err: why} },
	}
	if at.Known {
		c.bound = closeAtTry
		c.do = func(ctx context.Context, inst Instance) (Position, error) { return inst.(CloserAt).CloseAt(ctx, at) }
	}
	return c
}

// holding is a call of CloserAt.Hold. An instance that cannot choose its end says so without being called.
func holding(try int) call {
	return call{
		try: try, bound: closeTry, points: failpointsOf("merge", "hold"),
		do: func(ctx context.Context, inst Instance) (Position, error) {
			if c, ok := inst.(CloserAt); ok {
				return c.Hold(ctx)
			}
			return Position{}, nil
		},
		done:   func(at Position) operator.Event { return operator.CanHold{At: at} },
		failed: func(why string) operator.Event { return operator.HoldFailed{Err: why} },
	}
}

// begin makes a call, unless the instance is being aborted by the time that it is due.
func (i *instances) begin(ctx context.Context, r *run, c call) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fenced || r.instance == nil || r.aborting {
		return
	}
	once, cancel := context.WithCancel(ctx)
	r.cancel = cancel
	i.calls.Go(func() {
		defer cancel()
		if pause(once, closePauseOf(c.try)) != nil || i.hit(ctx, c.points.before) != nil || i.isAborting(r) {
			return
		}
		once, cancel := context.WithTimeout(once, c.bound)
		at, err := c.do(once, r.instance)
		cancel()
		switch {
		case !i.counts(r, err == nil && c.shuts):
		case err != nil:
			i.tell(ctx, outcome{r, c.failed(err.Error())})
		case i.hit(ctx, c.points.after) == nil:
			i.tell(ctx, outcome{r, c.done(at)})
		}
	})
}

func (i *instances) isAborting(r *run) bool { return !i.counts(r, false) }

// counts reports whether what a call has come to still counts: if an abort came first, its end does. shut notes that the
// run is really closed.
func (i *instances) counts(r *run, shut bool) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.aborting {
		return false
	}
	if shut {
		r.shut = true
		delete(i.live, r)
	}
	return true
}

// interrupt calls Instance.Abort, also while another call is under way, and tells that the instance has closed. Where a close
// has succeeded just now, that one's outcome is on its way and says the same.
func (i *instances) interrupt(ctx context.Context, r *run) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.shut {
		return
	}
	i.abortLocked(r, func() { i.tell(ctx, outcome{r, operator.Closed{}}) })
}

// closePauseOf is the wait before a try to close, with jitter, so that spans of one sink do not try in step.
func closePauseOf(try int) time.Duration {
	if try == 0 {
		return 0
	}
	d := min(closePause<<min(try-1, 16), maxClosePause)
	return d/2 + jitter(d)
}
