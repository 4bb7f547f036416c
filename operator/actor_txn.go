package operator

import (
	"fmt"
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
)

// Acting is the outer compare of every transaction of a dispatcher: its own node key, made by this session.
func Acting(l keys.Layout, me Identity) txn.Cmp { return txn.Created(l.Node(me.Node), me.Session) }

// ClaimSpan takes the right to act on one span: nobody else acts, and the record is the one that the leader's
// plan was made on. It is sent under Leading and Acting. The claim is on the actor's own lease.
func ClaimSpan(l keys.Layout, s Span, c record.Claim) txn.Part {
	key := l.Operator(s.Keyspace, s.ID)
	return txn.Part{
		If:      unclaimed(l, s),
		Then:    []txn.Op{txn.PutLeased(key, record.EncodeClaim(c))},
		Witness: historyOf(l, s),
		Mine: func(f txn.Found) bool {
			got, err := record.DecodeClaim(f[key].Value)
			return err == nil && got.Session == c.Session && got.Operator == c.Operator && got.Stage == c.Stage
		},
	}
}

func historyOf(l keys.Layout, s Span) []string {
	if s.Intent == nil {
		return nil
	}
	return []string{l.History(s.Keyspace, s.Intent.Operator)}
}

// claimed compares what every ending of a step compares besides the own node key: the claim, and the record.
func claimed(l keys.Layout, s Span, claim int64) []txn.Cmp {
	return []txn.Cmp{
		txn.At(l.Operator(s.Keyspace, s.ID), claim),
		txn.At(l.Span(s.Keyspace, s.ID), s.Mod),
	}
}

// Commit makes the session that opened the span under a claim its owner. A handed-off move ends here; the intent of a
// remove or a merge stays, since its opening was only a step.
func Commit(l keys.Layout, s Span, c Claim, o record.Owner, at record.Position, now time.Time) txn.Part {
	key := l.Span(s.Keyspace, s.ID)
	p := txn.Part{
		If: claimed(l, s, c.Mod),
		Then: []txn.Op{
			txn.Delete(l.Operator(s.Keyspace, s.ID)),
			txn.Put(key, record.EncodeSpan(committed(s, c, o, at))),
		},
		Mine: func(f txn.Found) bool {
			got, err := record.DecodeSpan(f[key].Value)
			return err == nil && got.Owner == o
		},
	}
	if i := s.Intent; i != nil && i.Kind == record.KindMove {
		history := l.History(s.Keyspace, i.Operator)
		outcome, why := record.OutcomeDone, ""
		if i.To != "" && i.To != o.Node {
			outcome, why = record.OutcomeFailed, elsewhere(i, o.Node)
		}
		h := finish([]Span{marked(s, record.StageOpening, c.At, o.Node)}, outcome, why, o.Node, now)
		p.Then = append(p.Then, txn.Put(history, record.EncodeHistory(h)))
	}
	return p
}

// elsewhere says why a move has not ended at its target.
func elsewhere(i *record.Intent, node string) string {
	since := "the loss of its owner"
	if i.HandedOff {
		since = "the hand-off"
	}
	return fmt.Sprintf("after %s %s was gone or could not open it; the span was opened on %s", since, i.To, node)
}

// committed is the record that a commit puts.
func committed(s Span, c Claim, o record.Owner, at record.Position) record.Span {
	next := marked(s, record.StageOpening, c.At, o.Node).Span
	next.Owner, next.LastNode = o, o.Node
	next.Checkpoint = s.Checkpoint.Max(at)
	if next.Intent != nil && next.Intent.Kind == record.KindMove {
		next.Intent = nil
	}
	return next
}

// HandOff ends the closing of a span that is to be opened elsewhere: it is really closed, and nobody owns it. It is the
// commit point of a move, whose intent says so and stays; for a merge it is a step, which gathers its sources.
func HandOff(l keys.Layout, s Span, c Claim, final record.Position, now time.Time) txn.Part {
	key, history := l.Span(s.Keyspace, s.ID), l.History(s.Keyspace, s.Intent.Operator)
	owner := s.Owner
	next := marked(marked(s, record.StageClosing, c.At, c.Node), record.StageHandedOff, now, c.Node).Span
	next.Owner = record.Owner{}
	next.Checkpoint = s.Checkpoint.Max(final)
	next.Intent.HandedOff = next.Intent.Kind == record.KindMove
	return txn.Part{
		If: claimed(l, s, c.Mod),
		Then: []txn.Op{
			txn.Delete(l.Operator(s.Keyspace, s.ID)),
			txn.Put(key, record.EncodeSpan(next)),
		},
		Witness: []string{history},
		// While the sender held its claim nobody else could end its ownership.
		Mine: func(f txn.Found) bool {
			got, err := record.DecodeSpan(f[key].Value)
			return has(f, history) || err == nil && got.Owner != owner
		},
	}
}

