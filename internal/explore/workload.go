package explore

import (
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
)

// workload emits what a call into the workload, or an instance, may come to.
func (x *explorer) workload(s *state, p, i int, h *held) {
	event := func(fault bool, what string, f func(t *state, h *held)) {
		t := *s
		if fault {
			t.left--
		}
		f(&t, t.hold(p, i))
		if x.tracing {
			x.say("%s: %s: %s", x.who(s, p), x.refs[i].ID, what)
		}
		x.emit(&t, fault)
	}
	fails := x.can(s, Failure)
	if h.opening != 0 {
		t := *s
		how := x.opened(&t, p, i)
		if x.tracing {
			x.say("%s: %s: Open with token %d: %s", x.who(s, p), x.refs[i].ID, h.opening, how)
		}
		x.emit(&t, false)
		if h.givenUp || fails {
			event(!h.givenUp, "Open fails", func(t *state, h *held) {
				h.opening = 0
				x.route(t, p, i, operator.OpenFailed{Err: "disk"})
			})
		}
	}
	if h.holding {
		event(false, "takes in nothing more", func(t *state, h *held) {
			h.holding = false
			at := operator.CanHold{}
			if !x.cfg.Coarse {
				at.At = h.at
			}
			x.route(t, p, i, at)
		})
		if fails {
			event(true, "Hold fails", func(t *state, h *held) {
				h.holding = false
				x.route(t, p, i, operator.HoldFailed{Err: "disk"})
			})
		}
	}
	if h.closing {
		event(false, "really closed", func(t *state, h *held) { x.closed(t, p, i, h) })
		if fails {
			event(true, "Close fails", func(t *state, h *held) {
				h.closing, h.to = false, record.Position{}
				x.route(t, p, i, operator.CloseFailed{Err: "disk"})
			})
		}
	}
	if h.interrupted {
		event(false, "ended at once", func(t *state, h *held) {
			h.to = record.Position{}
			x.closed(t, p, i, h)
		})
	}
	if h.lingers {
		event(false, "the instance really ends", func(t *state, h *held) {
			h.lingers, h.running = false, 0
			x.settle(t, p, i)
		})
	}
	if h.running != 0 && h.Phase == operator.Running {
		x.runs(s, p, i, event)
	}
}

// runs emits what an instance may do by itself, or because nobody knows it.
func (x *explorer) runs(s *state, p, i int, event func(bool, string, func(*state, *held))) {
	if x.can(s, Failure) {
		event(true, "the instance says that it cannot go on", func(t *state, _ *held) {
			x.route(t, p, i, operator.Broken{Err: "disk"})
		})
	}
	if x.can(s, Progress) {
		t := *s
		t.left--
		g := t.hold(p, i)
		g.at = record.At(g.at.At + 1)
		if x.tracing {
			x.say("%s: %s: has come to %d", x.who(s, p), x.refs[i].ID, g.at.At)
		}
		x.emit(&t, true)
	}
	if x.present(s, s.procs[p].node, s.procs[p].session) && !x.known(s, p, i) {
		event(false, "reads back that nobody knows what it runs", func(t *state, _ *held) {
			x.route(t, p, i, operator.Disowned{Revision: t.etcd.rev})
		})
	}
}

// closed ends an instance, at its position or at the one that it was asked to close at.
func (x *explorer) closed(t *state, p, i int, h *held) {
	at := h.at.Max(h.to)
	h.closing, h.interrupted, h.holding, h.lingers = false, false, false, x.cfg.Mutant.Early
	if !h.lingers {
		h.running = 0
	}
	h.at, h.from, h.to = record.Position{}, record.Position{}, record.Position{}
	x.route(t, p, i, operator.Closed{At: at})
}

// known reports whether the record or a claim names the session.
func (x *explorer) known(s *state, p, i int) bool {
	me := x.identity(s.procs[p])
	rec, ok := x.span(s, i)
	c := x.claim(s, i)
	return ok && me.Owns(rec.Span) || c != nil && c.Session == me.Session
}

// opened lets Open return: once it has, the sink takes no smaller token anywhere in the span's range.
func (x *explorer) opened(t *state, p, i int) string {
	h := t.hold(p, i)
	token := h.opening
	h.opening = 0
	here := x.present(t, t.procs[p].node, t.procs[p].session)
	highest := uint64(0)
	x.each(i, func(b int) { highest = max(highest, t.sink[b]) })
	if highest > token && !x.cfg.Unfenced {
		c := x.claim(t, i)
		if here && c != nil && c.Session == t.procs[p].session && c.Mod == h.Claim.Mod {
			t.bad = "the sink refuses whoever holds a valid claim to open"
		}
		if h.Phase == operator.Idle { // of a zombie
			t.own(p).held[i] = nil
		} else {
			x.route(t, p, i, operator.OpenFailed{Err: "the sink is ahead"})
		}
		return "refused by the sink"
	}
	x.each(i, func(b int) { t.sink[b] = max(t.sink[b], token) })
	h.running, h.at = token, h.from
	if h.Phase != operator.Idle {
		x.route(t, p, i, operator.Opened{})
	}
	return "runs"
}
