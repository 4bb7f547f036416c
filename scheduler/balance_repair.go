package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// repair moves spans that are where the rules of their keyspace would not put them now.
func (b *balancer) repair() {
	var strays []*item
	b.strays.Scan(func(it *item) bool { strays = append(strays, it); return true })
	for _, it := range strays {
		b.try(b.toPin(it))
	}
	for _, c := range b.inTurn() {
		b.look(c)
		for _, s := range c.barred {
			b.leave(c, s, len(c.tiers), func(*host) string { return lacksReason(c, s.host) })
		}
		for i := len(c.tiers) - 1; i > 0; i-- {
			for _, s := range c.tiers[i].seats {
				b.leave(c, s, i, func(to *host) string { return preferReason(c, s.host, to) })
			}
		}
		b.spread(c)
	}
}

func (b *balancer) try(p proposal, ok bool) bool {
	if ok && b.left() {
		b.make(p)
		return true
	}
	return false
}

// toPin is the move of a span to the node that it is tied to.
func (b *balancer) toPin(it *item) (proposal, bool) {
	h := b.hosts[it.Pin]
	if h == nil || !h.known || !b.allowed(it) || !b.open(it.host) || !b.open(h) {
		return proposal{}, false
	}
	if s := (slot{Node: h.now()}); s.refuses(Want{Workload: it.Workload, Rules: it.Rules}) != "" {
		return proposal{}, false
	}
	return proposal{it: it, to: h, reason: func() string { return fmt.Sprintf("%s ties it to %s", SettingPin, it.Pin) }}, true
}

// now is the node as it will be.
func (h *host) now() Node {
	n := h.node
	n.Spans, n.Load = h.spans, h.load
	return n
}

// leave moves spans of a node to the first of some tiers that has room.
func (b *balancer) leave(c *cohort, s *seat, tiers int, reason func(*host) string) {
	if s.movable() == 0 || !slices.ContainsFunc(c.tiers[:tiers], func(t *tier) bool { return t.room() }) {
		return
	}
	misses := 0
	for _, it := range s.share.first(b.budget()) {
		if !b.left() || !b.open(s.host) || misses > maxLook {
			return
		}
		if !b.try(b.toBetter(c, it, tiers, reason)) {
			misses++
		}
	}
}

// first are the cheapest of what may be moved: as many as may be moved, and some for those that may not.
func (s *share) first(budget int) []*item {
	most := s.movable.Len()
	if budget < most-maxLook {
		most = budget + maxLook
	}
	out := make([]*item, 0, most)
	s.movable.Scan(func(it *item) bool {
		out = append(out, it)
		return len(out) < most
	})
	return out
}

// toBetter is the move of a span to where placement would put it, if that is in one of the first tiers. A tier with room
// where all are only busy is waited for.
func (b *balancer) toBetter(c *cohort, it *item, tiers int, reason func(*host) string) (proposal, bool) {
	if !b.allowed(it) {
		return proposal{}, false
	}
	for _, t := range c.tiers[:tiers] {
		to, busy := b.placeIn(c, t, it)
		switch {
		case to != nil:
			return proposal{it: it, to: to.host, reason: func() string { return reason(to.host) }}, true
		case busy:
			return proposal{}, false
		}
	}
	return proposal{}, false
}

// room: some node of the tier takes more.
func (t *tier) room() bool { return slices.ContainsFunc(t.seats, (*seat).room) }

// placeIn is the node of a tier that would be given the span, nil if there is none; busy if that is only for budgets.
func (b *balancer) placeIn(c *cohort, t *tier, it *item) (best *seat, busy bool) {
	fewest, some := b.fewest(c, t, it)
	if !some {
		return nil, false
	}
	for _, s := range t.seats {
		if s.value == fewest && s.room() && !avoids(it, s.host) && b.open(s.host) && (best == nil || b.roomier(s.host, best.host)) {
			best = s
		}
	}
	return best, best == nil
}

// fewest is the value with the fewest spans of those with room for the span in a tier, false if nothing has.
func (b *balancer) fewest(c *cohort, t *tier, it *item) (value string, some bool) {
	for _, s := range t.seats {
		if (!some || c.values[s.value] < c.values[value]) && s.room() && !avoids(it, s.host) {
			value, some = s.value, true
		}
	}
	return value, some
}

// roomier is the order in which placement takes nodes.
func (b *balancer) roomier(x, y *host) bool {
	if b.band == nil {
		is := bandOf(b.Nodes(), 0)
		b.band = &is
	}
	return carried(x.now(), x.weight).before(carried(y.now(), y.weight), *b.band)
}

// spread moves spans of a keyspace from the value that has most to the one that has fewest, if these are more than one apart.
func (b *balancer) spread(c *cohort) {
	if c.rules.Spread == "" {
		return
	}
	for i, t := range c.tiers {
		if slices.ContainsFunc(c.tiers[:i], (*tier).room) {
			return
		}
		for b.left() && b.try(b.nextSpread(c, t)) {
			continue
		}
	}
}

func (b *balancer) nextSpread(c *cohort, t *tier) (proposal, bool) {
	from := slices.DeleteFunc(slices.Clone(t.seats), func(s *seat) bool { return !b.gives(s) })
	slices.SortStableFunc(from, func(x, y *seat) int {
		return cmp.Or(cmp.Compare(c.values[y.value], c.values[x.value]), cmp.Compare(y.down(), x.down()))
	})
	for _, s := range from {
		if p, ok := b.toFewest(c, t, s); ok {
			return p, true
		}
	}
	return proposal{}, false
}

// toFewest moves the cheapest span of a node that may be moved to the value that has the fewest.
func (b *balancer) toFewest(c *cohort, t *tier, from *seat) (proposal, bool) {
	for _, it := range from.share.first(1) {
		value, some := b.fewest(c, t, it)
		if !some || c.values[from.value]-c.values[value] <= 1 {
			return proposal{}, false
		}
		if to, _ := b.placeIn(c, t, it); to != nil && b.allowed(it) {
			return proposal{it: it, to: to.host, reason: func() string { return spreadReason(c, from, to) }}, true
		}
	}
	return proposal{}, false
}

func lacksReason(c *cohort, h *host) string {
	t, _ := c.rules.Lacks(h.node)
	return fmt.Sprintf("%s=%s, and %s does not have %s", SettingRequire, c.rules.Require, h.node.Name, t)
}

func preferReason(c *cohort, from, to *host) string {
	return fmt.Sprintf("%s=%s, of which %s has more than %s", SettingPrefer, c.rules.Prefer, to.node.Name, from.node.Name)
}

func spreadReason(c *cohort, from, to *seat) string {
	return fmt.Sprintf("%s=%s: %s has %s of %s and %s %d", SettingSpread, c.rules.Spread,
		valueName(c, from.value), spans(c.values[from.value]), c.key.keyspace, valueName(c, to.value), c.values[to.value])
}

func valueName(c *cohort, value string) string {
	if v, ok := strings.CutPrefix(value, "="); ok {
		return c.rules.Spread + "=" + v
	}
	return "what has no " + c.rules.Spread
}