// Remove is the commit point of a remove: the span is really closed, its record goes, its history comes.
func Remove(l keys.Layout, s Span, c Claim, now time.Time) txn.Part {
	history := l.History(s.Keyspace, s.Intent.Operator)
	done := finish([]Span{marked(s, record.StageClosing, c.At, c.Node)}, record.OutcomeDone, "", c.Node, now)
	return txn.Part{
		If: append(claimed(l, s, c.Mod), txn.Absent(history)),
		Then: []txn.Op{
			txn.Delete(l.Operator(s.Keyspace, s.ID)),
			txn.Delete(l.Span(s.Keyspace, s.ID)),
			txn.Put(history, record.EncodeHistory(done)),
		},
		Mine: func(f txn.Found) bool { return has(f, history) },
	}
}

// ClaimAll takes the right to act on all sources of a merge, or on none. It is sent like ClaimSpan.
func ClaimAll(l keys.Layout, spans []Span, claims []Claim) txn.Part {
	var all txn.Part
	for n, s := range spans {
		p := ClaimSpan(l, s, claims[n].Claim)
		all.If = append(all.If, p.If...)
		all.Then = append(all.Then, p.Then...)
		all.Witness, all.Mine = p.Witness, p.Mine // they are there together or not at all
	}
	return all
}

// AbortOpening gives an opening up after nothing of it runs any more. Where the record names the actor as the
// owner, which had opened again, nobody owns the span afterwards: its old instance is closed, too.
//
// The record is rewritten even if nothing in it changes. Otherwise the claim's own compares would hold again, and a
// second sending of it that was on its way for long could land now, and claim the span for nobody.
func AbortOpening(l keys.Layout, s Span, c Claim, me Identity) txn.Part {
	claim := l.Operator(s.Keyspace, s.ID)
	next := s.Span
	if me.Owns(s.Span) {
		next.Owner = record.Owner{}
	}
	return txn.Part{
		If: claimed(l, s, c.Mod),
		Then: []txn.Op{
			txn.Delete(claim),
			txn.Put(l.Span(s.Keyspace, s.ID), record.EncodeSpan(next)),
		},
		Mine: func(f txn.Found) bool { return f[claim].Mod != c.Mod },
	}
}

// Undo gives the claim of a closing up that was interrupted, and leaves the span as it is: nothing was really closed. The
// record is rewritten for the same reason as in AbortOpening.
func Undo(l keys.Layout, s Span, c Claim) txn.Part { return AbortOpening(l, s, c, Identity{}) }

// HandBack makes a closed span ownerless without an operator: a clean stop, or an instance that could not go on.
func HandBack(l keys.Layout, s Span, final record.Position) txn.Part {
	key, owner := l.Span(s.Keyspace, s.ID), s.Owner
	next := s.Span
	next.Owner = record.Owner{}
	next.Checkpoint = s.Checkpoint.Max(final)
	return txn.Part{
		If:   unclaimed(l, s),
		Then: []txn.Op{txn.Put(key, record.EncodeSpan(next))},
		Mine: func(f txn.Found) bool {
			got, err := record.DecodeSpan(f[key].Value)
			return !has(f, key) || err == nil && got.Owner != owner
		},
	}
}

// DropOwn deletes the actor's own claim and touches nothing else: the way out where a step's last transaction was
// refused because somebody changed records by hand.
func DropOwn(l keys.Layout, s Span, c Claim) txn.Part {
	key := l.Operator(s.Keyspace, s.ID)
	return txn.Part{
		If:   []txn.Cmp{txn.At(key, c.Mod)},
		Then: []txn.Op{txn.Delete(key)},
		Mine: func(f txn.Found) bool { return f[key].Mod != c.Mod },
	}
}

// Token is the fencing token of an owner: the generation of the cluster, which is raised when etcd is restored
// and its revisions go back, above the revision of the claim that lets it open.
func Token(generation uint64, claim int64) uint64 { return generation<<48 | uint64(claim) }
