package operator

import (
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/span"
)

// EarlyEnd ends an operator that is not past its commit point: it failed, was cancelled, or a remove takes its place. All
// spans that carry it are in Members, so that none is left behind with an operator that is over.
type EarlyEnd struct {
	Members []Held
	// Me is the session that holds the claims; zero where nobody acts and the leader ends the operator.
	Me      Identity
	Outcome record.Outcome
	Error   string
	Cause   *record.Cause
	// Successor is the remove that takes the place of the operator on the span Of; nil for none.
	Successor *record.Intent
	Of        span.ID
}

// Held is a span with the claim that the sender holds on it, nil for none, and the position that its instance has
// reached.
type Held struct {
	Span
	Claim *Claim
	At    record.Position
}

// End is the transaction of an EarlyEnd. It takes the intent out of every member and puts the history. What the sender has
// begun to close is claimed for an opening, whose new token is the revision of this transaction: whoever it belonged to
// opens it again; the span that is to be removed stays claimed for closing. What the sender has begun to open belongs to
// nobody afterwards.
//
// Superseding the opening of a span without an operator ends nothing, so there is no history then.
func End(l keys.Layout, e EarlyEnd, now time.Time) txn.Part {
	p := txn.Part{}
	for _, m := range e.Members {
		p.If = append(p.If, heldAsRead(l, m)...)
		p.Then = append(p.Then, e.release(l, m, now)...)
	}
	first := e.Members[0]
	if e.Successor != nil {
		accepted := l.History(first.Keyspace, e.Successor.Operator)
		p.If = append(p.If, txn.Absent(accepted))
		key := l.Span(first.Keyspace, e.Of)
		p.Mine = func(f txn.Found) bool { return has(f, accepted) || holds(f, key, e.Successor.Operator) }
	}
	if first.Intent == nil {
		return p
	}
	history := l.History(first.Keyspace, first.Intent.Operator)
	value := string(record.EncodeHistory(e.history(now)))
	p.If = append(p.If, txn.Absent(history))
	p.Then = append(p.Then, txn.Put(history, []byte(value)))
	// Somebody else may have ended the operator meanwhile, in another way: only this very entry is the trace of this part.
	p.Mine = func(f txn.Found) bool { return string(f[history].Value) == value }
	return p
}

// heldAsRead compares that the span is as it was read, and that nobody else acts on it.
func heldAsRead(l keys.Layout, m Held) []txn.Cmp {
	if m.Claim == nil {
		return unclaimed(l, m.Span)
	}
	return claimed(l, m.Span, m.Claim.Mod)
}

// release is what becomes of one member.
func (e EarlyEnd) release(l keys.Layout, m Held, now time.Time) []txn.Op {
	key, claim := l.Span(m.Keyspace, m.ID), l.Operator(m.Keyspace, m.ID)
	next := m.Span.Span
	next.Intent = nil
	if e.Successor != nil && m.ID == e.Of {
		next.Intent = e.Successor
	}
	if m.Claim == nil {
		return []txn.Op{txn.Put(key, record.EncodeSpan(next))}
	}
	next.Checkpoint = next.Checkpoint.Max(m.At)
	if m.Claim.Stage == record.StageOpening {
		if e.Me.Owns(m.Span.Span) {
			next.Owner = record.Owner{}
		}
		return []txn.Op{txn.Delete(claim), txn.Put(key, record.EncodeSpan(next))}
	}
	return []txn.Op{
		txn.PutLeased(claim, record.EncodeClaim(e.Reclaim(m, now))),
		txn.Put(key, record.EncodeSpan(next)),
	}
}

// Reclaim is what the sender's claim on a member that it has begun to close becomes.
func (e EarlyEnd) Reclaim(m Held, now time.Time) record.Claim {
	c := m.Claim.Claim
	c.At = now
	if e.Successor != nil && m.ID == e.Of {
		c.Operator, c.Kind, c.By = e.Successor.Operator, e.Successor.Kind, e.Successor.By
		return c
	}
	c.Operator, c.Kind, c.By, c.Stage = "", 0, record.ByPlacement, record.StageOpening
	return c
}

func (e EarlyEnd) history(now time.Time) record.History {
	spans := make([]Span, len(e.Members))
	for n, m := range e.Members {
		spans[n] = m.Span
		if m.Claim != nil {
			spans[n] = marked(m.Span, m.Claim.Stage, m.Claim.At, m.Claim.Node)
		}
	}
	h := finish(inOrder(spans), e.Outcome, e.Error, e.Me.Node, now)
	h.Cause = e.Cause
	return h
}
