package maintainer

import (
	"cmp"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
)

// moves are those in flight, so that nodes can be seen as they will be once all are done.
type moves struct {
	headings map[operator.Ref]heading
	// coming counts the spans that do not weigh on their target yet, by its name; leaving those that still weigh on
	// another session.
	coming  map[string]int
	leaving map[int64]int
	// drained counts the moves that the drain of a node has in flight, by its name.
	drained map[string]int
}

// heading is where a move in flight takes a span. The zero heading is none.
type heading struct {
	to      string
	from    int64
	drained string
}

func newMoves() moves {
	return moves{headings: map[operator.Ref]heading{}, coming: map[string]int{}, leaving: map[int64]int{}, drained: map[string]int{}}
}

// headingOf is that of a span which weighs on a session now. What was handed off and is opened elsewhere, since its target
// would not have it, heads for its target no more.
func headingOf(i *record.Intent, on operator.Identity) heading {
	if i == nil || i.Kind != record.KindMove {
		return heading{}
	}
	var h heading
	if i.By == record.ByDrain {
		h.drained = i.From
	}
	if on.Node != i.To && (!i.HandedOff || on.Session == 0) {
		h.to, h.from = i.To, on.Session
	}
	return h
}

// set replaces the heading of a span.
func (m *moves) set(r operator.Ref, h heading) {
	m.weigh(m.headings[r], -1)
	m.weigh(h, 1)
	if h == (heading{}) {
		delete(m.headings, r)
		return
	}
	m.headings[r] = h
}

// arrived: the span weighs on a session now.
func (m *moves) arrived(r operator.Ref, on operator.Identity) {
	if h := m.headings[r]; h.to != "" && h.to == on.Node {
		m.set(r, heading{drained: h.drained})
	}
}

func (m *moves) weigh(h heading, by int) {
	if h.to != "" {
		tally(m.coming, h.to, by)
	}
	if h.from != 0 {
		tally(m.leaving, h.from, by)
	}
	if h.drained != "" {
		tally(m.drained, h.drained, by)
	}
}

// tally keeps counts without zeros.
func tally[K comparable](m map[K]int, k K, by int) {
	if m[k] += by; m[k] == 0 {
		delete(m, k)
	}
}

func compareIDs(a, b operator.Ref) int { return cmp.Compare(a.ID, b.ID) }
