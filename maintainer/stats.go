package maintainer

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats counts what a maintainer has done since it was made.
type Stats struct {
	// Asks were sent to dispatchers, in Messages; Repeated of them again, Refused of them in vain.
	Asks, Messages, Repeated, Refused int64
	// Txns were sent to etcd under a term, with Parts changes in them, Mutations of which put or deleted a key.
	Txns, Parts, Mutations int64
	// Terms won, and how long the last ones took from the win to the first fenced write and to the running loop.
	Terms     int64
	Takeovers []Takeover
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

	mu        sync.Mutex
	takeovers []Takeover
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
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Asks: s.asks.Load(), Messages: s.messages.Load(), Repeated: s.repeated.Load(), Refused: s.refused.Load(),
		Txns: s.txns.Load(), Parts: s.parts.Load(), Mutations: s.mutations.Load(), Terms: s.terms.Load(),
		Takeovers: append([]Takeover(nil), s.takeovers...),
	}
}
