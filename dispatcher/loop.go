package dispatcher

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/operator"
)

// loop owns all that one session knows of its spans. Everything it does is done in one goroutine and waits for
// nothing: what takes time goes to a goroutine of its own and comes back over a channel.
type loop struct {
	d    *Dispatcher
	log  *zap.Logger
	me   *session
	env  operator.Env
	runs *instances
	news *news
	// lose ends the session.
	lose func(error)

	asks      chan *sessionv1.DispatchResponse
	answers   chan answers
	confirmed chan []confirmation
	pulls     chan pull
	renewed   chan struct{}

	entries map[operator.Ref]*entry
	// term is the highest that has asked: older ones ask in vain.
	term     int64
	stopping bool
	pending  pending
	says     says
	confirm  confirming
	calls    sync.WaitGroup
}

// entry is one span in the loop.
type entry struct {
	ref   operator.Ref
	actor operator.Actor
	order order
	// run is the workload's side, nil while there is none.
	run    *run
	status Status
	// told is the status that was said last, nil for none.
	told *Status
	// group acts on the span for as long as it is a source of a merge, nil otherwise.
	group *group
	// broken is what the instance said before its Open had returned.
	broken string
	// aborting: an Abort is under way; what is due after it, and what has happened since, wait.
	aborting bool
	effects  []operator.Effect
	inputs   []input
}

// input is an event with what belongs to it.
type input struct {
	event operator.Event
	order order
}

// order is what an ask says beside the record: what is to be run, by an opening at once or by one that comes of a closing.
type order struct {
	workload, reason string
	settings         map[string]string
}

// learn keeps what the newest ask has said: what opens next, opens with the settings of that moment. The workload of a span
// is always the same.
func (e *entry) learn(o order) {
	switch {
	case o.workload == "":
	case e.order.workload == "":
		e.order = o
	default:
		e.order.settings, e.order.reason = o.settings, o.reason
	}
}

func newLoop(d *Dispatcher, s *session, env operator.Env, lose func(error)) *loop {
	return &loop{
		d: d, log: s.log, me: s, env: env, lose: lose,
		runs: newInstances(d.hit), news: newNews(),
		asks: make(chan *sessionv1.DispatchResponse, maxAsks), answers: make(chan answers, maxInFlight),
		confirmed: make(chan []confirmation), pulls: make(chan pull), renewed: make(chan struct{}, 1),
		entries: map[operator.Ref]*entry{}, pending: newPending(), says: newSays(s.id), confirm: newConfirming(),
	}
}

// work runs until the session is over, or all is stopped, or a clean stop has reached its bound. stop is closed to
// begin one. It returns how many spans are left; its goroutines have then ended, but for calls into workloads.
func (l *loop) work(ctx context.Context, stop <-chan struct{}) (left int) {
	ctx, cancel := context.WithCancel(ctx)
	defer l.calls.Wait()
	defer cancel()
	var bound <-chan time.Time
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(l.turn(ctx))
		if l.stopping && len(l.entries) == 0 {
			return 0
		}
		select {
		case <-ctx.Done():
		case <-stop:
			t := time.NewTimer(l.d.cfg.StopTimeout)
			defer t.Stop()
			stop, bound = nil, t.C
			l.stop(ctx)
		case <-bound:
			return len(l.entries)
		case <-timer.C:
		case m := <-l.asks:
			l.asked(ctx, m)
		case a := <-l.answers:
			l.answered(ctx, a)
		case o := <-l.runs.results:
			l.returned(ctx, o)
		case <-l.news.wake:
			l.heard(ctx)
		case c := <-l.confirmed:
			l.checked(ctx, c)
		case p := <-l.pulls:
			l.says.pulled(p)
		case <-l.renewed:
			l.says.urgent = true
		}
	}
	return len(l.entries)
}

// turn does what is due after a change. It returns how long there is nothing more to do without another one.
func (l *loop) turn(ctx context.Context) time.Duration {
	// What has returned at about the same time travels together.
	for range len(l.runs.results) {
		l.returned(ctx, <-l.runs.results)
	}
	now := time.Now()
	l.checkNext(ctx)
	return min(l.flush(ctx, now), l.speak(now))
}

