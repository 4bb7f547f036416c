package maintainer

import (
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
)

// work is what the loop has under way for one span. All of it may be lost: a new leader starts without it.
type work struct {
	ask *ask
	// writing: a transaction of the leader about the span is in flight.
	writing bool
	// after: nothing is decided before the view has reached this revision, since the leader itself has changed
	// the span there.
	after int64
	// acting is the claim when the span was looked at last.
	acting *operator.Claim
	// failures of openings in a row; failedOn is the node of the last one, or the one that gave the span up.
	failures int
	// failedAt are all nodes that have failed since it ran, the last one last.
	failedOn string
	failedAt []string
	// broken is the token of an instance that could not go on, as long as the record may still show it.
	broken uint64
	// retryAt is when the span may be opened again; it does not hold once the session in holdFor is gone.
	retryAt time.Time
	holdFor operator.Identity
	// missing is the token of an owner that has reported that the span does not run, 0 for none.
	missing uint64
	// wakeAt is the next alarm of the span.
	wakeAt time.Time
	// waiting is what is shown.
	waiting string
	// members are all spans of the operator that the span carried when it was looked at last, if there are several.
	members []operator.Ref
	// stage is what goes on, with its deadline; aborted is who was to give an opening up and has not said yet that he did.
	stage   timedStage
	aborted operator.Identity
	// arriving is the session that opens the span, failedThere the node that it has failed on, as counted for them.
	arriving    int64
	failedThere string
}

// ask is what a node was asked to do with a span. It is made on one record and never refreshed: while the record
// stays as it was and nobody acts on the span, the same ask is repeated.
type ask struct {
	action  sessionv1.Ask_Action
	node    string
	session int64
	mod     int64
	// peers are further spans that the ask is about: all sources of a merge are claimed together.
	peers []operator.Span
	// members are all of them as they were sent.
	members []*sessionv1.Ask_Member
	by      record.By
	why     string
	// again is when it is repeated if nothing is heard, or when something else is tried if it was refused.
	again time.Time
	tries int
	state askState
}

// tokenRevision masks, in a token, the revision of the claim that it was opened with.
const tokenRevision = 1<<48 - 1

type askState uint8

const (
	// asked: nobody has answered.
	asked askState = iota
	// taken: the node has said that it acts; the view will show it.
	taken
	// refused: the node has done nothing. It is asked again later, or another one.
	refused
)

// opening reports whether somebody may be about to open the span because of the ask.
func (k *ask) opening() bool {
	return k != nil && k.action == sessionv1.Ask_ACTION_OPEN && k.state != refused
}

func (k *ask) who() operator.Identity { return operator.Identity{Node: k.node, Session: k.session} }

// backoff doubles the first pause with each try, up to the longest.
func backoff(first, longest time.Duration, tries int) time.Duration {
	d := first
	for range tries {
		if d >= longest/2 {
			return longest
		}
		d *= 2
	}
	return d
}

func (l *loop) work(r operator.Ref) *work {
	w := l.works[r]
	if w == nil {
		w = &work{}
		l.works[r] = w
	}
	return w
}

// wake makes the loop look at the span at a moment, or earlier.
func (l *loop) wake(r operator.Ref, w *work, at time.Time) {
	if !w.wakeAt.IsZero() && !w.wakeAt.After(at) {
		return
	}
	w.wakeAt = at
	l.alarms.add(alarm{at, r})
}

func (l *loop) ring(now time.Time) {
	for {
		a, ok := l.alarms.due(now)
		if !ok {
			return
		}
		if w := l.works[a.ref]; w != nil && w.wakeAt.Equal(a.at) {
			w.wakeAt = time.Time{}
			l.dirty.push(a.ref)
		}
	}
}

// forget drops what is under way for a span that exists no more.
func (l *loop) forget(r operator.Ref) {
	w := l.works[r]
	if w != nil {
		l.dropAsk(r, w)
		l.endStage(r, w)
		delete(l.works, r)
	}
	l.leaveFleet(r, w)
	l.count(r, operator.Identity{})
	delete(l.unplaced, r)
	l.stay(r)
	l.head(r, heading{}, false)
	l.known.forget(r)
}

// count moves the span to the session that it weighs on: its owner, the one that opens it, or the one asked to.
func (l *loop) count(r operator.Ref, who operator.Identity) {
	was := l.counted[r]
	if was == who {
		return
	}
	if was.Session != 0 {
		remove(l.on, was.Session, r)
		tally(l.shares, share{was.Session, r.Keyspace}, -1)
		l.hasRoom()
	}
	if who.Session == 0 {
		delete(l.counted, r)
		return
	}
	l.counted[r] = who
	l.drains.moves.arrived(r, who)
	insert(l.on, who.Session, r)
	tally(l.shares, share{who.Session, r.Keyspace}, 1)
}

// head notes where a move takes the span. A target that it goes to no more has room for another. What is stuck is none of
// those that a drain may have in flight: it would hold up all others.
func (l *loop) head(r operator.Ref, h heading, stuck bool) {
	if stuck {
		h.drained = ""
	}
	if was := l.drains.moves.headings[r]; was.to != "" && was.to != h.to {
		l.hasRoom()
	}
	l.drains.moves.set(r, h)
}

// hasRoom is called when a node may take more than before: what waits for that is looked at.
func (l *loop) hasRoom() {
	l.roomier = l.roomier || len(l.unplaced) > 0 || l.drains.waiting()
}

// insert and remove keep sets of spans by session, without empty ones.
func insert(m map[int64]map[operator.Ref]struct{}, session int64, r operator.Ref) {
	if m[session] == nil {
		m[session] = map[operator.Ref]struct{}{}
	}
	m[session][r] = struct{}{}
}

func remove(m map[int64]map[operator.Ref]struct{}, session int64, r operator.Ref) {
	delete(m[session], r)
	if len(m[session]) == 0 {
		delete(m, session)
	}
}

// putAsk begins an ask; its node has one more to answer.
func (l *loop) putAsk(r operator.Ref, w *work, k *ask) {
	l.dropAsk(r, w)
	w.ask = k
	insert(l.asked, k.session, r)
	for _, p := range k.peers {
		l.joint[p.Ref] = r
	}
}

// dropAsk ends it: answered, overtaken by the records, or in vain.
func (l *loop) dropAsk(r operator.Ref, w *work) {
	if w.ask == nil {
		return
	}
	l.answered(r, w, taken)
	for _, p := range w.ask.peers {
		delete(l.joint, p.Ref)
	}
	w.ask = nil
}

// answered makes room for another ask to the node.
func (l *loop) answered(r operator.Ref, w *work, s askState) {
	k := w.ask
	if k.state == asked {
		remove(l.asked, k.session, r)
		l.freed++
	}
	k.state = s
}
