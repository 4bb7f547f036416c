package explore

import (
	"slices"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

// presence is what a leader knows of a session. All streams are up: a leader that does not reach a node waits, and
// that needs no exploring.
func (x *explorer) presence(t *state, who operator.Identity) operator.Presence {
	switch {
	case who.Session == 0:
		return operator.Over
	case x.present(t, x.nodeIndex[who.Node], who.Session):
		return operator.Alive
	case x.cfg.Unfenced && t.procOf(who.Session) >= 0:
		return operator.Lapsing
	}
	return operator.Over
}

func (x *explorer) member(t *state, s int) (operator.Member, bool) {
	rec, ok := x.span(t, s)
	if !ok {
		return operator.Member{}, false
	}
	m := operator.Member{Span: rec, Claim: x.claim(t, s)}
	m.Owner = x.presence(t, operator.Identity{Node: rec.Owner.Node, Session: rec.Owner.Session})
	m.Opener = x.presence(t, t.openers[s])
	if m.Claim != nil {
		m.Actor = x.presence(t, operator.Identity{Node: m.Claim.Node, Session: m.Claim.Session})
		m.ActorSession = t.etcd.kvs[x.nodeKeys[x.nodeIndex[m.Claim.Node]]].create
	}
	if p := t.procOf(rec.Owner.Session); m.Owner.Present() && p >= 0 {
		m.Missing = t.procs[p].held[s] == nil
	}
	return m, true
}

// records gathers what is stored about the operator of span s, like a leader does.
func (x *explorer) records(t *state, s int) (operator.Records, bool) {
	first, ok := x.member(t, s)
	if !ok {
		return operator.Records{}, false
	}
	recs := operator.Records{Members: []operator.Member{first}, Keyspace: x.cfg.Keyspace}
	i := first.Intent
	if i == nil {
		return recs, true
	}
	if i.To != "" && t.etcd.kvs[x.nodeKeys[x.nodeIndex[i.To]]].val != nil {
		recs.Target = operator.Alive
	}
	for _, id := range i.Spans {
		o := x.spanOf(id)
		if o == s || len(i.Spans) < 2 {
			continue
		}
		if m, ok := x.member(t, o); ok && m.Intent != nil && m.Intent.Operator == i.Operator {
			recs.Members = append(recs.Members, m)
		}
	}
	return recs, true
}

// leads emits what the leader may do next with each span, of an operator with several spans once.
func (x *explorer) leads(s *state) {
	for i, r := range x.refs {
		recs, ok := x.records(s, i)
		if !ok {
			continue
		}
		if f := recs.Members[0].Intent; f != nil && len(recs.Members) == len(f.Spans) && f.Spans[0] != string(r.ID) {
			continue
		}
		next := operator.Next(recs)
		if x.cfg.Mutant.Next != nil {
			next = x.cfg.Mutant.Next(recs, next)
		}
		for _, a := range next {
			x.act(s, i, recs, a)
		}
	}
}

func (x *explorer) act(s *state, i int, recs operator.Records, a operator.Action) {
	m := recs.Members[0]
	switch a := a.(type) {
	case operator.AskClose:
		x.askClose(s, a)
	case operator.Reopen:
		x.ask(s, a.Owner.Session, i, operator.AskOpen{Span: m.Span, From: m.Checkpoint, Term: x.term(s)})
	case operator.Release:
		x.ask(s, a.Owner.Session, i, operator.AskRelease{Span: m.Span})
	case operator.Place:
		x.place(s, a)
	case operator.Drop:
		x.lead(s, operator.DropClaim(x.layout, a.Span, a.Claim, a.Present), -1, "drop the claim of "+a.Claim.Node)
	case operator.Fail:
		x.lead(s, operator.End(x.layout, operator.EarlyEnd{
			Members: unclaimed(a.Members), Outcome: record.OutcomeFailed, Error: a.Why,
		}, epoch), -1, "end the operator: "+a.Why)
	case operator.Swap:
		part, err := operator.SwapOwnerless(x.layout, unclaimed(a.Members), epoch)
		if err != nil {
			panic(err)
		}
		x.lead(s, part, -1, "swap")
	default:
	}
}

func unclaimed(members []operator.Member) []operator.Held {
	out := make([]operator.Held, len(members))
	for n, m := range members {
		out[n] = operator.Held{Span: m.Span, At: m.Checkpoint}
	}
	return out
}

func (x *explorer) askClose(s *state, a operator.AskClose) {
	i := x.spanOf(string(a.Spans[0].ID))
	if len(a.Spans) == 1 {
		rec, _ := x.span(s, i)
		x.ask(s, a.Owner.Session, i, operator.AskEnd{Span: rec, From: rec.Checkpoint, Term: x.term(s)})
		return
	}
	ev := &askMerge{term: x.term(s)}
	for _, r := range a.Spans {
		rec, _ := x.span(s, x.spanOf(string(r.ID)))
		ev.spans, ev.from = append(ev.spans, rec), append(ev.from, rec.Checkpoint)
	}
	x.ask(s, a.Owner.Session, i, ev)
}

// place asks any node, or the one that is named; where openings fail the scheduler gives another one a try.
func (x *explorer) place(s *state, a operator.Place) {
	i := x.spanOf(string(a.Span.ID))
	rec, _ := x.span(s, i)
	for _, p := range s.procs {
		if x.cfg.OneAsk && p.held[i] != nil && p.held[i].Phase == operator.Claiming {
			return
		}
	}
	for n, name := range x.cfg.Nodes {
		if a.Only == "" || a.Only == name || x.cfg.Of&Failure != 0 {
			session := s.etcd.kvs[x.nodeKeys[n]].create
			x.ask(s, session, i, operator.AskOpen{Span: rec, From: rec.Checkpoint, Term: x.term(s), By: a.By})
		}
	}
}

// ask emits a request that arrives at once, and one that arrives late.
func (x *explorer) ask(s *state, session int64, i int, ev operator.Event) {
	p := s.procOf(session)
	if p < 0 || s.procs[p].stopping {
		return
	}
	t := *s
	x.asked(&t, p, x.term(s), i, ev)
	if x.tracing {
		x.say("leader asks %s to %s", x.who(s, p), describeAsk(x, i, ev))
	}
	x.emit(&t, false)
	if !x.can(s, LateAsk) {
		return
	}
	t = *s
	t.left--
	t.asks = append(slices.Clip(t.asks), &late{session, x.term(s), i, ev})
	if x.tracing {
		x.say("leader asks %s to %s; that is delayed", x.who(s, p), describeAsk(x, i, ev))
	}
	x.emit(&t, true)
}

// asked is what a dispatcher does with a request: messages of former leaders are dropped.
func (x *explorer) asked(t *state, p int, term int64, i int, ev operator.Event) {
	if t.procs[p].stopping || term < t.procs[p].term {
		return
	}
	if term > t.procs[p].term {
		t.own(p).term = term
	}
	switch ev := ev.(type) {
	case *askMerge:
		x.merge(t, p, ev)
	case operator.AskRevoke:
		if m := t.procs[p].merger; m != nil && slices.Contains(m.spans, i) {
			x.mergeStep(t, p, ev)
			return
		}
		x.step(t, p, i, ev)
	default:
		x.route(t, p, i, ev)
	}
}

// lead emits a write of the leader that lands at once, and one that lands late.
func (x *explorer) lead(s *state, p txn.Part, op int, what string) {
	w := &sent{Sent: Sent{Part: p, Outer: []txn.Cmp{operator.Leading(x.layout, x.term(s))}, Leader: true}, term: x.term(s), op: op}
	if x.cfg.Mutant.Send != nil {
		w.Sent = x.cfg.Mutant.Send(w.Sent)
	}
	t := *s
	x.commit(&t, w)
	if x.tracing {
		x.say("leader: %s", what)
	}
	x.emit(&t, false)
	if !x.can(s, LateCopy) {
		return
	}
	t = *s
	t.left--
	t.wire = append(slices.Clip(t.wire), w)
	if x.tracing {
		x.say("leader: %s; the write is on its way", what)
	}
	x.emit(&t, true)
}
