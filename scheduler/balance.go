package scheduler

import (
	"math"
	"time"
)

// BalanceConfig is what Balance goes by.
type BalanceConfig struct {
	// CountTolerance and LoadTolerance are how far apart two nodes may be, as a part of their mean.
	CountTolerance, LoadTolerance float64
	// Cooldown is how long a span stays where it has come to.
	Cooldown time.Duration
	// InFlight is the most moves in flight, NodeInFlight of them with a part of one node, KeyspaceInFlight of one keyspace.
	// Zero is no limit.
	InFlight, NodeInFlight, KeyspaceInFlight int
}

// Balance moves spans so that nodes carry alike: first those that may not stay where they are, or that the rules of their
// keyspace would rather have elsewhere, then so that the numbers of spans are level, then the loads.
//
// It ends: each move either brings a span to where rules would rather have it, or makes the sum of spans²/weight smaller
// and obeys the rules no less, or makes that of load²/weight smaller without the numbers getting out of level.
func (f *Fleet) Balance(now time.Time) []Move {
	f.advance(now)
	if !f.dirty {
		return nil
	}
	b := &balancer{Fleet: f, now: now}
	for before := -1; len(b.moves) > before && b.left(); {
		before = len(b.moves)
		b.repair()
		b.levelCounts()
		b.levelLoads()
	}
	f.dirty = false // what could still be found takes a change, or time
	return b.moves
}

// NextBalance says when Balance may find something though nothing changes until then: false for never.
func (f *Fleet) NextBalance(now time.Time) (time.Time, bool) {
	switch {
	case f.dirty || len(f.fresh) > 0:
		return now, true
	case len(f.waiting) == 0:
		return time.Time{}, false
	}
	return time.Unix(0, max(f.waiting[0].at, nanos(now))).In(now.Location()), true
}

// balancer is a plan that is being made.
type balancer struct {
	*Fleet
	now   time.Time
	moves []Move
	// short: a budget had no room for a move that might have been made.
	short bool
	// band is that of placement, once it was asked for.
	band *band
}

// proposal is a move that would be made.
type proposal struct {
	it     *item
	to     *host
	reason func() string
	// also is the other move of an exchange, nil for none.
	also *proposal
}

// make notes a move as in flight, and the one that belongs to it.
func (b *balancer) make(p proposal) {
	from := p.it.Node
	b.moves = append(b.moves, Move{p.it.Ref, from, p.to.node.Name, p.reason()})
	s := p.it.Span
	s.Node, s.Since = p.to.node.Name, b.now
	s.Flight = Flight{ClassBalance, from, s.Node}
	p.it.tried = nanos(b.now)
	b.SetSpan(s)
	if p.also != nil {
		b.make(*p.also)
	}
}

// left: the budget has room for one more move.
func (b *balancer) left() bool { return b.below(b.flights[ClassBalance], b.cfg.InFlight) }

// open: the node may take part in one more.
func (b *balancer) open(h *host) bool {
	return b.below(h.flights[ClassBalance], b.cfg.NodeInFlight)
}

// allowed: the keyspace may have one more in flight.
func (b *balancer) allowed(it *item) bool {
	return b.below(it.space.flights[ClassBalance], b.cfg.KeyspaceInFlight)
}

func (b *balancer) below(n, limit int) bool {
	if limit <= 0 || n < limit {
		return true
	}
	b.short = true
	return false
}

// budget is how many more moves may be planned.
func (b *balancer) budget() int {
	if b.cfg.InFlight <= 0 {
		return math.MaxInt
	}
	return max(0, b.cfg.InFlight-b.flights[ClassBalance])
}

// maxLook bounds how many spans of a node are looked at for one that can be moved, where the first ones have failed on the
// receiver or are of keyspaces that have as much in flight as they may.
const maxLook = 256

// fits: the span may be moved to the node for all that is its own business.
func (b *balancer) fits(it *item, to *seat) bool {
	return b.allowed(it) && !avoids(it, to.host)
}

func avoids(it *item, h *host) bool {
	for _, name := range it.Avoid {
		if name == h.node.Name {
			return true
		}
	}
	return false
}

// spreadAllows: a move between these nodes leaves the spread of the cohort no worse.
func (c *cohort) spreadAllows(from, to *seat) bool {
	return c.rules.Spread == "" || from.value == to.value || c.values[to.value] < c.values[from.value]
}

// heavier is the lightest span that fits and weighs at least x, the one that is longest on its node of those that weigh the
// same; nil if there is none.
func (b *balancer) heavier(from, to *seat, x float64) *item {
	var found *item
	looked := 0
	from.share.movable.Ascend(&item{weight: x, since: math.MinInt64}, func(it *item) bool {
		if b.fits(it, to) {
			found = it
		}
		looked++
		return found == nil && looked < maxLook
	})
	return found
}

// lighter is likewise the heaviest one that weighs at most x.
func (b *balancer) lighter(from, to *seat, x float64) *item {
	var found *item
	looked := 0
	from.share.movable.Descend(&item{weight: x, since: math.MaxInt64}, func(it *item) bool {
		if b.fits(it, to) {
			found = it
		}
		looked++
		return found == nil && looked < maxLook
	})
	if found == nil {
		return nil
	}
	return b.heavier(from, to, found.weight)
}