// idle is how long the loop waits when nothing is due.
const idle = time.Hour

// stop ends every actor. Asks are not taken any more.
func (l *loop) stop(ctx context.Context) {
	l.log.Info("stopping", zap.Int("spans", len(l.entries)), zap.Duration("bound", l.d.cfg.StopTimeout))
	l.stopping = true
	for _, e := range l.entries {
		l.feed(ctx, e, input{event: operator.Stop{}})
	}
}

// returned takes what a call into a workload came to.
func (l *loop) returned(ctx context.Context, o outcome) {
	e := l.entries[o.run.ref]
	if e == nil || e.run != o.run {
		return
	}
	if e.aborting && o.event != nil {
		return // a close that came to its end beside the abort
	}
	switch ev := o.event.(type) {
	case nil:
		l.aborted(ctx, e)
		return
	case operator.OpenFailed:
		e.run = nil
	case operator.Closed:
		e.run = nil
		// What was reported is durable, too.
		ev.At = ev.At.Max(e.status.Checkpoint)
		o.event = ev
	}
	l.feed(ctx, e, input{event: o.event})
	if e.broken != "" && e.actor.Instance {
		l.feed(ctx, e, input{event: operator.Broken{Err: e.broken}})
		e.broken = ""
	}
}

// heard takes what instances have reported.
func (l *loop) heard(ctx context.Context) {
	for r, it := range l.news.take() {
		e := l.entries[r.ref]
		if e == nil || e.run != r {
			continue
		}
		if it.status != nil {
			at := it.status.Checkpoint.Max(e.status.Checkpoint)
			e.status = *it.status
			e.status.Checkpoint = at
			l.says.changed(e)
		}
		switch {
		case it.failed == "":
		case e.actor.Instance:
			l.logOf(e.ref).Warn("instance failed", zap.String("error", it.failed))
			l.feed(ctx, e, input{event: operator.Broken{Err: it.failed}})
		default:
			e.broken = it.failed
		}
	}
}

// deliver feeds a span that may have no entry yet.
func (l *loop) deliver(ctx context.Context, r operator.Ref, in input) {
	l.feed(ctx, l.entry(r), in)
}

// entry of a span, a new idle one if there is none.
func (l *loop) entry(r operator.Ref) *entry {
	e := l.entries[r]
	if e == nil {
		e = &entry{ref: r}
		l.entries[r] = e
		l.d.stats.enter(operator.Idle)
	}
	return e
}

// feed lets an actor take a step, at once or after the abort that is under way. While the span belongs to a group, the
// group takes it.
func (l *loop) feed(ctx context.Context, e *entry, in input) {
	if l.entries[e.ref] != e {
		return
	}
	e.learn(in.order)
	switch {
	case e.group != nil:
		l.feedGroup(ctx, e.group, e.group.about(e, in.event))
		return
	case e.aborting:
		if _, stops := in.event.(operator.Stop); stops || len(e.inputs) < maxInputs {
			e.inputs = append(e.inputs, in)
		}
		return
	}
	env := l.env
	env.Now = time.Now()
	actor, effects := e.actor.Step(env, in.event)
	l.turnInto(e, actor)
	l.carryOut(ctx, e, effects)
	l.forgetIdle(e)
}

// turnInto gives a span its next actor.
func (l *loop) turnInto(e *entry, a operator.Actor) {
	if e.actor.Phase != a.Phase {
		l.d.stats.move(e.actor.Phase, a.Phase)
		l.says.moved(e.ref)
	}
	e.actor = a
}

func (l *loop) forgetIdle(e *entry) {
	if e.actor.Phase == operator.Idle && !e.aborting && e.group == nil {
		l.forget(e)
	}
}

// aborted goes on after an abort.
func (l *loop) aborted(ctx context.Context, e *entry) {
	e.aborting, e.run = false, nil
	effects, inputs := e.effects, e.inputs
	e.effects, e.inputs = nil, nil
	l.carryOut(ctx, e, effects)
	for _, in := range inputs {
		l.deliver(ctx, e.ref, in)
	}
}
