package operator_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// board is a store in which one transaction is about to be carried out: spans a, b and so on, and what it relies on.
type board struct {
	t     *testing.T
	l     keys.Layout
	store *txn.Store
	me    operator.Identity
	spans []operator.Span
}

const (
	mine, another = 1, 2 // leases
	carried       = "7-1"
)

// newBoard has two neighbouring spans of one owner, both with the intent, if there is one.
func newBoard(t *testing.T, i *record.Intent) *board {
	l, err := keys.New("c")
	if err != nil {
		t.Fatal(err)
	}
	b := &board{t: t, l: l, store: txn.NewStore()}
	b.store.Grant(mine)
	b.store.Grant(another)
	b.me = operator.Identity{Node: "n1", Session: b.put(l.Node("n1"), []byte("n1"), true)}
	for _, id := range []string{"a", "b"} {
		s := operator.Span{Ref: operator.Ref{Keyspace: "ks", ID: span.ID(id)}, Span: record.Span{
			Range: span.Range{Start: id, End: id + "~"},
			Owner: record.Owner{Node: "n1", Session: b.me.Session, Token: 3}, Checkpoint: record.At(5),
		}}
		if i != nil && slices.Contains(i.Spans, id) {
			s.Intent = i
		}
		if id == "a" {
			s.Range.End = "b"
		}
		s.Mod = b.put(l.Span("ks", s.ID), record.EncodeSpan(s.Span), false)
		b.spans = append(b.spans, s)
	}
	return b
}

func (b *board) put(key string, value []byte, leased bool) int64 {
	p := txn.Part{Then: []txn.Op{{Key: key, Value: value, Leased: leased}}}
	if _, err := b.store.Apply(mine, txn.Batch{Parts: []txn.Part{p}}); err != nil {
		b.t.Fatal(err)
	}
	return b.store.Revision()
}

// claim puts the owner's claim on a span.
func (b *board) claim(s operator.Span, stage record.Stage) operator.Claim {
	c := record.Claim{Stage: stage, Node: b.me.Node, Session: b.me.Session, At: then, By: record.ByUser, Term: 2}
	if s.Intent != nil {
		c.Operator, c.Kind = s.Intent.Operator, s.Intent.Kind
	}
	return operator.Claim{Claim: c, Mod: b.put(b.l.Operator("ks", s.ID), record.EncodeClaim(c), true)}
}

// held is all spans with claims on them.
func (b *board) held(stage record.Stage) []operator.Held {
	out := b.free()
	for n := range out {
		c := b.claim(out[n].Span, stage)
		out[n].Claim = &c
	}
	return out
}

func (b *board) free() []operator.Held {
	var out []operator.Held
	for _, s := range b.spans {
		out = append(out, operator.Held{Span: s, At: record.At(9)})
	}
	return out
}

var then = time.Unix(2_000_000, 0).UTC()

func intent(k record.Kind, spans ...string) *record.Intent {
	i := &record.Intent{Operator: carried, Kind: k, By: record.ByUser, Spans: spans, CreatedAt: then}
	switch k {
	case record.KindSplit:
		i.At, i.Results = []string{"am"}, []string{carried + ".0", carried + ".1"}
	case record.KindMerge:
		i.Results = []string{carried + ".0"}
	case record.KindMove:
		i.To = "n2"
	}
	return i
}

// transaction is one that the packages builds, with what it relies on.
type transaction struct {
	intent *record.Intent
	build  func(b *board) txn.Part
	// reads are the spans whose records it relies on, free those that nobody may act on, claims those that the sender
	// must still hold.
	reads, free, claims []string
	// ended are operators that must not be over already, since the transaction accepts or ends them.
	ended []string
	// over says that the operator of the intent has ended afterwards.
	over bool
}

var (
	one  = []string{"a"}
	both = []string{"a", "b"}
)

func must(p txn.Part, err error) txn.Part {
	if err != nil {
		panic(err)
	}
	return p
}

