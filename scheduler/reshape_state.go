package scheduler

import (
	"container/heap"
	"time"

	"github.com/tidwall/btree"
)

// reshaper knows of each span since when it has been hot or cold, and when it may be split or merged for that. A span that is
// neither, or must be left alone, is in none of its indexes; one whose time has not come is in the heap; then it is in
// the index of its keyspace, of hot spans or of cold ones. So all that is looked at has just changed, or can be planned.
type reshaper struct {
	keyspaces map[string]*reshapedKeyspace
	// epoch is the first time that was told, and now the latest.
	epoch time.Time
	now   stamp
	// waiting are spans whose time has not come, the next one first.
	waiting reshapeHeap
	// splittable and mergeable are keyspaces with hot spans and with cold neighbours whose time has come, by name. turn is the
	// one that was last given a merge: they take turns.
	splittable, mergeable btree.Map[string, *reshapedKeyspace]
	turn                  string
	// inFlight is how many splits and merges are.
	inFlight int
	// coming is how many spans more splits in flight will make on a node.
	coming map[string]int
}

// stamp is a time, counted from the first that was told: a third of the size, and still not moved by a clock that is set.
type stamp time.Duration

// reshaping is what the reshaper knows of a span.
type reshaping struct {
	keyspace *reshapedKeyspace
	// listed is its place in the list of its keyspace, and queued that in the heap, counted from 1.
	listed, queued int32
	// heat of all that it has reported since turned.
	heat heat
	// flying: op is in flight as far as is known, and not only planned or stuck.
	flying bool
	// turned is when it became as hot or cold as it is. It is left alone until rest; due is what the heap goes by.
	turned, rest, due stamp
	hot               *hotSpan
	cold              *coldSpan
	op                *reshapeOp
}

// reshapedKeyspace is what the reshaper knows of a keyspace.
type reshapedKeyspace struct {
	name string
	cfg  ReshapeConfig
	// items are all spans of it, so that a change of its settings costs nothing elsewhere.
	items []*item
	// coming is how many spans more it will have by splits in flight.
	coming int
	// hot spans whose time has come, the hottest first; cold ones by their ranges; and those of these that could be merged
	// with the next: on one node, or on two.
	hot                    *btree.BTreeG[*hotSpan]
	cold, together, across *btree.BTreeG[*coldSpan]
}

// keyspace is made when it is first named.
func (r *reshaper) keyspace(name string) *reshapedKeyspace {
	ks := r.keyspaces[name]
	if ks == nil {
		ks = &reshapedKeyspace{name: name}
		if r.keyspaces == nil {
			r.keyspaces = map[string]*reshapedKeyspace{}
		}
		r.keyspaces[name] = ks
	}
	return ks
}

func (r *reshaper) configure(name string, c ReshapeConfig) {
	ks := r.keyspace(name)
	was := ks.cfg
	if was == c {
		return
	}
	ks.cfg = c
	splits := c.SplitLoad != was.SplitLoad || c.SplitSize != was.SplitSize
	merges := c.MergeLoad != was.MergeLoad || c.MergeSize != was.MergeSize
	for _, it := range ks.items {
		r.judge(it, splits && it.heat == hot || merges && it.heat == cold)
		r.file(it)
	}
	r.dropEmpty(ks)
}

// changed: a span is new, has reported, or something else of it is not as it was.
func (r *reshaper) changed(it *item) {
	if it.keyspace == nil {
		ks := r.keyspace(it.Ref.Keyspace)
		it.reshaping = reshaping{keyspace: ks, listed: int32(len(ks.items)), rest: longAgo}
		ks.items = append(ks.items, it)
	}
	r.track(it)
	r.judge(it, false)
	r.file(it)
}

// judge finds out how hot what a span reported last is. That counts from when it did, if it was not so before, or by other
// thresholds.
func (r *reshaper) judge(it *item, anew bool) {
	if it.reported.IsZero() {
		return
	}
	at := r.tick(it.reported)
	if h := it.keyspace.cfg.heat(it.load); anew || h != it.heat {
		it.heat, it.turned = h, at
	}
}

