package maintainer

import "github.com/spanward/spanward/operator"

// crowd puts a span among those that wait until a session, or any if it is 0, has fewer asks to answer.
func (l *loop) crowd(session int64, r operator.Ref) {
	q := l.crowded[session]
	if q == nil {
		made := newQueue()
		q = &made
		l.crowded[session] = q
	}
	q.push(r)
}

// makeRoom looks again at spans that waited for room on nodes. What waits for one node waits for no other: one that hangs
// would hold up all that others have to do. What may go anywhere is looked at as answers come.
func (l *loop) makeRoom() {
	if len(l.asked) == 0 {
		l.freed = max(l.freed, l.tuned.InFlight)
	}
	for session, q := range l.crowded {
		room := l.freed
		if session != 0 {
			room = l.tuned.InFlight - len(l.asked[session])
		}
		if session != 0 && l.streams[session] == nil {
			room = q.len() // they wait for something else now
		}
		l.admit(q, room)
		if q.len() == 0 {
			delete(l.crowded, session)
		}
	}
	l.freed = 0
	if l.roomier {
		l.lookAtUnplaced()
	}
}

func (l *loop) admit(q *queue, most int) {
	for range most {
		r, ok := q.pop()
		if !ok {
			return
		}
		l.dirty.push(r)
	}
}