var transactions = map[string]transaction{
	"accept": {build: func(b *board) txn.Part {
		return operator.Accept(b.l, b.spans[:1], intent(record.KindMove, one...))
	}, reads: one, free: one, ended: []string{carried}},
	"accept a merge": {build: func(b *board) txn.Part {
		return operator.Accept(b.l, b.spans, intent(record.KindMerge, both...))
	}, reads: both, free: both, ended: []string{carried}},
	"claim": {intent: intent(record.KindMove, one...), build: func(b *board) txn.Part {
		return operator.ClaimSpan(b.l, b.spans[0], record.Claim{Stage: record.StageClosing, Node: "n1", Session: b.me.Session})
	}, reads: one, free: one},
	"claim all": {intent: intent(record.KindMerge, both...), build: func(b *board) txn.Part {
		c := operator.Claim{Claim: record.Claim{Stage: record.StageClosing, Node: "n1", Session: b.me.Session}}
		return operator.ClaimAll(b.l, b.spans, []operator.Claim{c, c})
	}, reads: both, free: both},
	"commit": {intent: intent(record.KindMove, one...), build: func(b *board) txn.Part {
		o := record.Owner{Node: "n1", Session: b.me.Session, Token: 9}
		return operator.Commit(b.l, b.spans[0], b.claim(b.spans[0], record.StageOpening), o, record.At(5), then)
	}, reads: one, claims: one, over: true},
	"commit of a step": {intent: intent(record.KindMerge, both...), build: func(b *board) txn.Part {
		o := record.Owner{Node: "n1", Session: b.me.Session, Token: 9}
		return operator.Commit(b.l, b.spans[0], b.claim(b.spans[0], record.StageOpening), o, record.At(5), then)
	}, reads: one, claims: one},
	"hand off": {intent: intent(record.KindMove, one...), build: func(b *board) txn.Part {
		return operator.HandOff(b.l, b.spans[0], b.claim(b.spans[0], record.StageClosing), record.At(6), then)
	}, reads: one, claims: one},
	"remove": {intent: intent(record.KindRemove, one...), build: func(b *board) txn.Part {
		return operator.Remove(b.l, b.spans[0], b.claim(b.spans[0], record.StageClosing), then)
	}, reads: one, claims: one, ended: []string{carried}, over: true},
	"give an opening up": {intent: intent(record.KindRemove, one...), build: func(b *board) txn.Part {
		return operator.AbortOpening(b.l, b.spans[0], b.claim(b.spans[0], record.StageOpening), b.me)
	}, reads: one, claims: one},
	"hand back": {intent: intent(record.KindMove, one...), build: func(b *board) txn.Part {
		return operator.HandBack(b.l, b.spans[0], record.At(6))
	}, reads: one, free: one},
	"split": {intent: intent(record.KindSplit, one...), build: func(b *board) txn.Part {
		return must(operator.SwapClaimed(b.l, b.held(record.StageClosing)[:1], then))
	}, reads: one, claims: one, ended: []string{carried}, over: true},
	"merge": {intent: intent(record.KindMerge, both...), build: func(b *board) txn.Part {
		return must(operator.SwapClaimed(b.l, b.held(record.StageClosing), then))
	}, reads: both, claims: both, ended: []string{carried}, over: true},
	"merge by the leader": {intent: intent(record.KindMerge, both...), build: func(b *board) txn.Part {
		return must(operator.SwapOwnerless(b.l, b.free(), then))
	}, reads: both, free: both, ended: []string{carried}, over: true},
	"fail": {intent: intent(record.KindMove, one...), build: func(b *board) txn.Part {
		return operator.End(b.l, operator.EarlyEnd{Members: b.free()[:1], Outcome: record.OutcomeFailed, Error: "target gone"}, then)
	}, reads: one, free: one, ended: []string{carried}, over: true},
	"cancel a merge": {intent: intent(record.KindMerge, both...), build: func(b *board) txn.Part {
		return operator.End(b.l, b.early(b.held(record.StageClosing), nil), then)
	}, reads: both, claims: both, ended: []string{carried}, over: true},
	"cancel an opening": {intent: intent(record.KindRemove, one...), build: func(b *board) txn.Part {
		return operator.End(b.l, b.early(b.held(record.StageOpening)[:1], nil), then)
	}, reads: one, claims: one, ended: []string{carried}, over: true},
	"supersede a merge": {intent: intent(record.KindMerge, both...), build: func(b *board) txn.Part {
		return operator.End(b.l, b.early(b.held(record.StageClosing), successor()), then)
	}, reads: both, claims: both, ended: []string{carried, "7-2"}, over: true},
	"supersede a merge unclaimed": {intent: intent(record.KindMerge, both...), build: func(b *board) txn.Part {
		return operator.End(b.l, b.early(b.free(), successor()), then)
	}, reads: both, free: both, ended: []string{carried, "7-2"}, over: true},
}

func successor() *record.Intent {
	i := intent(record.KindRemove, one...)
	i.Operator = "7-2"
	return i
}

