package view

import (
	"time"

	"github.com/spanward/spanward/internal/record"
)

const (
	// keepTTLs is for how many of its own TTLs the end of a session is remembered, and keepAtLeast how long anyhow.
	keepTTLs    = 3
	keepAtLeast = time.Minute
	// maxVanished bounds the memory. It is more than the nodes that one cluster can have.
	maxVanished = 10_000
)

// Vanished is a session whose registration this process saw disappear.
type Vanished struct {
	Session int64
	// Node is the registration as it was last.
	Node *Node
	// SeenAt is when that was, by the view's clock.
	SeenAt time.Duration
	// Ended is what the session said of its own end before it went.
	Ended record.Ended
}

// vanished remembers, in the order of SeenAt.
type vanished struct {
	list      []Vanished
	bySession map[int64]Vanished
	// unseen is up to when sessions may have gone without being remembered here.
	unseen time.Duration
}

func newVanished() vanished { return vanished{bySession: map[int64]Vanished{}} }

func (m *vanished) add(n *Node, now time.Duration) {
	for len(m.list) > 0 && (len(m.list) >= maxVanished || m.list[0].forgettable(now)) {
		m.dropFirst(now)
	}
	gone := Vanished{Session: n.Session, Node: n, SeenAt: now, Ended: n.Ended}
	m.list = append(m.list, gone)
	m.bySession[n.Session] = gone
}

func (m *vanished) dropFirst(now time.Duration) {
	first := m.list[0]
	if !first.forgettable(now) {
		m.unseenUntil(first.SeenAt)
	}
	delete(m.bySession, first.Session)
	m.list = m.list[1:]
}

func (g Vanished) forgettable(now time.Duration) bool {
	return now-g.SeenAt > max(keepTTLs*g.Node.TTL, keepAtLeast)
}

// unseenUntil says that sessions may have gone up to now without anybody noticing.
func (m *vanished) unseenUntil(now time.Duration) { m.unseen = max(m.unseen, now) }

func (m *vanished) get(session int64) (Vanished, bool) {
	if gone, ok := m.bySession[session]; ok {
		return gone, true
	}
	return Vanished{Session: session, SeenAt: m.unseen}, false
}
