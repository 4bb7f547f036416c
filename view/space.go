package view

import (
	"cmp"

	"github.com/tidwall/btree"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// treeDegree makes trees flat: they hold up to a million entries of a few words.
const treeDegree = 64

// space is all that is known under the name of one keyspace, whether or not it has a record.
type space struct {
	name     string
	keyspace *Keyspace
	slots    map[span.ID]*slot
	ranges   *btree.BTreeG[placed]
	progress map[uint32]*Progress
	// finished operators by id, and the oldest first.
	histories map[string]*History
	finished  *btree.BTreeG[*History]
	hidden    int // quarantined span records
}

// slot is a span id with all that hangs on it. It stays the same while any of it is there, so that indexes may point
// to it.
type slot struct {
	ref   operator.Ref
	span  *Span
	claim *Claim
	// owned is the revision that made the span's present owner, or a later one if nobody saw that.
	owned int64
	// progress is the highest entry for the span, of so many buckets.
	progress record.Position
	buckets  int
}

// placed is a slot where its range starts. The key is here, by value, so that a lookup allocates nothing.
type placed struct {
	start string
	slot  *slot
}

func newSpace(name string) *space {
	return &space{
		name: name, slots: map[span.ID]*slot{}, progress: map[uint32]*Progress{}, histories: map[string]*History{},
		ranges:   newTree(func(a, b placed) bool { return comparePlaced(a, b) < 0 }),
		finished: newTree(func(a, b *History) bool { return compareHistory(a, b) < 0 }),
	}
}

// last is above all slots with the same start, to look from.
var last = &slot{}

// comparePlaced orders by start, then by id: spans that start at the same key break the rules, but must not hide
// each other. A placed without a slot is below all others.
func comparePlaced(a, b placed) int {
	if c := cmp.Compare(a.start, b.start); c != 0 || a.slot == b.slot {
		return c
	}
	switch {
	case a.slot == nil, b.slot == last:
		return -1
	case b.slot == nil, a.slot == last:
		return 1
	}
	return cmp.Compare(a.slot.ref.ID, b.slot.ref.ID)
}

func compareHistory(a, b *History) int {
	return cmp.Or(a.Ended().Compare(b.Ended()), cmp.Compare(a.Intent.Operator, b.Intent.Operator))
}

func newTree[T any](less func(a, b T) bool) *btree.BTreeG[T] {
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true, Degree: treeDegree})
}

// space is that of a keyspace, made if it is not there. Who removes something calls tidy.
func (s *State) space(keyspace string) *space {
	sp := s.spaces[keyspace]
	if sp == nil {
		sp = newSpace(s.name(keyspace))
		s.spaces[sp.name] = sp
	}
	return sp
}

// tidy forgets a keyspace of which nothing is left.
func (s *State) tidy(keyspace string) {
	sp := s.spaces[keyspace]
	if sp != nil && sp.keyspace == nil && len(sp.slots)+len(sp.progress)+sp.finished.Len()+sp.hidden == 0 {
		delete(s.spaces, keyspace)
	}
}

func (s *State) slot(keyspace string, id span.ID) *slot {
	sp := s.space(keyspace)
	sl := sp.slots[id]
	if sl == nil {
		sl = &slot{ref: operator.Ref{Keyspace: sp.name, ID: id}}
		sp.slots[id] = sl
	}
	return sl
}

// find is the slot of a span, nil if nothing is known about it.
func (s *State) find(ref operator.Ref) *slot {
	sp := s.spaces[ref.Keyspace]
	if sp == nil {
		return nil
	}
	return sp.slots[ref.ID]
}

func (s *State) tidySlot(sl *slot) {
	if sl.span == nil && sl.claim == nil && sl.buckets == 0 {
		delete(s.spaces[sl.ref.Keyspace].slots, sl.ref.ID)
		s.tidy(sl.ref.Keyspace)
	}
}

// refSet is a set of slots in the order of their refs, so that whoever goes through it sees the same order everywhere.
type refSet struct{ tree *btree.BTreeG[*slot] }

func newRefSet() *refSet {
	return &refSet{newTree(func(a, b *slot) bool { return compareRefs(a.ref, b.ref) < 0 })}
}

func compareRefs(a, b operator.Ref) int {
	return cmp.Or(cmp.Compare(a.Keyspace, b.Keyspace), cmp.Compare(a.ID, b.ID))
}

func (r *refSet) add(sl *slot)    { r.tree.Set(sl) }
func (r *refSet) remove(sl *slot) { r.tree.Delete(sl) }

// each calls f with the slots until it returns false. A nil set is empty.
func (r *refSet) each(f func(*slot) bool) {
	if r != nil {
		r.tree.Scan(f)
	}
}

func (r *refSet) len() int {
	if r == nil {
		return 0
	}
	return r.tree.Len()
}

// index adds to a map of sets, unindex removes; empty sets go.
func index(m map[int64]*refSet, session int64, sl *slot) {
	if m[session] == nil {
		m[session] = newRefSet()
	}
	m[session].add(sl)
}

func unindex(m map[int64]*refSet, session int64, sl *slot) {
	m[session].remove(sl)
	if m[session].len() == 0 {
		delete(m, session)
	}
}
