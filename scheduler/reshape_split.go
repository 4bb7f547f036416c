package scheduler

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tidwall/btree"

	"github.com/spanward/spanward/span"
)

// hotSpan is a hot span whose time has come, in the order in which they are split.
type hotSpan struct {
	excess float64
	id     span.ID
	it     *item
}

func (h *hotSpan) before(o *hotSpan) bool {
	return cmp.Or(cmp.Compare(o.excess, h.excess), cmp.Compare(h.id, o.id)) < 0
}

// fileHot puts a span among those to be split, or takes it away.
func (r *reshaper) fileHot(it *item, in bool) {
	ks := it.keyspace
	excess := 0.0
	if in {
		excess = ks.cfg.excess(it.load)
	}
	if it.hot == nil && !in || it.hot != nil && in && it.hot.excess == excess {
		return
	}
	if it.hot != nil {
		ks.hot.Delete(it.hot)
		it.hot = nil
	}
	if in {
		if ks.hot == nil {
			ks.hot = btree.NewBTreeGOptions((*hotSpan).before, btree.Options{NoLocks: true})
		}
		it.hot = &hotSpan{excess, it.Ref.ID, it}
		ks.hot.Set(it.hot)
	}
	list(&r.splittable, ks, ks.hot.Len() > 0)
}

// list has a keyspace in the map, or not.
func list(m *btree.Map[string, *reshapedKeyspace], ks *reshapedKeyspace, in bool) {
	if in {
		m.Set(ks.name, ks)
	} else {
		m.Delete(ks.name)
	}
}

// room is how many spans more a keyspace may come to have.
func (ks *reshapedKeyspace) room() int {
	if ks.cfg.MaxSpans == 0 {
		return math.MaxInt
	}
	return ks.cfg.MaxSpans - len(ks.items) - ks.coming
}

// splits plans splits of the hottest spans, wherever they are, as far as budget and keyspaces have room.
func (f *Fleet) splits() []Split {
	r := &f.reshape
	if f.reshapeRoom() <= 0 {
		return nil
	}
	hottest := btree.NewBTreeGOptions(func(a, b *reshapedKeyspace) bool {
		x, _ := a.hot.Min()
		y, _ := b.hot.Min()
		return cmp.Or(cmp.Compare(y.excess, x.excess), cmp.Compare(a.name, b.name)) < 0
	}, btree.Options{NoLocks: true})
	r.splittable.Scan(func(_ string, ks *reshapedKeyspace) bool {
		if ks.room() > 0 {
			hottest.Set(ks)
		}
		return true
	})
	var out []Split
	for f.reshapeRoom() > 0 {
		ks, ok := hottest.PopMin()
		if !ok {
			break
		}
		top, _ := ks.hot.Min()
		if s, ok := f.split(top.it); ok {
			out = append(out, s)
		}
		if ks.hot.Len() > 0 && ks.room() > 0 {
			hottest.Set(ks)
		}
	}
	return out
}

// split plans one, or has the span rest if it must not be split where it is.
func (f *Fleet) split(it *item) (Split, bool) {
	r, ks := &f.reshape, it.keyspace
	if f.displaced(it) != "" || f.roomOn(it) < 1 {
		r.letRest(it)
		r.file(it)
		return Split{}, false
	}
	parts := 1 + min(partsOf(ks.cfg.excess(it.load))-1, ks.room(), f.roomOn(it))
	s := Split{
		Ref: it.Ref, Node: it.Node, At: splitAt(insideOf(it.Range, it.load.SplitKeys), parts), Reason: r.whyHot(it), Load: it.load,
	}
	f.fly(&reshapeOp{keyspace: ks, node: it.Node, more: len(s.At)}, it)
	return s, true
}

// displaced is the rule by which a span must leave its node, "" if it may stay: it is moved first.
func (f *Fleet) displaced(it *item) string {
	if it.host == nil || !it.host.known {
		return "its node is not there"
	}
	if it.Pin != "" && it.Pin != it.Node {
		return fmt.Sprintf("%s ties it to %s", SettingPin, it.Pin)
	}
	if t, lacks := it.Rules.Lacks(it.host.node); lacks {
		return fmt.Sprintf("%s does not have %s", it.Node, t)
	}
	return ""
}

// roomOn is how many spans more the node of a span takes. Its parts are opened there.
func (f *Fleet) roomOn(it *item) int {
	limit := it.host.node.Capacity
	if limit == 0 {
		return math.MaxInt
	}
	return limit - it.host.spans - f.reshape.coming[it.Node]
}

// partsOf a span that has so many times what it is split at: each part has less, if they are alike.
func partsOf(excess float64) int {
	if excess >= maxParts {
		return maxParts
	}
	return max(2, int(math.Ceil(excess)))
}

// divisible: there is a key that it can be split at.
func (it *item) divisible() bool {
	return slices.ContainsFunc(it.load.SplitKeys, func(k string) bool { return inside(it.Range, k) })
}

// inside: the key has some keys of the range before it, and some not.
func inside(r span.Range, key string) bool {
	return key > r.Start && r.Contains(key) && len(key) <= span.MaxKeyBytes
}

// insideOf are the keys that a range can be split at, in order.
func insideOf(r span.Range, keys []string) []string {
	keys = slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !inside(r, k) })
	slices.SortFunc(keys, strings.Compare)
	return slices.Compact(keys)
}

// splitAt chooses evenly among the keys, and at most as many as so many parts need: of one, that in the middle.
func splitAt(keys []string, parts int) []string {
	n := min(parts-1, len(keys))
	at := make([]string, n)
	for i := range at {
		at[i] = keys[(i+1)*(len(keys)+1)/(n+1)-1]
	}
	return at
}
