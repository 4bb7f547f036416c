package operator_test

import (
	"testing"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// A transaction that was sent twice may land again much later. A claim that does so after its opening was given up
// would claim the span for nobody: its session lives, so nobody may take it away, and no actor knows of it.
func TestLateClaimIsRefused(t *testing.T) {
	w := newWorld(t)
	n := w.start("n1")
	r := operator.Ref{Keyspace: ks, ID: "s"}
	w.add(r, span.Range{Start: "a", End: "b"})
	w.next(r, "n1")
	claim := n.spans[r].send.Part
	w.deliver(n, r, false)
	w.openFailed(n, r, "disk")
	w.deliver(n, r, false)
	if w.claim(r) != nil {
		t.Fatal("the claim was not given up")
	}
	if res := w.apply(n.lease, nil, claim); res.Outcome == txn.Done {
		t.Fatalf("the second copy of the claim landed: %+v", w.claim(r))
	}
}

// A claim that was refused may land again, too: once the claim that stood in its way has vanished with its session, which
// leaves the record as it was. Nobody acts under it, and its session lives; it goes when its node is asked to give the late
// opening up.
func TestAClaimForNobodyIsGivenUp(t *testing.T) {
	w := newWorld(t)
	n1, n2 := w.start("n1"), w.start("n2")
	r := operator.Ref{Keyspace: ks, ID: "s"}
	w.add(r, span.Range{Start: "a", End: "b"})
	w.next(r, "n1")
	w.next(r, "n2")
	late := n2.spans[r].send.Part
	w.deliver(n1, r, false)
	w.deliver(n2, r, false) // refused: n1 holds the span
	w.expire(n1)
	if res := w.apply(n2.lease, nil, late); res.Outcome != txn.Done {
		t.Fatalf("the second copy was refused: %+v", res)
	}
	c := w.claim(r)
	s, _ := w.span(r)
	w.step(n2, r, operator.AskAbort{Span: s, Operator: c.Operator, Claim: c.Mod})
	w.deliver(n2, r, false)
	if w.claim(r) != nil || n2.spans[r] != nil {
		t.Fatalf("the span stays claimed for nobody: %+v", w.claim(r))
	}
}

// The claim of a child comes with its record, and the answer of that swap may be lost: an abort must not take the claim away
// from who will go on under it.
func TestTheClaimOfAChildIsNotForNobody(t *testing.T) {
	child := operator.Span{Ref: operator.Ref{Keyspace: ks, ID: "1-1.0"}, Mod: 10}
	a, fx := operator.Actor{}.Step(operator.Env{}, operator.AskAbort{Span: child, Claim: 10})
	if len(fx) != 1 || a.Phase != operator.Idle {
		t.Fatalf("phase %d, effects %v", a.Phase, fx)
	}
	if say, ok := fx[0].(operator.Say); !ok || say.Result != operator.ResultRefused {
		t.Fatalf("%+v", fx[0])
	}
}

// Every transaction that changes a span falsifies its own compares, so that a second copy is refused.
func TestTransactionsLandOnce(t *testing.T) {
	w := newWorld(t)
	r := operator.Ref{Keyspace: ks, ID: "s"}
	w.add(r, span.Range{Start: "a", End: "b"})
	s, _ := w.span(r)
	me := operator.Identity{Node: "n1", Session: 5}
	owned := s
	owned.Owner = record.Owner{Node: "n1", Session: 5, Token: 6}
	owned.Intent = &record.Intent{Operator: "1-1", Kind: record.KindMove, To: "n2", Spans: []string{"s"}}
	c := operator.Claim{Claim: record.Claim{Stage: record.StageClosing, Node: "n1", Session: 5}, Mod: 9}
	for name, p := range map[string]txn.Part{
		"accept":    operator.Accept(w.l, []operator.Span{s}, owned.Intent),
		"end":       operator.End(w.l, operator.EarlyEnd{Members: []operator.Held{{Span: owned}}, Outcome: record.OutcomeFailed}, epoch),
		"claim":     operator.ClaimSpan(w.l, s, c.Claim),
		"commit":    operator.Commit(w.l, owned, c, owned.Owner, record.At(1), epoch),
		"hand off":  operator.HandOff(w.l, owned, c, record.At(1), epoch),
		"remove":    operator.Remove(w.l, owned, c, epoch),
		"abort":     operator.AbortOpening(w.l, s, c, me),
		"hand back": operator.HandBack(w.l, owned, record.At(1)),
		"drop":      operator.DropClaim(w.l, r, c, 0),
		"undo":      operator.Undo(w.l, owned, c),
		"drop own":  operator.DropOwn(w.l, s, c),
		"progress":  operator.PutProgress(w.l, ks, 1, record.Progress{"s": 1}, 3),
		"new span":  operator.PutNewSpan(w.l, operator.Keyspace{Mod: 1}, s),
	} {
		if !p.Once() {
			t.Errorf("%s can land twice", name)
		}
	}
}

// A closing that was interrupted is let go of if its operator could not be ended, since another source of the merge has
// changed meanwhile. Nothing has happened to the span itself then, but a second copy of its claim must not land.
func TestALateClaimOfAClosingIsRefused(t *testing.T) {
	w := newWorld(t)
	n1, n2 := w.start("n1"), w.start("n2")
	a, b := operator.Ref{Keyspace: ks, ID: "a"}, operator.Ref{Keyspace: ks, ID: "b"}
	w.add(a, span.Range{Start: "a", End: "b"})
	w.add(b, span.Range{Start: "b", End: "c"})
	for r, n := range map[operator.Ref]*node{a: n1, b: n2} {
		w.next(r, n.name)
		w.deliver(n, r, false)
		w.opened(n, r)
		w.deliver(n, r, false)
	}
	w.accept(record.Intent{Kind: record.KindMerge}, a, b)
	w.next(a, "")
	late := n2.spans[b].send
	w.deliver(n2, b, true)
	w.deliver(n2, b, false)
	w.revoke(b, false)
	w.step(n1, a, operator.Stop{})
	w.closed(n1, a)
	w.deliver(n1, a, false) // refused: the merge was accepted meanwhile
	w.deliver(n1, a, false)
	w.deliver(n2, b, false) // refused: n1 has handed the other source back
	w.deliver(n2, b, false)
	if w.claim(b) != nil || n2.spans[b] != nil {
		t.Fatalf("the claim was not given up:\n%s", w.out.String())
	}
	outer := []txn.Cmp{operator.Acting(w.l, operator.Identity{Node: "n2", Session: n2.session}), operator.Leading(w.l, late.Term)}
	if res := w.apply(n2.lease, outer, late.Part); res.Outcome == txn.Done {
		t.Fatalf("the second copy of the claim landed: %+v", w.claim(b))
	}
	if s, _ := w.span(b); s.Owner.Session != n2.session || s.Intent == nil {
		t.Errorf("%+v", s)
	}
}
