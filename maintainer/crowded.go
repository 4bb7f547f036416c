package maintainer

import (
	"cmp"
	"maps"
	"slices"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
)

// lane is what waits for one session, 0 for any, and is equally urgent.
type lane struct {
	session int64
	class   scheduler.Class
}

// room is how many more asks of a lane a session may be sent. What is less urgent may not take all of it, so that there is
// always some for what is more urgent, however much of the other there is.
func (l *loop) room(in lane) int {
	most := l.tuned.InFlight
	switch in.class {
	case scheduler.ClassFailover, scheduler.ClassUser:
	case scheduler.ClassDrain:
		most = max(1, most*3/4)
	case scheduler.ClassBalance, scheduler.ClassReshape:
		most = max(1, most/2)
	}
	return most - len(l.asked[in.session])
}

// placing reports whether spans that could go anywhere wait for room.
func (l *loop) placing() bool {
	for in := range l.crowded {
		if in.session == 0 {
			return true
		}
	}
	return false
}

// crowd puts a span among those that wait until there is room.
func (l *loop) crowd(in lane, r operator.Ref) {
	q := l.crowded[in]
	if q == nil {
		made := newQueue()
		q = &made
		l.crowded[in] = q
	}
	q.push(r)
}

// makeRoom looks again at spans that waited for room on nodes, the most urgent first. What waits for one node waits for no
// other: one that hangs would hold up all that others have to do. What may go anywhere is looked at as answers come.
func (l *loop) makeRoom() {
	if len(l.asked) == 0 {
		l.freed = max(l.freed, l.tuned.InFlight)
	}
	given := map[int64]int{}
	for _, in := range slices.SortedFunc(maps.Keys(l.crowded), lane.compare) {
		q := l.crowded[in]
		room := l.room(in)
		if in.session == 0 {
			room = l.freed
		} else if l.streams[in.session] == nil {
			room = q.len() // they wait for something else now
		}
		given[in.session] += l.admit(q, room-given[in.session])
		if q.len() == 0 {
			delete(l.crowded, in)
		}
	}
	l.freed = 0
	if l.roomier {
		l.lookAtUnplaced()
	}
}

func (a lane) compare(b lane) int {
	return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.session, b.session))
}

// admit has some spans looked at. It returns how many.
func (l *loop) admit(q *queue, most int) (n int) {
	for n = 0; n < most; n++ {
		r, ok := q.pop()
		if !ok {
			break
		}
		l.dirty.push(r)
	}
	return n
}
