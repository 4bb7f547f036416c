package maintainer

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/view"
)

const (
	// looksPerTurn bounds the spans looked at before events are served again.
	looksPerTurn = 2000
	// eventsPerTurn bounds the events served before spans are looked at again.
	eventsPerTurn = 512
	// eventQueue bounds what streams and writers have said and the loop has not heard; they wait beyond it.
	eventQueue = 256
	// longestNap bounds the time between two turns: each one proves that the loop is alive.
	longestNap = time.Second
)

// loop is the one goroutine of a term that decides. All fields belong to it; others post closures.
type loop struct {
	m     *Maintainer
	t     *term
	state state
	known *known
	log   *zap.Logger
	// tuned are the settings that count now.
	tuned *tuned
	// storing ticks whenever checkpoints are to be stored.
	storing *time.Ticker

	// events are what others want the loop to do.
	events chan func()
	// dirty are the spans to look at.
	dirty queue
	// starting: not every span has been looked at yet, so nobody knows what the nodes carry.
	starting bool
	works    map[operator.Ref]*work
	// counted is the session that each span weighs on, on is its inverse.
	counted map[operator.Ref]operator.Identity
	on      map[int64]map[operator.Ref]struct{}
	// asked are the asks that a session has not answered.
	asked   map[int64]map[operator.Ref]struct{}
	streams map[int64]*stream
	alarms  alarms

	// settled is when free placement begins at the latest, the zero time once it has. began is when the term did.
	settled, began time.Time
	// wants are the spans to place in this turn.
	wants []want
	// unplaced are spans that no node can take; they are looked at again when nodes change or, if roomier, soon.
	unplaced map[operator.Ref]struct{}
	roomier  bool
	// crowded are spans that wait for a session to answer other asks, those under 0 for any; freed counts the answers.
	crowded map[lane]*queue
	freed   int
	// out are the asks of this turn by session, outConfirm the spans to confirm.
	out        map[int64][]*sessionv1.Ask
	outConfirm map[int64][]*sessionv1.SpanRef

	// deaf are sessions that do not answer, until when they are left alone; evicting are nodes whose session is to end.
	deaf     map[int64]time.Time
	evicting map[string]*evicting
	// silent are nodes that are alive in etcd and have no stream, since when.
	silent map[string]time.Time
	// manySessions are so many that those that are over are looked for.
	manySessions int
	hold         hold
	progress     progress
	// ending are the keyspaces with an operator in flight.
	ending   map[string]*ending
	trimming trimming

	// joint are the spans that an ask concerns beside the one whose work holds it.
	joint map[operator.Ref]operator.Ref
	// revoking are operators that their actors are to end early, by request; yielding are those left to such a request for
	// a moment.
	revoking map[string]*revoking
	yielding map[string]time.Time

	drains drains
	fleet  fleet
	// accepted counts the operators that the leader itself has wanted, by planner.
	accepted map[string]int64
	// rules are those of keyspaces, as far as they were asked for; shares are the spans of each that weigh on a session.
	rules  map[string]*scheduler.Rules
	shares map[share]int

	writes  []write
	writers int
	running sync.WaitGroup
}

func newLoop(m *Maintainer, t *term) *loop {
	l := &loop{
		m: m, t: t, state: m.state(), known: t.known, log: m.log.With(zap.Int64("term", t.number)),
		events: make(chan func(), eventQueue), dirty: newQueue(), starting: true,
		works: map[operator.Ref]*work{}, counted: map[operator.Ref]operator.Identity{},
		on: map[int64]map[operator.Ref]struct{}{}, asked: map[int64]map[operator.Ref]struct{}{},
		streams: map[int64]*stream{}, unplaced: map[operator.Ref]struct{}{}, crowded: map[lane]*queue{},
		out: map[int64][]*sessionv1.Ask{}, outConfirm: map[int64][]*sessionv1.SpanRef{},
		deaf: map[int64]time.Time{}, evicting: map[string]*evicting{},
		silent: map[string]time.Time{}, hold: newHold(), progress: newProgress(),
		ending: map[string]*ending{}, joint: map[operator.Ref]operator.Ref{}, revoking: map[string]*revoking{},
		yielding: map[string]time.Time{}, drains: newDrains(), rules: map[string]*scheduler.Rules{}, shares: map[share]int{},
		fleet: newFleet(), accepted: map[string]int64{}, manySessions: keptSessions, began: time.Now(), tuned: read(m.state(), m.tuning.in),
	}
	l.settled = l.began.Add(l.tuned.Settle)
	l.fleet.moved = read(l.state, func(s *view.State) map[operator.Ref]time.Time {
		return movedLately(s, l.tuned.BalanceCooldown, l.began)
	})
	l.tuneFleet()
	return l
}