func (b *board) early(members []operator.Held, next *record.Intent) operator.EarlyEnd {
	e := operator.EarlyEnd{
		Members: members, Outcome: record.OutcomeCancelled, Error: "cancelled",
		Cause: &record.Cause{By: record.ByUser, RequestID: "r"}, Successor: next, Of: "a",
	}
	if members[0].Claim != nil {
		e.Me = b.me
	}
	return e
}

// outcome carries the transaction out in a store that was changed by somebody else, as the owner of lease.
func outcome(t *testing.T, s *txn.Store, p txn.Part, change ...txn.Op) txn.Outcome {
	t.Helper()
	if len(change) > 0 {
		if _, err := s.Apply(another, txn.Batch{Parts: []txn.Part{{Then: change}}}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.Apply(mine, txn.Batch{Parts: []txn.Part{p}})
	if err != nil {
		t.Fatal(err)
	}
	return r[0].Outcome
}

// A transaction is done in the store that it was planned on, and refused where one thing has changed since: a record
// that it was planned on, even to the same value; somebody who acts; a claim of its own; an operator that is over.
func TestWhatATransactionReliesOn(t *testing.T) {
	for name, tr := range transactions {
		t.Run(name, func(t *testing.T) {
			b := newBoard(t, tr.intent)
			p := tr.build(b)
			if outcome(t, b.store.Clone(), p) != txn.Done {
				t.Fatal("refused although nothing has changed")
			}
			refused := func(why string, change ...txn.Op) {
				t.Helper()
				if outcome(t, b.store.Clone(), p, change...) != txn.Refused {
					t.Errorf("done although %s", why)
				}
			}
			for _, id := range tr.reads {
				kv, _ := b.store.Get(b.l.Span("ks", span.ID(id)))
				refused("the record of "+id+" was rewritten", txn.Put(b.l.Span("ks", span.ID(id)), kv.Value))
			}
			for _, id := range tr.free {
				refused("somebody acts on "+id, txn.PutLeased(b.l.Operator("ks", span.ID(id)), []byte("claim")))
			}
			for _, id := range tr.claims {
				key := b.l.Operator("ks", span.ID(id))
				kv, _ := b.store.Get(key)
				refused("its claim on "+id+" is gone", txn.Delete(key))
				refused("its claim on "+id+" was put again", txn.PutLeased(key, kv.Value))
			}
			for _, op := range tr.ended {
				refused("operator "+op+" is over", txn.Put(b.l.History("ks", op), []byte("history")))
			}
		})
	}
}

// Whatever is done, an operator is afterwards either carried by all of its spans, or in the history and carried by none:
// not by what was made of them either. Every claim hangs on the lease of who acts, and is for what the span carries.
func TestNoTransactionLosesAnOperator(t *testing.T) {
	for name, tr := range transactions {
		t.Run(name, func(t *testing.T) {
			b := newBoard(t, tr.intent)
			if outcome(t, b.store, tr.build(b)) != txn.Done {
				t.Fatal("refused")
			}
			carriers, spans := b.carriers(carried)
			if _, over := b.store.Get(b.l.History("ks", carried)); over != tr.over {
				t.Errorf("in the history: %t, want %t", over, tr.over)
			}
			if tr.over && len(carriers) > 0 || !tr.over && !slices.Equal(carriers, spans) {
				t.Errorf("over: %t, carried by %v of %v", tr.over, carriers, spans)
			}
			if next, of := b.carriers(successor().Operator); slices.Contains(tr.ended, successor().Operator) && !slices.Equal(next, of) {
				t.Errorf("its successor is carried by %v of %v", next, of)
			}
			b.checkClaims(tr.over)
		})
	}
}

// carriers are the spans that carry an operator, and those that it is about.
func (b *board) carriers(op string) (carriers, of []string) {
	of = []string{"at least one"}
	b.store.Scan(b.l.Spans("ks"), func(key string, kv txn.KV) bool {
		s, err := record.DecodeSpan(kv.Value)
		if err != nil {
			b.t.Fatal(err)
		}
		if s.Intent != nil && s.Intent.Operator == op {
			carriers, of = append(carriers, strings.TrimPrefix(key, b.l.Spans("ks"))), s.Intent.Spans
		}
		return true
	})
	return carriers, of
}

func (b *board) checkClaims(over bool) {
	b.store.Scan(b.l.Operators("ks"), func(key string, kv txn.KV) bool {
		c, err := record.DecodeClaim(kv.Value)
		if err != nil {
			b.t.Fatal(err)
		}
		if kv.Lease != mine {
			b.t.Errorf("the claim %s hangs on lease %d", key, kv.Lease)
		}
		if over && c.Operator == carried {
			b.t.Errorf("the claim %s is for an operator that is over", key)
		}
		return true
	})
}
