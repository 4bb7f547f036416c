package dispatcher

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

// Stats is a snapshot of what a dispatcher does and has done.
type Stats struct {
	// Opening, Running and Closing count spans; what waits for etcd counts where it is going.
	Opening, Running, Closing int64
	// Batches is the number of etcd transactions that were answered, repetitions not counted. Parts is how many changes
	// of spans they carried, Mutations how many keys they put or deleted.
	Batches, Parts, Mutations int64
	// Sessions were begun so far. Session is the one that lives, 0 if none does, and MayAct what is left of its right to
	// act if no renewal is answered any more.
	Sessions, Session int64
	MayAct            time.Duration
	// Lag is the greatest lag of the spans of each keyspace, without those that have not told theirs.
	Lag map[string]time.Duration
}

// Stats may be called at any time, from any goroutine.
func (d *Dispatcher) Stats() Stats {
	s := &d.stats
	out := Stats{Batches: s.batches.Load(), Parts: s.parts.Load(), Mutations: s.mutations.Load()}
	for p := range s.phases {
		n := s.phases[p].Load()
		switch operator.Phase(p) {
		case operator.Claiming, operator.Opening, operator.Committing:
			out.Opening += n
		case operator.Running, operator.ClaimingClose:
			out.Running += n
		case operator.Idle:
		default:
			out.Closing += n
		}
	}
	out.Sessions = s.sessions.Load()
	if l := s.living.Load(); l != nil {
		out.Session, out.MayAct, out.Lag = l.session.id, l.session.mayActFor(), l.runs.lag()
	}
	return out
}

// errNotRegistered is why a dispatcher is not ready.
var errNotRegistered = errors.New("not registered with etcd: it does not answer, or another process has the name; see the log")

// Ready says why the dispatcher cannot be given spans, nil if it can: it is registered and may act. It may be called at
// any time, from any goroutine.
func (d *Dispatcher) Ready() error {
	if l := d.stats.living.Load(); l == nil || !l.session.mayAct() {
		return errNotRegistered
	}
	return nil
}

// living is the session that lives, and what runs in it.
type living struct {
	session *session
	runs    *instances
}

// phaseCount is one more than the last phase.
const phaseCount = operator.Merging + 1

// stats are written by the loop and by whoever sends a batch.
type stats struct {
	phases                    [phaseCount]atomic.Int64
	batches, parts, mutations atomic.Int64
	sessions                  atomic.Int64
	living                    atomic.Pointer[living]
}

func (s *stats) begin(session *session, runs *instances) {
	s.sessions.Add(1)
	s.living.Store(&living{session, runs})
}

func (s *stats) enter(p operator.Phase) { s.phases[p].Add(1) }
func (s *stats) leave(p operator.Phase) { s.phases[p].Add(-1) }

func (s *stats) move(from, to operator.Phase) {
	s.leave(from)
	s.enter(to)
}

// reset forgets the spans of a session that is over.
func (s *stats) reset() {
	s.living.Store(nil)
	for p := range s.phases {
		s.phases[p].Store(0)
	}
}

func (s *stats) sent(b txn.Batch, results []txn.Result) {
	s.batches.Add(1)
	for n, r := range results {
		if r.Outcome == txn.Done {
			s.parts.Add(1)
			s.mutations.Add(int64(len(b.Parts[n].Then)))
		}
	}
}
