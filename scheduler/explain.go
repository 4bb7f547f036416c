package scheduler

import (
	"fmt"
	"slices"
	"time"

	"github.com/spanward/spanward/operator"
)

// Explain says what the planners would do next with a span, or why nothing: one sentence. Their plans
// are the same if nobody asks.
func (f *Fleet) Explain(r operator.Ref, now time.Time) string {
	it := f.items[r]
	if it == nil {
		return "nothing is known of it"
	}
	out := f.explainBalance(it, now)
	if why := f.explainReshape(it, now); why != "" {
		out += "; it " + why
	}
	return out
}

func (f *Fleet) explainBalance(it *item, now time.Time) string {
	switch {
	case it.Flight != Flight{}:
		return "what is in flight on it goes on"
	case it.host == nil || !it.host.known:
		return "it is opened as soon as a node can take it"
	case !it.Settled:
		return fmt.Sprintf("it stays on %s until it runs there and is well", it.Node)
	case it.Pin == it.Node:
		return fmt.Sprintf("it stays on %s: %s ties it there", it.Node, SettingPin)
	}
	f.advance(now)
	if !it.movable {
		return f.explainPause(it, now)
	}
	b := &balancer{Fleet: f, now: now}
	f.look(it.cohort)
	defer it.cohort.recall(it.cohort.remembered())
	if p, why := b.nextOf(it); p.it == it {
		return fmt.Sprintf("it is moved to %s: %s", p.to.node.Name, p.reason())
	} else if why != "" {
		return why
	}
	return b.explainLevel(it)
}

// explainPause says until when a span stays for having come, or for a move of it having been planned.
func (f *Fleet) explainPause(it *item, now time.Time) string {
	at := nanos(now)
	rest := lastingFor(f.due(it) - at)
	if it.tried > it.since {
		return fmt.Sprintf("it stays on %s for %s yet: a move of it was planned %s ago and came to nothing", it.Node, rest, lastingFor(at-it.tried))
	}
	return fmt.Sprintf("it stays on %s for %s yet: it came there %s ago, and balance.cooldown is %s", it.Node, rest, lastingFor(at-it.since), f.cfg.Cooldown)
}

// lastingFor is a time for people: in seconds, or if it is less than one in milliseconds.
func lastingFor(nanos int64) string {
	d := time.Duration(max(0, nanos))
	if d >= time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}

// nextOf is the move that comes next where a span is, or why a rule that it does not obey cannot be obeyed; neither if its
// node is as it should be.
func (b *balancer) nextOf(it *item) (proposal, string) {
	c := it.cohort
	if it.Pin != "" {
		if p, ok := b.toPin(it); ok {
			return p, ""
		}
		return proposal{}, fmt.Sprintf("it stays on %s, though %s ties it to %s: %s", it.Node, SettingPin, it.Pin, b.whyNot(it))
	}
	at, tierAt := c.seatOf(it.host)
	reason := func(to *host) string { return preferReason(c, it.host, to) }
	better := max(tierAt, 0)
	if tierAt < 0 {
		reason = func(*host) string { return lacksReason(c, it.host) }
		better = len(c.tiers)
	}
	if p, ok := b.toBetter(c, it, better, reason); ok {
		return p, ""
	}
	if tierAt < 0 {
		return proposal{}, fmt.Sprintf("it stays on %s, though %s: %s", it.Node, lacksReason(c, it.host), b.whyNot(it))
	}
	t := c.tiers[tierAt]
	if c.rules.Spread != "" && b.gives(at) && !slices.ContainsFunc(c.tiers[:tierAt], (*tier).room) {
		if p, ok := b.toFewest(c, t, at); ok {
			return b.turnOf(it, p)
		}
	}
	for _, next := range []func(*cohort, *tier) (proposal, bool){b.nextCount, b.nextLoad} {
		if p, ok := next(c, t); ok {
			return b.turnOf(it, p)
		}
	}
	return proposal{}, ""
}

// turnOf says of a span that another goes before it.
func (b *balancer) turnOf(it *item, p proposal) (proposal, string) {
	if !b.left() {
		return proposal{}, fmt.Sprintf("it stays on %s for now: balance has as many moves in flight as it may", it.Node)
	}
	if p.also != nil && p.also.it == it {
		return *p.also, ""
	}
	if p.it == it || p.it.host != it.host {
		return p, ""
	}
	return p, fmt.Sprintf("it stays on %s for now: %s, and %s goes to %s before it", it.Node, p.reason(), p.it.Ref.ID, p.to.node.Name)
}

// seatOf is a node as the cohort sees it and the place of its tier, -1 if it lacks something required.
func (c *cohort) seatOf(h *host) (*seat, int) {
	for i, t := range c.tiers {
		for _, s := range t.seats {
			if s.host == h {
				return s, i
			}
		}
	}
	for _, s := range c.barred {
		if s.host == h {
			return s, -1
		}
	}
	return nil, -1
}

// whyNot is why no node takes a span that has to go.
func (b *balancer) whyNot(it *item) string {
	p := newPlacer(b.unlimited(), 0, 0)
	w := Want{Ref: it.Ref, Workload: it.Workload, Rules: it.Rules, Pin: it.Pin}
	_, u := p.pick(w)
	switch {
	case u.Why == "" || u.Budget:
		return "balance has as many moves in flight as it may, or the nodes that take it have failed to run it"
	case it.Pin != "" && p.byName[it.Pin] != nil:
		return p.byName[it.Pin].refuses(w)
	case it.Pin != "":
		return it.Pin + " is gone"
	}
	return u.Why
}

// unlimited are the nodes with a budget for one more opening.
func (f *Fleet) unlimited() []Node {
	nodes := f.Nodes()
	for i := range nodes {
		nodes[i].Budget = 1
	}
	return nodes
}

// explainLevel says how the node of a span stands among those that may have it.
func (b *balancer) explainLevel(it *item) string {
	c := it.cohort
	_, i := c.seatOf(it.host)
	t := c.tiers[i]
	others := slices.DeleteFunc(slices.Clone(t.seats), func(s *seat) bool { return !s.fit || s.host == it.host })
	out := fmt.Sprintf("it stays on %s: ", it.Node)
	switch {
	case len(others) == 0 && len(c.rules.Prefer) > 0:
		return out + "no other node is preferred as much"
	case len(others) == 0:
		return out + "no other node may have it"
	}
	low, high := others[0], others[0]
	light, heavy := others[0], others[0]
	for _, s := range others {
		low, high = lesser(low, s, (*seat).fill), lesser(high, s, func(s *seat) float64 { return -s.fill() })
		light, heavy = lesser(light, s, (*seat).strain), lesser(heavy, s, func(s *seat) float64 { return -s.strain() })
	}
	out += fmt.Sprintf("%s carries %s, and the others that may have it %s", it.Node, spans(it.host.spans), fromTo(fmt.Sprint(low.host.spans), fmt.Sprint(high.host.spans)))
	if it.host.load > 0 || heavy.host.load > 0 {
		out += fmt.Sprintf("; its load is %s, and theirs %s", number(it.host.load), fromTo(number(light.host.load), number(heavy.host.load)))
	}
	if b.excess(t, nil) > 0 {
		out += "; they are levelled when more spans may be moved"
	}
	return out
}

func lesser(a, b *seat, by func(*seat) float64) *seat {
	if by(b) < by(a) {
		return b
	}
	return a
}

func fromTo(from, to string) string {
	if from == to {
		return from
	}
	return from + " to " + to
}