// run works until the term is over, and returns when everything it started has stopped.
func (l *loop) run(ctx context.Context) {
	defer l.running.Wait()
	changes := l.m.view.Subscribe()
	defer changes.Close()
	select { // before anybody is heard: until everything is to be looked at, nothing to look at means nothing
	case <-ctx.Done():
		return
	case d := <-changes.C():
		l.changed(d)
	}
	nap := time.NewTimer(0)
	defer nap.Stop()
	l.storing = time.NewTicker(l.tuned.ProgressInterval)
	defer l.storing.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-changes.C():
			l.changed(d)
		case do := <-l.events:
			do()
			l.serve()
		case <-l.storing.C:
			l.writeProgress()
		case <-nap.C:
		}
		l.turn(ctx)
		nap.Reset(l.nap())
	}
}

// serve takes events that have come meanwhile, so that what belongs together is decided and sent together.
func (l *loop) serve() {
	for range eventsPerTurn {
		select {
		case do := <-l.events:
			do()
		default:
			return
		}
	}
}

// turn looks at dirty spans and carries out what follows.
func (l *loop) turn(ctx context.Context) {
	now := time.Now()
	l.m.beat()
	l.ring(now)
	l.compareReports()
	l.holdMassLoss()
	l.showUnreachable(now)
	l.goOnRevoking(now)
	for range looksPerTurn {
		r, ok := l.dirty.pop()
		if !ok {
			l.starting = false
			break
		}
		l.look(r, now)
	}
	l.settle(now)
	l.place(now)
	l.drain(now)
	l.balance(now) //nolint:contextcheck // what it leaves behind ends with the term
	l.tryTheDeaf(now)
	l.makeRoom()
	l.evict(ctx, now)
	l.endKeyspaces(now)
	l.trim(now)
	l.send()
	l.write(ctx)
}

// nap is how long nothing has to be done unless something happens.
func (l *loop) nap() time.Duration {
	if l.dirty.len() > 0 || l.drains.again {
		return 0
	}
	now := time.Now()
	nap := l.endNap(now, l.alarms.next(now, longestNap))
	if !l.settled.IsZero() {
		nap = min(nap, max(0, l.settled.Sub(now)))
	}
	return l.balanceNap(now, l.revokeNap(now, nap))
}

// settle ends the time in which nodes connect to a new leader: when all have, or when it is up.
func (l *loop) settle(now time.Time) {
	if l.settled.IsZero() || now.Before(l.settled) && !l.allConnected() {
		return
	}
	l.settled = time.Time{}
	l.lookAtUnplaced()
}

func (l *loop) allConnected() bool {
	nodes := l.state.Nodes()
	for _, n := range nodes {
		if l.streams[n.Session] == nil {
			return false
		}
	}
	return len(nodes) > 0
}

// post hands an event to the loop, false if the term is over.
func (l *loop) post(do func()) bool {
	select {
	case l.events <- do:
		return true
	case <-l.t.over.Done():
		return false
	}
}

// lookAtUnplaced is called when nodes have changed so that they may take more.
func (l *loop) lookAtUnplaced() {
	l.roomier = false
	l.freed = max(l.freed, l.tuned.InFlight) // what waits for busy nodes has others now
	l.drains.unpark()
	for r := range l.unplaced {
		l.dirty.push(r)
	}
	clear(l.unplaced)
}
