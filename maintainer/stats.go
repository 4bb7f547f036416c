package maintainer

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanward/spanward/leases"
	"github.com/spanward/spanward/view"
)

// Stats counts what a maintainer has done since it was made.
type Stats struct {
	// Asks were sent to dispatchers, in Messages; Repeated of them again, Refused of them in vain.
	Asks, Messages, Repeated, Refused int64
	// Late stages are those whose deadline passed; Aborts were sent to end late openings; Evictions are leases revoked.
	Late, Aborts, Evictions int64
	// Txns were sent to etcd under a term, with Parts changes in them, Mutations of which put or deleted a key.
	Txns, Parts, Mutations int64
	// Terms won, and how long the last ones took from the win to the first fenced write and to the running loop.
	Terms     int64
	Takeovers []Takeover
	// Sessions were begun so far; MayAct is what is left of the living one's right to act, 0 if none lives.
	Sessions int64
	MayAct   time.Duration
	// Leading: this process leads. Term is that of the leader it knows, 0 if it knows none.
	Leading bool
	Term    int64
	// Revision is the one up to which the view is complete, 0 before the first listing.
	Revision int64
	View     view.Stats
}

// Takeover is how long one take-over took, from winning the seat.
type Takeover struct {
	Term int64
	// View is when the view had reached the term, FirstWrite when the first fenced write was answered.
	View, FirstWrite time.Duration
}

// maxTakeovers bounds the take-overs that are remembered.
const maxTakeovers = 100

type stats struct {
	asks, messages, repeated, refused atomic.Int64
	txns, parts, mutations, terms     atomic.Int64
	late, aborts, evictions           atomic.Int64

	mu        sync.Mutex
	takeovers []Takeover

	sessions atomic.Int64
	session  atomic.Pointer[leases.Session]
}

// registered: the process has its key in etcd.
func (s *stats) registered(session *leases.Session) {
	s.sessions.Add(1)
	s.session.Store(session)
}

func (s *stats) mayAct() time.Duration {
	if session := s.session.Load(); session != nil {
		return session.Remaining()
	}
	return 0
}

func (s *stats) tookOver(t Takeover) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.terms.Add(1)
	s.takeovers = append(s.takeovers, t)
	if len(s.takeovers) > maxTakeovers {
		s.takeovers = s.takeovers[1:]
	}
}

// Stats may be called at any time.
func (m *Maintainer) Stats() Stats {
	s := &m.stats
	leader, term := m.leaderRecord()
	if leader.Resigned {
		term = 0
	}
	out := Stats{
		Asks: s.asks.Load(), Messages: s.messages.Load(), Repeated: s.repeated.Load(), Refused: s.refused.Load(),
		Late: s.late.Load(), Aborts: s.aborts.Load(), Evictions: s.evictions.Load(),
		Txns: s.txns.Load(), Parts: s.parts.Load(), Mutations: s.mutations.Load(),
		Sessions: s.sessions.Load(), MayAct: s.mayAct(), Leading: m.current() != nil, Term: term,
		Revision: m.view.Revision(), View: m.view.Stats(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Terms, out.Takeovers = s.terms.Load(), append([]Takeover(nil), s.takeovers...)
	return out
}