// removed: a span is no more.
func (r *reshaper) removed(it *item) {
	r.leave(it)
	r.withdraw(it)
	ks := it.keyspace
	last := ks.items[len(ks.items)-1]
	ks.items[it.listed], last.listed = last, it.listed
	ks.items[len(ks.items)-1] = nil
	ks.items = ks.items[:len(ks.items)-1]
	it.reshaping = reshaping{}
	r.dropEmpty(ks)
}

func (r *reshaper) dropEmpty(ks *reshapedKeyspace) {
	if len(ks.items) == 0 && ks.cfg == (ReshapeConfig{}) {
		delete(r.keyspaces, ks.name)
	}
}

// tick counts from the first time that was told, and remembers the latest.
func (r *reshaper) tick(now time.Time) stamp {
	if r.epoch.IsZero() {
		r.epoch = now
	}
	t := stamp(now.Sub(r.epoch))
	r.now = max(r.now, t)
	return t
}

// advance puts spans whose time has come where plans are made from.
func (r *reshaper) advance(now time.Time) {
	r.tick(now)
	for len(r.waiting) > 0 && r.waiting[0].due <= r.now {
		r.file(r.waiting[0])
	}
}

// file puts a span where it belongs, wherever it was. That depends on the span alone, and on the time.
func (r *reshaper) file(it *item) {
	due, ok := r.dueAt(it)
	come := ok && due <= r.now
	r.wait(it, due, ok && !come)
	r.fileHot(it, come && it.heat == hot)
	r.fileCold(it, come && it.heat == cold)
}

func (r *reshaper) withdraw(it *item) {
	r.wait(it, 0, false)
	r.fileHot(it, false)
	r.fileCold(it, false)
}

// dueAt is when a span may be split or merged if it goes on like this, false if it must be left alone.
func (r *reshaper) dueAt(it *item) (stamp, bool) {
	if it.heat == tepid || !it.steady() || it.heat == hot && !it.divisible() {
		return 0, false
	}
	old := stamp(it.Made.Sub(r.epoch) + it.keyspace.cfg.MinAge)
	due := max(it.turned+it.after(), it.rest, old)
	if it.heat == cold {
		due = due.upTo(it.after() / mergeSteps)
	}
	return due, true
}

// mergeSteps is how many times in merge.after cold spans become due, all of a step together. Neighbours that have become cold
// at nearly the same time are merged at once then, and not two by two as the first of them become due, each time for the
// result to be cold for as long again.
const mergeSteps = 8

// upTo is the next of the times that are a step apart.
func (t stamp) upTo(step stamp) stamp {
	if step <= 0 {
		return t
	}
	past := t % step
	if past > 0 {
		past -= step
	}
	return t - past
}

// after is how long a span must have been as hot or cold as it is.
func (it *item) after() stamp {
	if it.heat == hot {
		return stamp(it.keyspace.cfg.SplitAfter)
	}
	return stamp(it.keyspace.cfg.MergeAfter)
}

// steady: nothing but its load speaks against changing it.
func (it *item) steady() bool {
	return it.Settled && it.Node != "" && it.Flight == (Flight{})
}

// letRest keeps a span from being planned again before it has been for as long as at first what it is.
func (r *reshaper) letRest(it *item) {
	it.rest = r.now + max(it.after(), stamp(leastRest))
}

// wait puts a span into the heap, or takes it out.
func (r *reshaper) wait(it *item, due stamp, in bool) {
	switch {
	case !in && it.queued > 0:
		heap.Remove(&r.waiting, int(it.queued)-1)
	case in && it.queued == 0:
		it.due = due
		heap.Push(&r.waiting, it)
	case in && it.due != due:
		it.due = due
		heap.Fix(&r.waiting, int(it.queued)-1)
	}
}

// reshapeHeap has the span first whose time comes first.
type reshapeHeap []*item

func (h reshapeHeap) Len() int           { return len(h) }
func (h reshapeHeap) Less(i, j int) bool { return h[i].due < h[j].due }

func (h reshapeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].queued, h[j].queued = int32(i)+1, int32(j)+1
}

func (h *reshapeHeap) Push(x any) {
	it := x.(*item)
	*h = append(*h, it)
	it.queued = int32(len(*h))
}

func (h *reshapeHeap) Pop() any {
	last := len(*h) - 1
	it := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	it.queued = 0
	return it
}
