package maintainer

import (
	"sync"
	"time"

	"github.com/spanward/spanward/operator"
)

// known is what a leader has heard from dispatchers and found out itself, beyond the records in etcd. All of it
// may be lost at any moment: a new leader hears it again. It is written by the leader's loop and read by the
// control API.
type known struct {
	mu       sync.RWMutex
	spans    map[operator.Ref]spanKnown
	nodes    map[int64]nodeKnown
	problems map[string]problem
}

// spanKnown is the newest status of a span as its owner or opener reported it.
type spanKnown struct {
	// session that reported it; a status of a session that is not the recorded owner any more is stale.
	session           int64
	checkpoint        uint64
	checkpointKnown   bool
	lagMS             *int64
	load              *float64
	copied, copyTotal *int64
	splitKeys         []string
	// lastError of opening, closing or running; failures in a row, and when it is tried again.
	lastError string
	failures  int
	retryAt   time.Time
	// waiting is what the span waits for, as a sentence for people.
	waiting string
}

// nodeKnown is what is known of a session beyond its node key.
type nodeKnown struct {
	connected bool
	// mayActUntil is a reading of this process's leases.Clock.
	mayActUntil time.Duration
	// since is when it became connected or unreachable.
	since time.Time
}

// problem is one line under "problems" in status.
type problem struct {
	kind, keyspace, span, node, message string
	since                               time.Time
}

func newKnown() *known {
	return &known{
		spans:    map[operator.Ref]spanKnown{},
		nodes:    map[int64]nodeKnown{},
		problems: map[string]problem{},
	}
}

func (k *known) span(r operator.Ref) spanKnown {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.spans[r]
}

func (k *known) node(session int64) nodeKnown {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.nodes[session]
}
