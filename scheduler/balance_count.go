package scheduler

import (
	"cmp"
	"fmt"
	"slices"
)

// maxMisses bounds how often a plan looks in vain for a span that may be moved, for each tier.
const maxMisses = 1024

// levelCounts moves spans from nodes that have too many for their weight to those that have too few.
func (b *balancer) levelCounts() {
	for _, c := range b.inTurn() {
		b.look(c)
		for _, t := range c.tiers {
			for b.left() {
				p, ok := b.nextCount(c, t)
				if !ok {
					break
				}
				b.make(p)
			}
		}
	}
}

// nextCount is the next move that levels the numbers of spans on the nodes of a tier.
//
// Levelling begins when two nodes are further apart than the tolerance. The nodes that stand out then are marked, and each
// is brought to the mean, as far as spans may be moved, also over many plans if budgets interrupt that. The others only give or take: what is within the tolerance is no reason for
// a move of its own, so that a node that is added causes no more moves than it gets spans.
func (b *balancer) nextCount(c *cohort, t *tier) (proposal, bool) {
	mean := meanFill(t.seats)
	if unmark(t.seats, mean) {
		if p, ok := b.countMove(c, t, mean); ok {
			return p, true
		}
	}
	if b.apart(t, b.cfg.CountTolerance*mean) {
		markThose(t.seats, b.cfg.CountTolerance*mean)
		if p, ok := b.countMove(c, t, mean); ok {
			return p, true
		}
	}
	if !b.short {
		unmarkAll(t.seats)
	}
	return proposal{}, false
}

// meanFill is what each node would have for its weight if all were level.
func meanFill(seats []*seat) float64 {
	spans, weight := 0, 0.0
	for _, s := range seats {
		if s.fit {
			spans += s.host.spans
			weight += s.host.weight
		}
	}
	if weight == 0 {
		return 0
	}
	return float64(spans) / weight
}

// unmark takes the mark from nodes that are level, and reports whether others have one.
func unmark(seats []*seat, mean float64) bool {
	some := false
	for _, s := range seats {
		if s.mark == tooFull && s.down() <= mean || s.mark == tooEmpty && (s.up() >= mean || !s.fit) {
			s.mark = 0
		}
		some = some || s.mark != 0
	}
	return some
}

func unmarkAll(seats []*seat) {
	for _, s := range seats {
		s.mark = 0
	}
}

// apart: the fullest node that could give and the emptiest that could take are further apart than they may be.
func (b *balancer) apart(t *tier, limit float64) bool {
	from, to := extremes(t.seats, b.gives, b.takes)
	return from != nil && to != nil && from.down() > to.up() && from.fill()-to.fill() > limit
}

func (b *balancer) gives(s *seat) bool { return s.movable() > 0 && b.open(s.host) }
func (b *balancer) takes(s *seat) bool { return s.room() && b.open(s.host) }

// extremes are the fullest of the nodes that give and the emptiest of those that take, nil for none.
func extremes(seats []*seat, gives, takes func(*seat) bool) (from, to *seat) {
	for _, s := range seats {
		if (from == nil || s.down() > from.down()) && gives(s) {
			from = s
		}
		if (to == nil || s.up() < to.up()) && takes(s) {
			to = s
		}
	}
	return from, to
}

// countMove is a move from the fullest node to the emptiest one of which at least one is marked.
func (b *balancer) countMove(c *cohort, t *tier, mean float64) (proposal, bool) {
	if c.rules.Spread == "" {
		if p, ok := b.quickCountMove(t, mean); ok {
			return p, true
		}
	}
	from := slices.DeleteFunc(slices.Clone(t.seats), func(s *seat) bool { return !b.gives(s) })
	to := slices.DeleteFunc(slices.Clone(t.seats), func(s *seat) bool { return !b.takes(s) })
	slices.SortStableFunc(from, func(a, b *seat) int { return cmp.Compare(b.down(), a.down()) })
	slices.SortStableFunc(to, func(a, b *seat) int { return cmp.Compare(a.up(), b.up()) })
	misses := 0
	for _, d := range from {
		for _, r := range to {
			if d.down() <= r.up() {
				break
			}
			if d.mark != tooFull && r.mark != tooEmpty || !c.spreadAllows(d, r) {
				continue
			}
			if p, ok := b.countBetween(t, d, r, mean); ok {
				return p, true
			}
			if misses++; misses > maxMisses {
				return proposal{}, false
			}
		}
	}
	return proposal{}, false
}

// quickCountMove finds the move without sorting, in nearly all cases.
func (b *balancer) quickCountMove(t *tier, mean float64) (proposal, bool) {
	from, toEmpty := extremes(t.seats, b.gives, func(s *seat) bool { return s.mark == tooEmpty && b.takes(s) })
	fromFull, to := extremes(t.seats, func(s *seat) bool { return s.mark == tooFull && b.gives(s) }, b.takes)
	if from != nil && toEmpty != nil && from.down() > toEmpty.up() {
		if p, ok := b.countBetween(t, from, toEmpty, mean); ok {
			return p, true
		}
	}
	if fromFull != nil && to != nil && fromFull.down() > to.up() {
		return b.countBetween(t, fromFull, to, mean)
	}
	return proposal{}, false
}

// countBetween picks the span: the lightest that carries at least what the receiver lacks for each of the spans that it is
// to get, or else the heaviest there is.
func (b *balancer) countBetween(t *tier, from, to *seat, mean float64) (proposal, bool) {
	it := b.heavier(from, to, lacks(t, to, mean))
	if it == nil {
		most, _ := from.share.movable.Max()
		it = b.lighter(from, to, most.weight)
	}
	if it == nil {
		return proposal{}, false
	}
	return proposal{it: it, to: to.host, reason: func() string { return countReason(from.host, to.host) }}, true
}

func lacks(t *tier, to *seat, mean float64) float64 {
	spans := mean*to.host.weight - float64(to.host.spans)
	load := meanStrain(t.seats)*to.host.weight - to.host.load
	return max(0, load/max(1, spans))
}

func countReason(from, to *host) string {
	if from.weight != to.weight {
		return fmt.Sprintf("%s carries %s of weight %g and %s %d of weight %g",
			from.node.Name, spans(from.spans), from.weight, to.node.Name, to.spans, to.weight)
	}
	return fmt.Sprintf("%s carries %s and %s %d", from.node.Name, spans(from.spans), to.node.Name, to.spans)
}

func spans(n int) string {
	if n == 1 {
		return "1 span"
	}
	return fmt.Sprintf("%d spans", n)
}
