package scheduler

import (
	"cmp"
	"container/heap"
	"strings"
	"time"

	"github.com/tidwall/btree"
)

// leastPause is how long a span is left alone at least after a move of it was planned: what was refused would be refused
// again.
const leastPause = time.Second

// itemTree are spans that may be moved: the cheapest first, then who is longest on its node, then by name.
type itemTree struct{ *btree.BTreeG[*item] }

// treeDegree is small: most trees are of one node's spans, and there may be as many as nodes and cohorts.
const treeDegree = 16

func newItemTree() itemTree {
	return itemTree{btree.NewBTreeGOptions(itemBefore, btree.Options{NoLocks: true, Degree: treeDegree})}
}

func itemBefore(a, b *item) bool {
	switch {
	case a.weight != b.weight:
		return a.weight < b.weight
	case a.since != b.since:
		return a.since < b.since
	}
	return refOrder(a, b) < 0
}

func refOrder(a, b *item) int {
	return cmp.Or(strings.Compare(a.Ref.Keyspace, b.Ref.Keyspace), strings.Compare(string(a.Ref.ID), string(b.Ref.ID)))
}

// examine has it found out, when the next plan is made, whether a span may be moved.
func (f *Fleet) examine(it *item) {
	if !it.examining && it.idle() {
		it.examining = true
		f.fresh = append(f.fresh, it)
	}
}

// withdraw takes a span out of all indexes that go by what is about to change.
func (f *Fleet) withdraw(it *item) {
	if it.slot >= 0 {
		heap.Remove(&f.waiting, int(it.slot))
	}
	if !it.movable {
		return
	}
	it.movable = false
	if it.Pin != "" {
		f.strays.Delete(it)
	} else {
		it.share.movable.Delete(it)
	}
}

// again has all examined that is on a node that has come or gone, when the next plan is made: many come at once when a leader
// is new, and spans are gone through once for all of them.
func (f *Fleet) again(h *host) {
	if h.spans == 0 {
		return
	}
	h.again, f.changed = true, true
}

// lookAgain examines what is on nodes that have come or gone since the last plan.
func (f *Fleet) lookAgain() {
	if !f.changed {
		return
	}
	for _, it := range f.items {
		if it.host != nil && it.host.again {
			f.withdraw(it)
			f.examine(it)
		}
	}
	for _, h := range f.hosts {
		h.again = false
	}
	f.changed = false
}

// forgetGone keeps spans that are gone from piling up among the fresh while no plan is made.
func (f *Fleet) forgetGone() {
	if len(f.fresh) < 2*len(f.items)+1024 {
		return
	}
	kept := f.fresh[:0]
	for _, it := range f.fresh {
		if !it.gone {
			kept = append(kept, it)
		}
	}
	clear(f.fresh[len(kept):])
	f.fresh = kept
}

// idle: nothing but time keeps the span from being moved, if there is a reason to move it.
func (it *item) idle() bool {
	return !it.gone && it.Settled && it.Flight == Flight{} && it.host != nil && it.host.known && (it.Pin == "" || it.Pin != it.Node)
}

// due is when the span may be moved.
func (f *Fleet) due(it *item) int64 {
	return max(it.since+int64(f.cfg.Cooldown), it.tried+int64(max(f.cfg.Cooldown, leastPause)))
}

// advance brings in the spans that may be moved by now.
func (f *Fleet) advance(now time.Time) {
	at := nanos(now)
	f.lookAgain()
	for i, it := range f.fresh {
		f.fresh[i] = nil
		it.examining = false
		switch due := f.due(it); {
		case !it.idle() || it.movable || it.slot >= 0:
		case due <= at:
			f.admit(it)
		default:
			heap.Push(&f.waiting, dueItem{due, it})
		}
	}
	f.fresh = f.fresh[:0]
	for len(f.waiting) > 0 && f.waiting[0].at <= at {
		f.admit(heap.Pop(&f.waiting).(dueItem).it)
	}
}

func (f *Fleet) admit(it *item) {
	it.movable = true
	f.dirty = true
	if it.Pin != "" {
		f.strays.Set(it)
	} else {
		it.share.movable.Set(it)
	}
}

// dueHeap is spans by when they may be moved.
type dueHeap []dueItem

type dueItem struct {
	at int64
	it *item
}

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at < h[j].at }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].it.slot, h[j].it.slot = int32(i), int32(j)
}

func (h *dueHeap) Push(x any) {
	d := x.(dueItem)
	d.it.slot = int32(len(*h))
	*h = append(*h, d)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	(*h)[last] = dueItem{}
	*h = (*h)[:last]
	d.it.slot = -1
	return d
}
