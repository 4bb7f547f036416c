package operator

import (
	"slices"
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
)

// Leading is the outer compare of every write of a leader, and of every claim made at its request: the term lasts.
func Leading(l keys.Layout, term int64) txn.Cmp { return txn.At(l.Leader(), term) }

// unclaimed compares what every write of the leader to a span compares besides its term: the record that the
// plan was made on, and that nobody acts on the span.
func unclaimed(l keys.Layout, s Span) []txn.Cmp {
	return []txn.Cmp{
		txn.At(l.Span(s.Keyspace, s.ID), s.Mod),
		txn.Absent(l.Operator(s.Keyspace, s.ID)),
	}
}

// Accept puts an operator's intent into the records of all its spans, at once.
func Accept(l keys.Layout, spans []Span, i *record.Intent) txn.Part {
	history := l.History(spans[0].Keyspace, i.Operator)
	p := txn.Part{If: []txn.Cmp{txn.Absent(history)}, Witness: []string{history}}
	keys := make([]string, len(spans))
	for n, s := range spans {
		keys[n] = l.Span(s.Keyspace, s.ID)
		s.Intent = i
		p.If = append(p.If, unclaimed(l, s)...)
		p.Then = append(p.Then, txn.Put(keys[n], record.EncodeSpan(s.Span)))
	}
	p.Mine = func(f txn.Found) bool { return has(f, history) || holdsAny(f, keys, i.Operator) }
	return p
}

// Add makes a span. The ownerless record is its own intent to be opened, so the operator is accepted and ended
// by this one write. It rewrites the keyspace record, so that two adds can never both have seen a free range.
func Add(l keys.Layout, ks Keyspace, s Span, i *record.Intent, now time.Time) txn.Part {
	key, history := l.Span(s.Keyspace, s.ID), l.History(s.Keyspace, i.Operator)
	outer := ks.Keyspace
	outer.RangeGeneration++
	done := s
	done.Intent = i
	return txn.Part{
		If: []txn.Cmp{txn.At(l.Keyspace(ks.Name), ks.Mod), txn.Absent(key), txn.Absent(history)},
		Then: []txn.Op{
			txn.Put(l.Keyspace(ks.Name), record.EncodeKeyspace(outer)),
			txn.Put(key, record.EncodeSpan(s.Span)),
			txn.Put(history, record.EncodeHistory(finish([]Span{done}, record.OutcomeDone, "", "", now))),
		},
		Mine: func(f txn.Found) bool { return has(f, history) },
	}
}

// BeginKeyspace records a keyspace that is being created. Its spans are added by PutNewSpan and stay invisible
// to placement until CompleteKeyspace.
func BeginKeyspace(l keys.Layout, ks Keyspace) txn.Part {
	key := l.Keyspace(ks.Name)
	by := ks.CreatedBy
	return txn.Part{
		If:   []txn.Cmp{txn.Absent(key)},
		Then: []txn.Op{txn.Put(key, record.EncodeKeyspace(ks.Keyspace))},
		Mine: func(f txn.Found) bool {
			found, err := record.DecodeKeyspace(f[key].Value)
			return err == nil && found.CreatedBy == by
		},
	}
}

// PutNewSpan adds one span to a keyspace that is being created, whose record is as it was read: a write that lands late
// must not leave a span behind if somebody has deleted the keyspace meanwhile. Its id belongs to the creating operator, so
// a record that is there already is the trace of an earlier try.
func PutNewSpan(l keys.Layout, ks Keyspace, s Span) txn.Part {
	key := l.Span(s.Keyspace, s.ID)
	return txn.Part{
		If:   []txn.Cmp{txn.At(l.Keyspace(s.Keyspace), ks.Mod), txn.Absent(key)},
		Then: []txn.Op{txn.Put(key, record.EncodeSpan(s.Span))},
		Mine: func(f txn.Found) bool { return has(f, key) },
	}
}

// SetKeyspace rewrites a keyspace record and, where an operator ends with it, puts the operator's history.
func SetKeyspace(l keys.Layout, ks Keyspace, next record.Keyspace, h *record.History) txn.Part {
	key := l.Keyspace(ks.Name)
	p := txn.Part{
		If:   []txn.Cmp{txn.At(key, ks.Mod)},
		Then: []txn.Op{txn.Put(key, record.EncodeKeyspace(next))},
	}
	if h == nil {
		want := string(record.EncodeKeyspace(next))
		p.Mine = func(f txn.Found) bool { return string(f[key].Value) == want }
		return p
	}
	history := l.History(ks.Name, h.Intent.Operator)
	p.If = append(p.If, txn.Absent(history))
	p.Then = append(p.Then, txn.Put(history, record.EncodeHistory(*h)))
	p.Mine = func(f txn.Found) bool { return has(f, history) }
	return p
}

// DropClaim deletes a claim whose session is not a present node key: present is the session that the node has
// now, 0 for none. That is compared, too: the leader never takes a claim away from a living session.
func DropClaim(l keys.Layout, r Ref, c Claim, present int64) txn.Part {
	key := l.Operator(r.Keyspace, r.ID)
	return txn.Part{
		If:   []txn.Cmp{txn.At(key, c.Mod), txn.Created(l.Node(c.Node), present)},
		Then: []txn.Op{txn.Delete(key)},
		Mine: func(f txn.Found) bool { return f[key].Mod != c.Mod },
	}
}

// Trim deletes the history of an operator, as it was read at mod. Only what is over has one, so nothing in flight is
// ever lost by it.
func Trim(l keys.Layout, ks, operator string, mod int64) txn.Part {
	key := l.History(ks, operator)
	return txn.Part{
		If:   []txn.Cmp{txn.At(key, mod)},
		Then: []txn.Op{txn.Delete(key)},
		Mine: func(f txn.Found) bool { return f[key].Mod != mod },
	}
}

// PutProgress rewrites one bucket of positions, as it was read at mod. Without that compare a sending whose answer
// was lost could land again later, over a newer one.
func PutProgress(l keys.Layout, ks string, bucket uint32, p record.Progress, mod int64) txn.Part {
	key, value := l.Progress(ks, bucket), record.EncodeProgress(p)
	return txn.Part{
		If:   []txn.Cmp{txn.At(key, mod)},
		Then: []txn.Op{txn.Put(key, value)},
		Mine: func(f txn.Found) bool { return string(f[key].Value) == string(value) },
	}
}

// holds reports whether the span record found under key carries the operator's intent.
func holds(f txn.Found, key, operator string) bool {
	s, err := record.DecodeSpan(f[key].Value)
	return err == nil && s.Intent != nil && s.Intent.Operator == operator
}

func holdsAny(f txn.Found, keys []string, operator string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return holds(f, key, operator) })
}

func has(f txn.Found, key string) bool {
	_, ok := f[key]
	return ok
}
