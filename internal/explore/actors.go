package explore

import (
	"github.com/spanward/spanward/operator"
)

// route feeds an event to the actor of a span, or to the merger that acts on it.
func (x *explorer) route(t *state, p, i int, ev operator.Event) {
	if h := t.procs[p].held[i]; h != nil && h.Phase == operator.Merging {
		for n, j := range t.procs[p].merger.spans {
			if j == i {
				x.mergeStep(t, p, operator.OfMember{Index: n, Event: ev})
				return
			}
		}
	}
	x.step(t, p, i, ev)
}

// step feeds an event to an actor and carries out what follows, but for what is an event of its own: transactions,
// openings, closings.
func (x *explorer) step(t *state, p, i int, ev operator.Event) {
	h := t.hold(p, i)
	next, fx := h.Step(x.env(t.procs[p]), ev)
	h.Actor = next
	for _, e := range fx {
		x.carryOut(t, p, i, e)
	}
	x.settle(t, p, i)
}

// settle drops an actor that has nothing to do.
func (x *explorer) settle(t *state, p, i int) {
	if h := t.procs[p].held[i]; h != nil && h.Phase == operator.Idle && !h.lingers {
		t.own(p).held[i] = nil
	}
}

func (x *explorer) carryOut(t *state, p, i int, e operator.Effect) {
	h := t.hold(p, i)
	switch e := e.(type) {
	case operator.Send:
		if h.send != nil {
			t.bad = "two transactions of one span in flight"
		}
		h.flight = flight{send: &e}
	case operator.Open:
		h.opening, h.from, h.givenUp = e.Token, e.From, false
		if rec, ok := x.span(t, i); ok && h.Claim.Mod == t.etcd.kvs[x.claimKeys[i]].mod && e.From.Less(rec.Checkpoint) {
			t.bad = "a span is opened below its checkpoint"
		}
	case operator.GiveUp:
		h.givenUp = true
	case operator.Hold:
		h.holding = true
	case operator.Close:
		h.closing = true
	case operator.CloseAt:
		h.closing, h.to = true, e.At
	case operator.Interrupt:
		h.interrupted = true
	case operator.Abort:
		h.running, h.closing, h.holding, h.interrupted = 0, false, false, false
	case operator.Forget:
		if (h.running != 0 || h.opening != 0) && !h.lingers {
			t.bad = "an actor is forgotten while its instance exists"
		}
	case operator.Become:
		x.become(t, p, e)
	default:
	}
}

// become replaces forgotten actors by those of the children. A process that stops stops those, too.
func (x *explorer) become(t *state, p int, e operator.Become) {
	for _, c := range e.Children {
		j := x.spanOf(string(c.Span.ID))
		h := t.hold(p, j)
		a, fx := operator.Inherit(x.env(t.procs[p]), c)
		*h = held{Actor: a}
		for _, e := range fx {
			x.carryOut(t, p, j, e)
		}
		if t.procs[p].stopping {
			x.step(t, p, j, operator.Stop{})
		}
	}
}

// merge is the request to merge spans that all belong to the process.
func (x *explorer) merge(t *state, p int, ev *askMerge) {
	if m := t.procs[p].merger; m != nil {
		x.mergeStep(t, p, operator.AskMerge{Operator: ev.spans[0].Intent.Operator, Term: ev.term})
		return
	}
	actors := make([]operator.Actor, len(ev.spans))
	at := make([]int, len(ev.spans))
	for n, s := range ev.spans {
		at[n] = x.spanOf(string(s.ID))
		if h := t.procs[p].held[at[n]]; h != nil {
			actors[n] = h.Actor
		}
	}
	m, fx := operator.NewMerger(x.env(t.procs[p]), actors, ev.spans, ev.from, ev.term)
	if m.Phase == operator.MergeOver {
		return
	}
	for _, i := range at {
		t.hold(p, i).Actor = operator.Actor{Phase: operator.Merging}
	}
	t.own(p).merger = &merger{Merger: m, spans: at}
	x.mergeEffects(t, p, at, fx)
}

// mergeStep feeds an event to the merger and carries out what follows.
func (x *explorer) mergeStep(t *state, p int, ev operator.Event) {
	m := t.merge(p)
	next, fx := m.Step(x.env(t.procs[p]), ev)
	m.Merger = next
	x.mergeEffects(t, p, m.spans, fx)
	if next.Phase == operator.MergeOver {
		t.own(p).merger = nil
	}
}

func (x *explorer) mergeEffects(t *state, p int, spans []int, fx []operator.Effect) {
	for _, e := range fx {
		switch e := e.(type) {
		case operator.Send:
			m := t.merge(p)
			if m.send != nil {
				t.bad = "two transactions of one merge in flight"
			}
			m.flight = flight{send: &e}
		case operator.On:
			x.carryOut(t, p, spans[e.Index], e.Effect)
		case operator.Leave:
			t.hold(p, spans[e.Index]).Actor = e.Actor
			for _, f := range e.Effects {
				x.carryOut(t, p, spans[e.Index], f)
			}
			x.settle(t, p, spans[e.Index])
		case operator.Become:
			x.become(t, p, e)
		default:
		}
	}
}
