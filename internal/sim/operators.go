package sim

import (
	"slices"
	"time"

	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

// answer is how long a refusal takes.
const answer = 10 * time.Millisecond

// start counts an operator on a span as being in flight.
func (e *engine) start(s *spanState, c cause, to *node) {
	s.cause, s.from, s.to = c, s.node, to
	if c == byDrain {
		s.from.drains++
	}
	e.measure.inFlight[c]++
	e.busy()
}

// end takes a span out of its operator.
func (e *engine) end(s *spanState, o outcome) {
	if s.cause == byNobody {
		return
	}
	if s.cause == byDrain {
		s.from.drains--
	}
	e.measure.inFlight[s.cause]--
	e.measure.ended[s.cause][o]++
	e.measure.of().ended[s.cause][o]++
	s.cause, s.from, s.to = byNobody, nil, nil
	e.busy()
	e.wake()
}

// refused is a matter of chance.
func (e *engine) refused() bool {
	return e.costs.Refused > 0 && e.chance.Float64() < e.costs.Refused
}

// move takes a span that runs to another node: it is closed, then opened there.
func (e *engine) move(s *spanState, to *node, c cause) {
	e.start(s, c, to)
	if s.stage == lost {
		return // who should close it will not answer
	}
	s.stage = closing
	if e.refused() {
		e.later(s, answer, func() { e.stays(s, isRefused) })
		return
	}
	e.later(s, e.costs.Close, func() {
		e.leave(s)
		e.open(s)
	})
}

// stays: the operator on a span that runs has come to nothing.
func (e *engine) stays(s *spanState, o outcome) {
	s.stage = running
	e.end(s, o)
	e.tell(s)
}

// leave: the span is closed, and nobody's.
func (e *engine) leave(s *spanState) {
	s.node.spans.remove(s)
	s.node.load -= s.load
	s.node = nil
	e.unowned(s, 1)
}

// open is the opening of a span that nobody owns. An operator on it has been started.
func (e *engine) open(s *spanState) {
	to := s.to
	s.stage = opening
	if !to.present {
		s.stage = waiting
		e.end(s, isFailed)
		e.tell(s)
		e.want(s, byRetry)
		return
	}
	to.expect(s)
	s.epoch++
	switch {
	case !to.up: // its session will end
	case to.hangs != 0:
		if to.hangs > 0 {
			to.hangs--
		}
		s.hung = true
		e.later(s, s.ks.values.OpenTimeout, func() { e.notOpened(s, isLate) })
	case e.costs.Failures > 0 && e.chance.Float64() < e.costs.Failures:
		e.later(s, e.costs.Open, func() { e.notOpened(s, isFailed) })
	default:
		e.later(s, e.costs.Open, func() { e.opened(s) })
	}
}

// opened: the span has an owner.
func (e *engine) opened(s *spanState) {
	to := s.to
	to.forget(s)
	if s.cause != byParent {
		s.since = e.now
	}
	e.own(s, to)
	e.end(s, isDone)
	e.failedOn(s, nil)
	s.failures, s.hung, s.last = 0, false, nil
	delete(e.avoid, s)
	e.tell(s)
	e.tellLoad(s)
}

// own gives a span its owner.
func (e *engine) own(s *spanState, n *node) {
	if !s.owned() {
		e.unowned(s, -1)
	}
	s.stage, s.node = running, n
	n.spans.add(s)
	n.load += s.load
}

// maxDoublings bounds how often the wait between two openings doubles.
const maxDoublings = 20

// notOpened: it is tried again in a while, elsewhere if that is possible.
func (e *engine) notOpened(s *spanState, o outcome) {
	on := s.to
	on.forget(s)
	s.hung = false
	s.stage = waiting
	e.end(s, o)
	e.failedOn(s, on)
	e.avoid[s] = append(slices.DeleteFunc(e.avoid[s], func(n string) bool { return n == on.name }), on.name)
	wait := e.values.OpenRetry
	for range s.failures {
		wait = min(2*wait, e.values.OpenRetryMax)
	}
	s.failures = min(s.failures+1, maxDoublings)
	e.tell(s)
	e.later(s, wait, func() { e.want(s, byRetry) })
}

// failedOn notes where a span has failed to open last, nil for nowhere.
func (e *engine) failedOn(s *spanState, n *node) {
	if s.failedOn != nil {
		s.failedOn.failing--
	}
	if s.failedOn = n; n != nil {
		n.failing++
	}
}

// split divides a span that runs into children on the same node.
func (e *engine) split(s *spanState, at []string) {
	e.start(s, bySplit, s.node)
	if s.stage == lost {
		return
	}
	s.stage = closing
	if e.refused() {
		e.later(s, answer, func() { e.stays(s, isRefused) })
		return
	}
	e.later(s, e.costs.Close, func() {
		parts, err := s.rng.Split(at...)
		if err != nil {
			e.stays(s, isFailed)
			return
		}
		n := s.node
		e.leave(s)
		e.end(s, isDone)
		e.retire(s)
		for _, r := range parts {
			e.child(s.ks, r, n, widthOf(r, s.rng), s)
		}
	})
}

// retire: the span has been replaced.
func (e *engine) retire(s *spanState) {
	e.unowned(s, -1)
	s.stage = replaced
	s.epoch++
	s.ks.remove(s)
	e.spans[numberOf(s.id)] = nil
	delete(e.avoid, s)
	e.fleet.RemoveSpan(s.ref())
}

// child is a new span in the place of others, of which it gets a share.
func (e *engine) child(ks *keyspace, r span.Range, n *node, share float64, of ...*spanState) {
	c := &spanState{rng: r, ks: ks, made: e.now, since: e.now, unownedFrom: e.now, stage: waiting}
	for _, p := range of {
		c.base += p.base * share
		c.load += p.load * share
		c.size += p.size * share
	}
	e.enter(c)
	e.unowned(c, 1)
	e.start(c, byParent, n)
	e.open(c)
	e.tell(c)
	e.tellLoad(c)
}

// tell says to the planners how a span is.
func (e *engine) tell(s *spanState) {
	t := scheduler.Span{
		Ref: s.ref(), Range: s.rng, Workload: workload, Rules: s.ks.rules, Settled: s.stage == running && s.cause == byNobody,
		Avoid: slices.Clone(e.avoid[s]), Since: timeOf(s.since), Made: timeOf(s.made),
	}
	if s.ks.rules != nil {
		t.Pin = s.ks.rules.Pins.Pinned(s.rng)
	}
	if s.node != nil {
		t.Node = s.node.name
	}
	if s.cause != byNobody {
		t.Flight.Class = s.cause.class()
		if s.from != nil {
			t.Flight.From = s.from.name
		}
		if s.to != nil {
			t.Node, t.Flight.To = s.to.name, s.to.name
		}
	}
	e.fleet.SetSpan(t)
	e.wake()
}

// unknown load or size.
const unknown = -1

// tellLoad says to the planners what a span reports.
func (e *engine) tellLoad(s *spanState) {
	e.fleet.SetLoad(s.ref(), loadOf(s), e.clock())
	e.wake()
}

// loadOf is what a span reports, by the measure of its keyspace.
func loadOf(s *spanState) scheduler.Load {
	l := scheduler.Load{Load: unknown, Size: unknown}
	if s.ks.Size.Mean > 0 {
		l.Size = s.size
	}
	v := &s.ks.values
	switch v.LoadMeasure {
	case settings.MeasureLoad:
		if s.ks.load.Mean > 0 {
			l.Load = s.load
		}
	case settings.MeasureSize:
		l.Load = l.Size
	}
	if hot := s.ks.splits() && (v.SplitLoad > 0 && l.Load > v.SplitLoad || v.SplitSize > 0 && l.Size > v.SplitSize); hot {
		l.SplitKeys = splitKeys(s.rng)
	}
	return l
}

// proposed is how many split keys a span proposes.
const proposed = 7

// splitKeys divide a range into parts of equal width.
func splitKeys(r span.Range) []string {
	from, to := placeOf(r)
	width := (to - from) / (proposed + 1)
	var out []string
	for i := uint64(1); i <= proposed && width > 0; i++ {
		out = append(out, keyAt(from+i*width))
	}
	return out
}
