package operator

import (
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
)

// CreateKeyspace makes a keyspace with all its spans, and ends the operator that does so, in one part: for as many
// spans as a part may write. More than that go through BeginKeyspace. The ids of the spans belong to the operator, so
// nobody else can have used them.
func CreateKeyspace(l keys.Layout, ks Keyspace, spans []Span, h record.History) txn.Part {
	key, history := l.Keyspace(ks.Name), l.History(ks.Name, h.Intent.Operator)
	p := txn.Part{
		If: []txn.Cmp{txn.Absent(key), txn.Absent(history)},
		Then: []txn.Op{
			txn.Put(key, record.EncodeKeyspace(ks.Keyspace)),
			txn.Put(history, record.EncodeHistory(h)),
		},
		Mine: func(f txn.Found) bool { return has(f, history) },
	}
	for _, s := range spans {
		p.Then = append(p.Then, txn.Put(l.Span(s.Keyspace, s.ID), record.EncodeSpan(s.Span)))
	}
	return p
}

// AcceptKeyspace accepts an operator that next names as pending. It ends the pending operator that it supersedes, if
// there is one.
func AcceptKeyspace(l keys.Layout, ks Keyspace, next record.Keyspace, superseded *record.History) txn.Part {
	key, op := l.Keyspace(ks.Name), next.Pending.Operator
	history := l.History(ks.Name, op)
	p := txn.Part{
		If:      []txn.Cmp{txn.At(key, ks.Mod), txn.Absent(history)},
		Then:    []txn.Op{txn.Put(key, record.EncodeKeyspace(next))},
		Witness: []string{history},
		Mine: func(f txn.Found) bool {
			found, err := record.DecodeKeyspace(f[key].Value)
			return has(f, history) || err == nil && found.Pending != nil && found.Pending.Operator == op
		},
	}
	if superseded != nil {
		p.Then = append(p.Then, txn.Put(l.History(ks.Name, superseded.Intent.Operator), record.EncodeHistory(*superseded)))
	}
	return p
}

// EndKeyspace ends the pending operator of a keyspace that stays.
func EndKeyspace(l keys.Layout, ks Keyspace, now time.Time) txn.Part {
	next, h := ks.Keyspace, FinishKeyspace(ks, record.OutcomeDone, "", now)
	next.Pending = nil
	return SetKeyspace(l, ks, next, &h)
}

// Bucket is a progress record as it was read.
type Bucket struct {
	Number uint32
	Mod    int64
}

// DeleteKeyspace ends the pending operator of a keyspace of which nothing is left but its record and some buckets of
// positions, which go with it: for as many as a part may write.
func DeleteKeyspace(l keys.Layout, ks Keyspace, left []Bucket, now time.Time) txn.Part {
	key, history := l.Keyspace(ks.Name), l.History(ks.Name, ks.Pending.Operator)
	h := FinishKeyspace(ks, record.OutcomeDone, "", now)
	p := txn.Part{
		If:   []txn.Cmp{txn.At(key, ks.Mod), txn.Absent(history)},
		Then: []txn.Op{txn.Delete(key), txn.Put(history, record.EncodeHistory(h))},
		Mine: func(f txn.Found) bool { return has(f, history) },
	}
	for _, b := range left {
		p.If = append(p.If, txn.At(l.Progress(ks.Name, b.Number), b.Mod))
		p.Then = append(p.Then, txn.Delete(l.Progress(ks.Name, b.Number)))
	}
	return p
}

// DropProgress deletes one bucket of positions, as it was read.
func DropProgress(l keys.Layout, ks string, b Bucket) txn.Part {
	key := l.Progress(ks, b.Number)
	return txn.Part{
		If:   []txn.Cmp{txn.At(key, b.Mod)},
		Then: []txn.Op{txn.Delete(key)},
		Mine: func(f txn.Found) bool { return f[key].Mod != b.Mod },
	}
}

// FinishKeyspace turns the pending operator of ks into its history.
func FinishKeyspace(ks Keyspace, o record.Outcome, why string, now time.Time) record.History {
	i := *ks.Pending.Marked(record.Mark{Stage: record.StageFinished, At: now})
	return record.History{Intent: i, Outcome: o, FinishedAt: now, Error: why}
}
