package explore

import (
	"fmt"
	"slices"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
)

// users emits what users may ask for.
func (x *explorer) users(s *state) {
	for n, o := range x.cfg.Ops {
		switch {
		case slices.ContainsFunc(s.wire, func(w *sent) bool { return w.op == n }):
		case s.accepted>>n&1 == 0:
			x.accept(s, n, o)
		case s.cancels > 0 && s.etcd.kvs[x.history[n]].val == nil:
			x.cancel(s, n)
		}
	}
	x.aborts(s)
}

// accept emits the acceptance of an operator.
func (x *explorer) accept(s *state, n int, o Op) {
	var spans []operator.Span
	busy := false
	for _, id := range o.Spans {
		i := x.spanOf(string(id))
		rec, ok := x.span(s, i)
		if !ok {
			return
		}
		spans = append(spans, rec)
		busy = busy || rec.Intent != nil || x.claim(s, i) != nil
	}
	first := spans[0]
	switch {
	case busy && o.Kind == record.KindRemove:
		x.supersede(s, n, first)
	case busy:
	case o.Kind == record.KindMove && first.Owner.Node == o.To && x.present(s, x.nodeIndex[o.To], first.Owner.Session):
	default:
		x.lead(s, operator.Accept(x.layout, spans, x.intent(n, o, first)), n, "accept "+x.opName(n))
	}
}

func (x *explorer) intent(n int, o Op, rec operator.Span) *record.Intent {
	i := &record.Intent{
		Operator: x.opIDs[n], Kind: o.Kind, By: record.ByUser, To: o.To, From: rec.Owner.Node, CreatedAt: epoch, At: o.At,
	}
	for _, id := range o.Spans {
		i.Spans = append(i.Spans, string(id))
	}
	for _, r := range x.refs {
		var k int
		if c, _ := fmt.Sscanf(string(r.ID), x.opIDs[n]+".%d", &k); c == 1 {
			i.Results = append(i.Results, string(r.ID))
		}
	}
	return i.Marked(record.Mark{Stage: record.StageQueued, At: epoch})
}

// group is what is known of all spans that carry the operator of span i; claimed is the one that is claimed, -1 for none.
func (x *explorer) group(s *state, i int) (members []operator.Held, claimed int) {
	recs, _ := x.records(s, i)
	claimed = -1
	for _, m := range recs.Members {
		if m.Claim != nil {
			claimed = x.spanOf(string(m.ID))
		}
		members = append(members, operator.Held{Span: m.Span, At: m.Checkpoint})
	}
	return members, claimed
}

// cancel emits a cancel of operator n: by the leader if nobody acts, else by whoever does.
func (x *explorer) cancel(s *state, n int) {
	i := slices.IndexFunc(x.spanKeys, func(k int) bool {
		v := s.etcd.kvs[k].val
		return v != nil && v.span.Intent != nil && v.span.Intent.Operator == x.opIDs[n]
	})
	if i < 0 || s.etcd.kvs[x.spanKeys[i]].val.span.Intent.HandedOff {
		return
	}
	t := *s
	t.cancels--
	emit := x.emit
	x.emit = func(t *state, _ bool) { emit(t, true) }
	x.end(&t, i, record.Cause{By: record.ByUser, RequestID: "cancel"}, nil)
	x.emit = emit
}

// supersede emits the acceptance of remove n in the place of what holds its span.
func (x *explorer) supersede(s *state, n int, rec operator.Span) {
	if rec.Intent != nil && rec.Intent.Kind == record.KindRemove {
		return
	}
	x.end(s, x.spanOf(string(rec.ID)), record.Cause{By: record.ByUser, Operator: x.opIDs[n]}, x.intent(n, x.cfg.Ops[n], rec))
}

// end emits the early end of the operator of span i.
func (x *explorer) end(s *state, i int, why record.Cause, successor *record.Intent) {
	members, claimed := x.group(s, i)
	rec := members[0].Span
	if claimed < 0 {
		e := operator.EarlyEnd{
			Members: members, Outcome: record.OutcomeCancelled, Error: operator.EndText(why), Cause: &why, Successor: successor, Of: rec.ID,
		}
		op := -1
		if successor != nil {
			op = x.opIndex[successor.Operator]
		}
		x.lead(s, operator.End(x.layout, e, epoch), op, "end "+operatorOf(rec)+" early: "+e.Error)
		return
	}
	c := x.claim(s, claimed)
	ev := operator.AskRevoke{Operator: c.Operator, Term: x.term(s), Cause: why, Successor: successor}
	if successor != nil {
		ev.Of = rec.ID
	}
	for _, m := range members {
		ev.Members = append(ev.Members, m.Span)
	}
	x.ask(s, c.Session, claimed, ev)
}

// aborts emits that an opening takes too long. That is a fault, unless nobody acts under the claim: then it always will.
func (x *explorer) aborts(s *state) {
	for i := range x.refs {
		rec, _ := x.span(s, i)
		c := x.claim(s, i)
		if c == nil || c.Stage != record.StageOpening {
			continue
		}
		p := s.procOf(c.Session)
		nobody := p >= 0 && s.procs[p].held[i] == nil
		if !nobody && !x.can(s, TooLong) {
			continue
		}
		t := *s
		emit := x.emit
		if !nobody {
			t.left--
			x.emit = func(t *state, _ bool) { emit(t, true) }
		}
		x.ask(&t, c.Session, i, operator.AskAbort{Span: rec, Operator: c.Operator, Claim: c.Mod})
		x.emit = emit
	}
}
