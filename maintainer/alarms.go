package maintainer

import (
	"container/heap"
	"time"

	"github.com/spanward/spanward/operator"
)

// alarm makes the loop look at a span at a moment.
type alarm struct {
	at  time.Time
	ref operator.Ref
}

// alarms is a heap of them, the earliest first. Alarms are not taken back: one that rings for nothing costs a look.
type alarms []alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(alarm)) }

func (a *alarms) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	*a = (*a)[:last]
	return x
}

func (a *alarms) add(x alarm) { heap.Push(a, x) }

// due takes out one alarm that rings now.
func (a *alarms) due(now time.Time) (alarm, bool) {
	if len(*a) == 0 || (*a)[0].at.After(now) {
		return alarm{}, false
	}
	return heap.Pop(a).(alarm), true
}

// next is how long it is until the next alarm, at most the given time.
func (a alarms) next(now time.Time, most time.Duration) time.Duration {
	if len(a) == 0 {
		return most
	}
	return min(most, max(0, a[0].at.Sub(now)))
}

// queue holds spans in the order in which they came, each once.
type queue struct {
	refs []operator.Ref
	in   map[operator.Ref]struct{}
}

func newQueue() queue { return queue{in: map[operator.Ref]struct{}{}} }

func (q *queue) len() int { return len(q.refs) }

func (q *queue) push(r operator.Ref) {
	if _, ok := q.in[r]; ok {
		return
	}
	q.in[r] = struct{}{}
	q.refs = append(q.refs, r)
}

func (q *queue) pop() (operator.Ref, bool) {
	if len(q.refs) == 0 {
		return operator.Ref{}, false
	}
	r := q.refs[0]
	q.refs = q.refs[1:]
	if len(q.refs) == 0 {
		q.refs = nil // what was taken from the front is let go
	}
	delete(q.in, r)
	return r, true
}
