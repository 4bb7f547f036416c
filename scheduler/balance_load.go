package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

const (
	// worth is which part of what would make two nodes level a span must weigh at least: a move costs as much for a span that
	// changes nothing.
	worth = 1.0 / 256
	// overshoot is how much more than that one may weigh if none weighs less. Two would swap the nodes.
	overshoot = 1.5
)

// levelLoads moves spans from nodes that have too much load for their weight to those that have too little.
func (b *balancer) levelLoads() {
	for _, c := range b.inTurn() {
		b.look(c)
		for _, t := range c.tiers {
			for b.left() && b.try(b.levelBy(c, t, b.loadMove)) {
				continue
			}
			for b.left() && b.try(b.levelBy(c, t, b.exchange)) {
				continue
			}
			t.loads = t.loads && b.short
		}
	}
}

func meanStrain(seats []*seat) float64 {
	load, weight := 0.0, 0.0
	for _, s := range seats {
		if s.fit {
			load += s.host.load
			weight += s.host.weight
		}
	}
	if weight == 0 {
		return 0
	}
	return load / weight
}

// nextLoad is the next move that levels the loads of the nodes of a tier, or the next exchange if no single move does.
func (b *balancer) nextLoad(c *cohort, t *tier) (proposal, bool) {
	if p, ok := b.levelBy(c, t, b.loadMove); ok {
		return p, true
	}
	return b.levelBy(c, t, b.exchange)
}

// levelBy is what a way to level them finds, while they are to be levelled. That begins when two are further apart than twice
// the tolerance, and ends when they are within it, or nothing would help.
func (b *balancer) levelBy(c *cohort, t *tier, way func(*cohort, *tier, float64) (proposal, bool)) (proposal, bool) {
	mean := meanStrain(t.seats)
	limit := b.cfg.LoadTolerance * mean
	high, low := strains(t.seats, b.gives, func(s *seat) bool { return (s.room() || s.swaps()) && b.open(s.host) })
	switch {
	case mean <= 0 || high == nil || low == nil || high.strain()-low.strain() <= limit:
		t.loads = false
	case high.strain()-low.strain() > 2*limit:
		t.loads = true
	}
	if !t.loads {
		return proposal{}, false
	}
	return way(c, t, limit)
}

// strains are the node with the most load of those that give, and the one with the least of those that take.
func strains(seats []*seat, gives, takes func(*seat) bool) (high, low *seat) {
	for _, s := range seats {
		if (high == nil || s.strain() > high.strain()) && gives(s) {
			high = s
		}
		if (low == nil || s.strain() < low.strain()) && takes(s) {
			low = s
		}
	}
	return high, low
}

func (b *balancer) loadMove(c *cohort, t *tier, limit float64) (proposal, bool) {
	from := slices.DeleteFunc(slices.Clone(t.seats), func(s *seat) bool { return !b.gives(s) })
	to := slices.DeleteFunc(slices.Clone(t.seats), func(s *seat) bool { return !b.takes(s) })
	slices.SortStableFunc(from, func(a, b *seat) int { return cmp.Compare(b.strain(), a.strain()) })
	slices.SortStableFunc(to, func(a, b *seat) int { return cmp.Compare(a.strain(), b.strain()) })
	var e *evenness
	misses := 0
	for _, d := range from {
		for _, r := range to {
			if d.strain()-r.strain() <= limit {
				break
			}
			if d.mark == tooEmpty || r.mark == tooFull || !c.spreadAllows(d, r) {
				continue
			}
			it := b.heaviestUseful(d, r)
			if it == nil {
				break // the gap to the next ones is smaller yet
			}
			if e == nil {
				e = b.evenness()
			}
			if !e.disturbed(c, d.host, r.host) {
				return proposal{it: it, to: r.host, reason: func() string { return loadReason(d.host, r.host) }}, true
			}
			if misses++; misses > maxMisses/16 {
				return proposal{}, false
			}
		}
	}
	return proposal{}, false
}

// heaviestUseful is the heaviest span that brings two nodes no further than to being level, or the lightest that brings them
// not much further.
func (b *balancer) heaviestUseful(from, to *seat) *item {
	level := (from.strain() - to.strain()) / (1/from.host.weight + 1/to.host.weight)
	if it := b.lighter(from, to, level); it != nil && it.weight >= level*worth {
		return it
	}
	if it := b.heavier(from, to, level); it != nil && it.weight < level*overshoot {
		return it
	}
	return nil
}

func loadReason(from, to *host) string {
	reason := fmt.Sprintf("load %s on %s, %s on %s", number(from.load), from.node.Name, number(to.load), to.node.Name)
	if from.weight != to.weight {
		reason += fmt.Sprintf(", of weights %g and %g", from.weight, to.weight)
	}
	return reason
}

// number is short enough to be read.
func number(x float64) string {
	if x >= 100 || x == float64(int64(x)) {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

// evenness says whether a move for loads would put the numbers of spans out of level, whatever may be moved right now: what
// cools down may be moved later, and must not be moved back then.
type evenness struct {
	b *balancer
	// excess is by how much the nodes of a tier are further apart than they may be as it is.
	excess map[*tier]float64
}

func (b *balancer) evenness() *evenness {
	e := &evenness{b, map[*tier]float64{}}
	for _, c := range b.inTurn() {
		b.look(c)
		for _, t := range c.tiers {
			e.excess[t] = b.excess(t, nil)
		}
	}
	return e
}

// disturbed: a move between two nodes would put the numbers of spans of some tier out of level, or further out of it.
func (e *evenness) disturbed(c *cohort, from, to *host) bool {
	from.spans--
	to.spans++
	defer func() {
		from.spans++
		to.spans--
	}()
	for _, o := range e.b.inTurn() {
		var gets *host
		if o == c {
			gets = to
		}
		for _, t := range o.tiers {
			if x := e.b.excess(t, gets); x > 0 && x > e.excess[t] || e.b.sticksOut(t, from, to, gets) {
				return true
			}
		}
	}
	return false
}

// excess is by how much the nodes of a tier are further apart than they may be; it is not positive if they are not. gets is
// a node that would get a span of the cohort, nil for none.
func (b *balancer) excess(t *tier, gets *host) float64 {
	from, to := extremes(t.seats, func(s *seat) bool { return s.mayGive(gets) }, (*seat).room)
	return b.beyond(t, from, to)
}

// sticksOut: one of the nodes that a span has gone from and to is now further from others than it may be.
func (b *balancer) sticksOut(t *tier, from, to, gets *host) bool {
	giver, _ := extremes(t.seats, func(s *seat) bool { return s.mayGive(gets) }, (*seat).room)
	_, taker := extremes(t.seats, (*seat).room, (*seat).room)
	_, emptied := extremes(t.seats, (*seat).room, func(s *seat) bool { return s.host == from && s.room() })
	filled, _ := extremes(t.seats, func(s *seat) bool { return s.host == to && s.mayGive(gets) }, (*seat).room)
	return b.beyond(t, giver, emptied) > 0 || b.beyond(t, filled, taker) > 0
}

// mayGive: it has spans that may be moved some time.
func (s *seat) mayGive(gets *host) bool { return s.share != nil && s.share.free > 0 || s.host == gets }

// beyond is by how much two nodes are further apart than they may be.
func (b *balancer) beyond(t *tier, from, to *seat) float64 {
	if from == nil || to == nil || from.down() <= to.up() {
		return -1
	}
	return from.fill() - to.fill() - b.cfg.CountTolerance*meanFill(t.seats)
}
