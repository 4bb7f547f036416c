package operator

import (
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

func (m Merger) parents() []Held {
	out := make([]Held, len(m.Members))
	for n := range m.Members {
		out[n] = m.Members[n].held()
	}
	return out
}

func (m Merger) swap(env Env) (Merger, []Effect) {
	m.SwapAt = env.Now
	s, err := sendSwap(env, m.parents())
	if err != nil {
		return m.dropAll(env, err.Error(), Actor.dropClaim)
	}
	m.Phase = MergeSwapping
	return m, []Effect{s}
}

func (m Merger) swapped(env Env, ev MergeAnswer) (Merger, []Effect) {
	if !ev.Done {
		return m.dropAll(env, "", Actor.dropClaim)
	}
	var fx []Effect
	for n := range m.Members {
		fx = append(fx, Leave{n, Actor{}, []Effect{Say{Result: ResultDone, Operator: m.Operator()}, Forget{}}})
	}
	return Merger{}, append(fx, become(m.parents(), m.SwapAt, ev.Mod))
}

// dropAll is the way out where the records were changed by somebody else: each member gives its own claim up, by drop.
func (m Merger) dropAll(env Env, why string, drop func(Actor, Env) (Actor, []Effect)) (Merger, []Effect) {
	var fx []Effect
	for n, a := range m.Members {
		a.Why = why
		var own []Effect
		if a.Instance {
			own = []Effect{Abort{}}
		}
		a, more := drop(a, env)
		fx = append(fx, Leave{n, a, append(own, more...)})
	}
	return Merger{}, fx
}

// members of the early end: all, with their claims.
func (m Merger) early(env Env) EarlyEnd {
	r := m.Revoke
	return EarlyEnd{
		Members: m.parents(), Me: env.Me, Outcome: record.OutcomeCancelled, Error: EndText(r.Cause), Cause: &r.Cause,
		Successor: r.Successor, Of: r.Of,
	}
}

// removed is the index of the member that a remove takes over, -1 for none.
func (m Merger) removed() int {
	if m.Revoke == nil || m.Revoke.Successor == nil {
		return -1
	}
	return m.indexOf(m.Revoke.Of)
}

func (m Merger) indexOf(id span.ID) int {
	for n, a := range m.Members {
		if a.Span.ID == id {
			return n
		}
	}
	return -1
}

// askRevoke ends the merge early: what has begun to close is interrupted and opened again, but for the member that is to
// be removed, which has to be really closed.
func (m Merger) askRevoke(env Env, ev AskRevoke) (Merger, []Effect) {
	before := m.Phase
	switch {
	case m.Phase == MergeInterrupting && supersedes(*m.Revoke, ev):
		m.Revoke = &ev
		return m, nil
	case m.Revoke != nil && sameEnd(*m.Revoke, ev):
		return m, nil // the answer is on its way
	case ev.Operator == m.Operator() && m.Revoke != nil:
		return m, []Effect{refusal(0, ev.Operator, m.Operator(), "it is being ended for another reason")}
	case ev.Operator != m.Operator(), ev.Successor != nil && m.indexOf(ev.Of) < 0, m.Phase != MergeHolding && m.Phase != MergeClosing:
		return m, []Effect{refusal(0, ev.Operator, m.Operator(), "it is not being acted on in a way that can be taken back")}
	}
	m.Revoke, m.Phase = &ev, MergeInterrupting
	if n := m.removed(); n >= 0 && !m.Members[n].Instance && !m.Seats[n].Shut {
		// A new token has to fence its sink before it is removed.
		m.Revoke, m.Phase = nil, before
		return m, []Effect{refusal(n, ev.Operator, "", "the span does not run here")}
	}
	var fx []Effect
	for n, a := range m.Members {
		switch {
		case !a.Instance:
		case n == m.removed():
			fx = append(fx, m.closeRemoved(n)...)
		default:
			m.Seats[n].Closing = false
			fx = append(fx, On{n, Interrupt{}})
		}
	}
	m, more := m.interrupted(env)
	return m, append(fx, more...)
}

// closeRemoved closes the member that is to be removed, once its instance is not busy with something else.
func (m Merger) closeRemoved(n int) []Effect {
	s := &m.Seats[n]
	if n != m.removed() || !m.Members[n].Instance || s.Closing || !s.Held {
		return nil
	}
	s.Closing, s.Tries = true, 0
	return []Effect{On{n, Close{}}}
}

// heldLate goes on with an early end that has waited for a call of Hold.
func (m Merger) heldLate(env Env, n int) (Merger, []Effect) {
	fx := m.closeRemoved(n)
	m, more := m.interrupted(env)
	return m, append(fx, more...)
}

// interrupted sends the early end once all but the removed member have ended, and that one closes.
func (m Merger) interrupted(env Env) (Merger, []Effect) {
	for n, a := range m.Members {
		if a.Instance && (n != m.removed() || !m.Seats[n].Closing) {
			return m, nil
		}
	}
	m.Phase = MergeRevoking
	first := m.Members[0].Span
	return m, []Effect{Send{
		Part: End(env.Layout, m.early(env), env.Now), Term: m.Revoke.Term, Key: env.Layout.Span(first.Keyspace, first.ID),
	}}
}

// revoked gives every member back to its own actor: to open again, or to go on closing for the remove.
func (m Merger) revoked(env Env, ev MergeAnswer) (Merger, []Effect) {
	if !ev.Done {
		// All sources are claimed, so only the leader was replaced that had asked for it, and with it the one that asked for the
		// claims: no late copy of them can land, though the records stay as they are.
		return m.dropAll(env, "", Actor.letGo)
	}
	op, e := m.Operator(), m.early(env)
	var fx []Effect
	for n, a := range m.Members {
		a, own := a.reclaimed(env, e, ev.Mod)
		fx = append(fx, Leave{n, a, append([]Effect{Say{Result: ResultRevoked, Operator: op}}, own...)})
	}
	return Merger{}, fx
}
