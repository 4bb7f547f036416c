package scheduler

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

const (
	// maxPartners bounds with how many nodes one is compared for an exchange, maxPairs how many pairs of nodes are in vain, and
	// maxPicks how many weights are looked at from each end of what two nodes have.
	maxPartners = 8
	maxPairs    = 64
	maxPicks    = 8
)

// exchange levels the loads of two nodes by two moves that belong together: a span that is heavier goes to the node with less
// load, and one that is lighter comes from there. The numbers of spans stay as they are, so it helps where these forbid each
// single move. Both are of one cohort: so the spread stays as it is, too.
func (b *balancer) exchange(_ *cohort, t *tier, limit float64) (proposal, bool) {
	if !b.roomForTwo(b.flights[ClassBalance], b.cfg.InFlight) {
		return proposal{}, false
	}
	from := slices.DeleteFunc(slices.Clone(t.seats), func(s *seat) bool { return !s.swaps() || !b.openForTwo(s.host) })
	to := slices.Clone(from)
	slices.SortStableFunc(from, func(a, b *seat) int { return cmp.Compare(b.strain(), a.strain()) })
	slices.SortStableFunc(to, func(a, b *seat) int { return cmp.Compare(a.strain(), b.strain()) })
	pairs := 0
	for _, d := range from {
		for _, r := range to[:min(len(to), maxPartners)] {
			if d.strain()-r.strain() <= limit || pairs == maxPairs {
				break
			}
			pairs++
			if !d.room() && !r.room() {
				continue // neither can come before the other has gone
			}
			if x, y := b.swapOf(d, r); x != nil {
				return swapped(d, r, x, y), true
			}
		}
	}
	return proposal{}, false
}

// swaps: a span of the cohort may be moved from there, and another put into its place.
func (s *seat) swaps() bool {
	return s.fit && s.movable() > 0 && (s.host.node.Capacity <= 0 || s.host.spans <= s.host.node.Capacity)
}

// openForTwo: the node may take part in two more moves.
func (b *balancer) openForTwo(h *host) bool {
	return b.roomForTwo(h.flights[ClassBalance], b.cfg.NodeInFlight)
}

// roomForTwo: a budget of one never has room for an exchange, however little is in flight.
func (b *balancer) roomForTwo(n, limit int) bool {
	return limit <= 0 || limit > 1 && b.below(n+1, limit)
}

// bothAllowed: their keyspaces may have both in flight.
func (b *balancer) bothAllowed(x, y *item) bool {
	if x.space != y.space {
		return b.allowed(x) && b.allowed(y)
	}
	return b.roomForTwo(x.space.flights[ClassBalance], b.cfg.KeyspaceInFlight)
}

// swapped is the exchange. What goes to a node that is full goes second.
func swapped(d, r *seat, x, y *item) proposal {
	reason := func(other *item, to *host) func() string {
		why := fmt.Sprintf("%s; %s goes to %s in exchange", loadReason(d.host, r.host), other.Ref.ID, to.node.Name)
		return func() string { return why }
	}
	there := proposal{it: x, to: r.host, reason: reason(y, d.host)}
	back := proposal{it: y, to: d.host, reason: reason(x, r.host)}
	if !r.room() {
		there, back = back, there
	}
	there.also = &back
	return there
}

// swapOf are a span that goes and one that comes in exchange: those whose difference brings two nodes closest to being level
// and not beyond, or else least beyond. Of those with the same difference the lightest; nil if none are worth it.
func (b *balancer) swapOf(from, to *seat) (x, y *item) {
	s := swapSearch{b: b, from: from, to: to, level: (from.strain() - to.strain()) / (1/from.host.weight + 1/to.host.weight)}
	lightest, _ := to.share.movable.Min()
	heaviest, _ := to.share.movable.Max()
	if s.mayBelow(lightest.weight, heaviest.weight) {
		s.below(lightest.weight, heaviest.weight)
	}
	if s.x == nil && s.mayBeyond(lightest.weight, heaviest.weight) {
		s.beyond(heaviest.weight)
	}
	return s.x, s.y
}

// swapSearch looks for an exchange between two nodes. It takes some spans from the ends of what each has, and finds the best
// counterpart of each: the cost does not follow how many there are.
type swapSearch struct {
	b        *balancer
	from, to *seat
	level    float64
	x, y     *item
}

// mayBelow and mayBeyond say no at little cost where nothing can be found, which is so as long as one span is too hot.
func (s *swapSearch) mayBelow(lightest, heaviest float64) bool {
	x := s.b.lighter(s.from, s.to, s.level+heaviest)
	return x != nil && x.weight-lightest >= s.level*worth
}

func (s *swapSearch) mayBeyond(lightest, heaviest float64) bool {
	x := s.b.heavier(s.from, s.to, s.level+lightest)
	return x != nil && x.weight-heaviest < s.level*overshoot
}

// below looks for the largest difference that does not bring them beyond the level.
func (s *swapSearch) below(lightest, heaviest float64) {
	least := func(y *item) { s.consider(s.b.lighter(s.from, s.to, s.level+y.weight), y, s.level*worth, s.level, 1) }
	counterpart := func(x *item) { s.consider(x, s.b.heavier(s.to, s.from, x.weight-s.level), s.level*worth, s.level, 1) }
	s.b.up(s.to, s.from, math.Inf(-1), least)
	s.b.up(s.from, s.to, s.level+lightest, counterpart)
	s.b.down(s.from, s.to, s.level+heaviest, counterpart)
}

// beyond looks for the smallest one that brings them not much beyond it.
func (s *swapSearch) beyond(heaviest float64) {
	most := s.level * overshoot
	s.b.up(s.to, s.from, math.Inf(-1), func(y *item) {
		s.consider(s.b.heavier(s.from, s.to, s.level+y.weight), y, s.level, most, -1)
	})
	s.b.down(s.from, s.to, most+heaviest, func(x *item) {
		s.consider(x, s.b.lighter(s.to, s.from, x.weight-s.level), s.level, most, -1)
	})
}

// consider takes two if their difference is within bounds and better than that of those it has: larger or smaller, by sign.
func (s *swapSearch) consider(x, y *item, least, most, sign float64) {
	if x == nil || y == nil {
		return
	}
	by := x.weight - y.weight
	if by < least || by > most || by == s.level*overshoot || !s.b.bothAllowed(x, y) {
		return
	}
	if s.x != nil && cmp.Or(cmp.Compare(sign*(s.x.weight-s.y.weight), sign*by), cmp.Compare(y.weight, s.y.weight)) >= 0 {
		return
	}
	s.x, s.y = x, y
}

// up gives some spans that fit, of different weights from one on, the lightest first; down the heaviest first.
func (b *balancer) up(from, to *seat, weight float64, do func(*item)) {
	for range maxPicks {
		it := b.heavier(from, to, weight)
		if it == nil {
			return
		}
		do(it)
		weight = math.Nextafter(it.weight, math.Inf(1))
	}
}

func (b *balancer) down(from, to *seat, weight float64, do func(*item)) {
	for range maxPicks {
		it := b.lighter(from, to, weight)
		if it == nil {
			return
		}
		do(it)
		weight = math.Nextafter(it.weight, math.Inf(-1))
	}
}
