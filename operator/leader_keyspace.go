package operator

import (
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
