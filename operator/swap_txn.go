package operator

import (
	"fmt"
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/span"
)

const (
	// MaxChildren is how many spans a split makes at most: its swap is one transaction, and etcd takes 128 operations in one.
	MaxChildren = 60
	// MaxSources is how many spans a merge takes at most, for the same reason.
	MaxSources = 16
)

// SwapClaimed is the commit point of a split or a merge: the parents and their claims go, the children come, each claimed for an
// opening by the session that closed the parents, with the revision of this transaction as its token. The operator ends
// here. It is sent alone: with 60 children it is as large as etcd allows.
//
// at holds the position of each parent: known durable, whatever the records say.
func SwapClaimed(l keys.Layout, parents []Held, now time.Time) (txn.Part, error) {
	spans := make([]Span, len(parents))
	at := make([]record.Position, len(parents))
	p := txn.Part{}
	var actor record.Claim
	for n, m := range parents {
		actor = m.Claim.Claim
		spans[n], at[n] = marked(m.Span, record.StageClosing, actor.At, actor.Node), m.At
		p.If = append(p.If, claimed(l, m.Span, m.Claim.Mod)...)
		p.Then = append(p.Then, txn.Delete(l.Operator(m.Keyspace, m.ID)), txn.Delete(l.Span(m.Keyspace, m.ID)))
	}
	children, err := Children(spans, at, now)
	if err != nil {
		return txn.Part{}, err
	}
	for _, c := range children {
		p.Then = append(p.Then, txn.PutLeased(l.Operator(c.Keyspace, c.ID), record.EncodeClaim(ChildClaim(actor, now))))
	}
	return swapped(l, p, spans, children, actor.Node, now), nil
}

// SwapOwnerless is SwapClaimed by the leader, where every parent carries the intent, nobody acts on it, and its owner is gone.
func SwapOwnerless(l keys.Layout, parents []Held, now time.Time) (txn.Part, error) {
	spans := make([]Span, len(parents))
	at := make([]record.Position, len(parents))
	p := txn.Part{}
	for n, m := range parents {
		spans[n], at[n] = m.Span, m.At
		p.If = append(p.If, unclaimed(l, m.Span)...)
		p.Then = append(p.Then, txn.Delete(l.Span(m.Keyspace, m.ID)))
	}
	children, err := Children(spans, at, now)
	if err != nil {
		return txn.Part{}, err
	}
	return swapped(l, p, spans, children, "", now), nil
}

// swapped adds what both swaps write.
func swapped(l keys.Layout, p txn.Part, parents, children []Span, node string, now time.Time) txn.Part {
	first := parents[0]
	history := l.History(first.Keyspace, first.Intent.Operator)
	for _, c := range children {
		p.Then = append(p.Then, txn.Put(l.Span(c.Keyspace, c.ID), record.EncodeSpan(c.Span)))
	}
	p.If = append(p.If, txn.Absent(history))
	p.Then = append(p.Then, txn.Put(history, record.EncodeHistory(finish(inOrder(parents), record.OutcomeDone, "", node, now))))
	p.Mine = func(f txn.Found) bool { return has(f, history) }
	return p
}

// ChildClaim is the claim of the actor on each child: a placement, which needs no operator any more.
func ChildClaim(actor record.Claim, now time.Time) record.Claim {
	return record.Claim{
		Stage: record.StageOpening, Node: actor.Node, Session: actor.Session, At: now, By: record.ByPlacement, Term: actor.Term,
	}
}

// Children are the records that a split or a merge puts in the place of its parents, with the ids of the intent. A merged
// span starts at the lowest of its parents' positions; each of those is the highest that is known to be durable.
func Children(parents []Span, at []record.Position, now time.Time) ([]Span, error) {
	i := parents[0].Intent
	from := parents[0].Checkpoint.Max(at[0])
	for n, p := range parents[1:] {
		from = from.Min(p.Checkpoint.Max(at[n+1]))
	}
	parents = inOrder(parents)
	parts, err := cut(i, parents)
	if err != nil {
		return nil, err
	}
	if len(parts) != len(i.Results) {
		return nil, fmt.Errorf("operator %s makes %d spans and has names for %d", i.Operator, len(parts), len(i.Results))
	}
	children := make([]Span, len(parts))
	for n, r := range parts {
		children[n] = Span{
			Ref: Ref{parents[0].Keyspace, span.ID(i.Results[n])},
			// LastNode stays empty: if no owner was left to make the child, nobody has run it.
			Span: record.Span{Range: r, Checkpoint: from, Parents: ids(parents), CreatedAt: now},
		}
	}
	return children, nil
}

// cut is the ranges of the children.
func cut(i *record.Intent, parents []Span) ([]span.Range, error) {
	if i.Kind == record.KindSplit {
		return parents[0].Range.Split(i.At...)
	}
	r, err := span.Merge(ranges(parents)...)
	return []span.Range{r}, err
}
