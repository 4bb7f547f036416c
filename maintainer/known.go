package maintainer

import (
	"maps"
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
	load, size        *float64
	copied, copyTotal *int64
	splitKeys         []string
	// lastError of opening, closing or running; failures in a row, and when it is tried again.
	lastError string
	// troubledSince is when the error began: it is kept as long as there is one.
	troubledSince time.Time
	failures      int
	retryAt       time.Time
	// waiting is what the span waits for, as a sentence for people.
	waiting string
	// barredSince is when the rules of its keyspace began to keep it from being placed, the zero time if they do not.
	barredSince time.Time
	// stuck is the stage that is late and cannot be forced, nil if there is none.
	stuck *stuckKnown
	// nowhere is why it cannot leave a node that is drained though others of its keyspace may.
	nowhere string
}

// nodeKnown is what is known of a session beyond its node key.
type nodeKnown struct {
	connected bool
	// mayActUntil is a reading of this process's leases.Clock.
	mayActUntil time.Duration
	// since is when it became connected or unreachable.
	since time.Time
	// idle: it is drained, and has said itself that it runs nothing. why is what its drain waits for, and nowhere, by
	// keyspace, why spans of it can go to no other node. They are never changed in place.
	idle    bool
	why     string
	nowhere map[string]string
}

// problem is one line under "problems" in status.
type problem struct {
	kind, keyspace, span, node, message string
	// at tells apart what these do not.
	at    string
	since time.Time
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

// update changes what is known of a span.
func (k *known) update(r operator.Ref, change func(*spanKnown)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.spans[r]
	change(&s)
	switch {
	case s.lastError == "":
		s.troubledSince = time.Time{}
	case s.troubledSince.IsZero():
		s.troubledSince = time.Now()
	}
	k.spans[r] = s
}

// forget drops a span that exists no more, and what was wrong with it.
func (k *known) forget(r operator.Ref) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.spans, r)
	for key, p := range k.problems {
		if p.keyspace == r.Keyspace && p.span == string(r.ID) {
			delete(k.problems, key)
		}
	}
}

// sessions counts those of which something is known.
func (k *known) sessions() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.nodes)
}

// forgetNodes drops what is known of sessions of which nobody needs it any more. No lock is held while over is asked, which
// may read the view: others read this while they hold that.
func (k *known) forgetNodes(over func(session int64, n nodeKnown) bool) {
	k.mu.RLock()
	all := maps.Clone(k.nodes)
	k.mu.RUnlock()
	maps.DeleteFunc(all, func(session int64, n nodeKnown) bool { return !over(session, n) })
	k.mu.Lock()
	defer k.mu.Unlock()
	for session := range all {
		delete(k.nodes, session)
	}
}

func (k *known) updateNode(session int64, change func(*nodeKnown)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := k.nodes[session]
	change(&n)
	k.nodes[session] = n
}

// key tells problems apart: one of a kind at a place. A span has one wherever it is.
func (p problem) key() string {
	if p.span != "" {
		p.node = ""
	}
	return p.kind + "/" + p.keyspace + "/" + p.span + "/" + p.node + "/" + p.at
}

// complain shows a problem. One that is shown already keeps its beginning.
func (k *known) complain(p problem) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p.since.IsZero() {
		p.since = time.Now()
	}
	if old, ok := k.problems[p.key()]; ok {
		p.since = old.since
	}
	k.problems[p.key()] = p
}

// solve takes a problem back.
func (k *known) solve(kind, keyspace, span, node string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.problems, problem{kind: kind, keyspace: keyspace, span: span, node: node}.key())
}

// keepOnly takes back all problems of a kind but these.
func (k *known) keepOnly(kind string, keys map[string]bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, p := range k.problems {
		if p.kind == kind && !keys[key] {
			delete(k.problems, key)
		}
	}
}
