package sim

import (
	"container/heap"
	"time"
)

// queue is what will happen, in the order of virtual time. At one moment things happen first, in the order in which they
// were put there, then the leader plans, then is measured.
type queue struct {
	items []item
	seq   uint64
}

type item struct {
	at    time.Duration
	order order
	seq   uint64
	do    func()
}

type order uint8

const (
	happens order = iota
	plans
	measures
)

func (q *queue) put(at time.Duration, o order, do func()) {
	q.seq++
	heap.Push(q, item{at, o, q.seq, do})
}

// take gives the next thing, false if there is none up to a moment.
func (q *queue) take(until time.Duration) (item, bool) {
	if len(q.items) == 0 || q.items[0].at > until {
		return item{}, false
	}
	return heap.Pop(q).(item), true
}

func (q *queue) Len() int { return len(q.items) }

func (q *queue) Less(i, j int) bool {
	a, b := q.items[i], q.items[j]
	switch {
	case a.at != b.at:
		return a.at < b.at
	case a.order != b.order:
		return a.order < b.order
	}
	return a.seq < b.seq
}

func (q *queue) Swap(i, j int) { q.items[i], q.items[j] = q.items[j], q.items[i] }
func (q *queue) Push(x any)    { q.items = append(q.items, x.(item)) }

func (q *queue) Pop() any {
	last := len(q.items) - 1
	it := q.items[last]
	q.items[last] = item{}
	q.items = q.items[:last]
	return it
}
