package scheduler

import (
	"cmp"
	"math"
	"strings"

	"github.com/tidwall/btree"

	"github.com/spanward/spanward/span"
)

// coldSpan is a cold span whose time has come, in the order of their ranges.
type coldSpan struct {
	start string
	id    span.ID
	it    *item
	// pair is where it stands as the first of two that could be merged, nil for nowhere.
	pair *btree.BTreeG[*coldSpan]
}

func (c *coldSpan) before(o *coldSpan) bool {
	return cmp.Or(strings.Compare(c.start, o.start), cmp.Compare(c.id, o.id)) < 0
}

// fileCold puts a span among those to be merged, or takes it away.
func (r *reshaper) fileCold(it *item, in bool) {
	ks := it.keyspace
	if it.cold == nil && !in {
		return
	}
	if ks.cold == nil {
		for _, t := range []**btree.BTreeG[*coldSpan]{&ks.cold, &ks.together, &ks.across} {
			*t = btree.NewBTreeGOptions((*coldSpan).before, btree.Options{NoLocks: true})
		}
	}
	if it.cold == nil {
		it.cold = &coldSpan{start: it.Range.Start, id: it.Ref.ID, it: it}
		ks.cold.Set(it.cold)
	}
	c := it.cold
	if !in {
		ks.cold.Delete(c)
		c.pairUp(nil)
		it.cold = nil
	} else {
		c.pairUp(ks.pairOf(c))
	}
	if before := ks.previous(c); before != nil {
		before.pairUp(ks.pairOf(before))
	}
	list(&r.mergeable, ks, ks.together.Len()+ks.across.Len() > 0)
}

func (c *coldSpan) pairUp(pair *btree.BTreeG[*coldSpan]) {
	if c.pair == pair {
		return
	}
	if c.pair != nil {
		c.pair.Delete(c)
	}
	if pair != nil {
		pair.Set(c)
	}
	c.pair = pair
}

// pairOf is where a span belongs as the first of two.
func (ks *reshapedKeyspace) pairOf(c *coldSpan) *btree.BTreeG[*coldSpan] {
	next := ks.next(c)
	switch {
	case next == nil || !c.it.adjoins(next.it) || !ks.cfg.merges(c.it.load.together(next.it.load)):
		return nil
	case c.it.Node == next.it.Node:
		return ks.together
	}
	return ks.across
}

// adjoins: the other span begins where this one ends, and no rule would have their parts on different nodes.
func (it *item) adjoins(next *item) bool {
	return it.Range.End != "" && it.Range.End == next.Range.Start && it.Pin == next.Pin
}

func (ks *reshapedKeyspace) next(c *coldSpan) (found *coldSpan) {
	ks.cold.Ascend(c, func(o *coldSpan) bool {
		if o != c {
			found = o
		}
		return found == nil
	})
	return found
}

func (ks *reshapedKeyspace) previous(c *coldSpan) (found *coldSpan) {
	ks.cold.Descend(c, func(o *coldSpan) bool {
		if o != c {
			found = o
		}
		return found == nil
	})
	return found
}

// merges plans merges, one in each keyspace and again, as far as the budget has room.
func (f *Fleet) merges() []Merge {
	r := &f.reshape
	var out []Merge
	for f.reshapeRoom() > 0 {
		ks := r.nextMergeable()
		if ks == nil {
			break
		}
		if m, ok := f.merge(ks.group()); ok {
			out = append(out, m)
			r.turn = ks.name
		}
	}
	return out
}

// nextMergeable is the keyspace whose turn it is, nil if there is none.
func (r *reshaper) nextMergeable() (next *reshapedKeyspace) {
	take := func(name string, ks *reshapedKeyspace) bool {
		if name != r.turn {
			next = ks
		}
		return next == nil
	}
	r.mergeable.Ascend(r.turn, take)
	if next == nil {
		_, next, _ = r.mergeable.Min()
	}
	return next
}

// group is neighbours to be merged, from the first on: those on one node, as long as there are any.
func (ks *reshapedKeyspace) group() []*item {
	first, here := ks.together.Min()
	if !here {
		first, _ = ks.across.Min()
	}
	return ks.groupFrom(first)
}

// groupFrom takes neighbours from one that stands as the first of two, as many as may become one.
func (ks *reshapedKeyspace) groupFrom(first *coldSpan) []*item {
	var group []*item
	sum := Load{Load: unknown, Size: unknown}
	ks.cold.Ascend(first, func(c *coldSpan) bool {
		total := sum.together(c.it.load)
		if n := len(group); n > 0 {
			here := first.pair == ks.together
			if n == maxMerged || !group[n-1].adjoins(c.it) || here && c.it.Node != group[0].Node || !ks.cfg.merges(total) {
				return false
			}
		}
		group, sum = append(group, c.it), total
		return true
	})
	return group
}

// merge plans one, or has those spans rest that must not be merged where they are.
func (f *Fleet) merge(group []*item) (Merge, bool) {
	r := &f.reshape
	fit := true
	for _, it := range group {
		if f.displaced(it) != "" {
			fit = false
			r.letRest(it)
			r.file(it)
		}
	}
	if !fit {
		return Merge{}, false
	}
	m := Merge{Keyspace: group[0].keyspace.name, Reason: r.whyCold(group), Load: sumOf(group)}
	for _, it := range group {
		m.Spans = append(m.Spans, it.Ref.ID)
	}
	f.fly(&reshapeOp{keyspace: group[0].keyspace}, group...)
	return m, true
}

// unknown is a load or size that was not reported.
const unknown = -1

func sumOf(group []*item) Load {
	sum := Load{Load: unknown, Size: unknown}
	for _, it := range group {
		sum = sum.together(it.load)
	}
	return sum
}

// coldFor is for how long all of them have been cold.
func (r *reshaper) coldFor(group []*item) stamp {
	d := stamp(math.MaxInt64)
	for _, it := range group {
		d = min(d, r.now-it.turned)
	}
	return d
}
