package scheduler

import (
	"fmt"
	"strings"
)

// nobody explains why no node can take a span. Within a plan that stays so for all spans of the class.
func (p *placer) nobody(w Want) Unplaced {
	c := p.class(w)
	if c.nobody.Why == "" {
		c.nobody = p.whyNobody(w)
	}
	u := c.nobody
	u.Ref = w.Ref
	return u
}

func (p *placer) whyNobody(w Want) Unplaced {
	u := Unplaced{Why: "no node is registered"}
	for _, s := range p.nodes {
		why := s.refuses(w)
		if why == "" {
			return Unplaced{Why: "every eligible node has as many openings in flight as it may", Budget: true}
		}
		u.Why = why
		u.Ruled = u.Ruled || s.unfit(w.Workload) == ""
	}
	switch {
	case u.Ruled:
		u.Why = p.unmet(w)
	case len(p.nodes) > 1:
		u.Why = fmt.Sprintf("none of %d nodes can take it; %s", len(p.nodes), u.Why)
	}
	return u
}

// unmet names what is required, how many nodes do not have it, and what stands against those that do.
func (p *placer) unmet(w Want) string {
	lack := make([]int, len(w.Rules.Require))
	others, example := 0, ""
	for _, s := range p.nodes {
		lacks := false
		for i, t := range w.Rules.Require {
			if !t.holds(s.Node) {
				lack[i]++
				lacks = true
			}
		}
		if !lacks {
			others++
			example = s.refuses(w)
		}
	}
	var parts []string
	for i, t := range w.Rules.Require {
		if lack[i] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s %s", lack[i], verb(lack[i], "lack"), t))
		}
	}
	if others > 0 {
		parts = append(parts, fmt.Sprintf("%d %s and cannot take it now: %s", others, verb(others, "fit"), example))
	}
	return fmt.Sprintf("%s=%s cannot be met: of %d nodes %s", SettingRequire, w.Rules.Require, len(p.nodes), strings.Join(parts, ", "))
}

func verb(n int, plural string) string {
	if n == 1 {
		return plural + "s"
	}
	return plural
}

// pinned says of a span that is tied to a node why it cannot be there.
func (p *placer) pinned(w Want, u Unplaced) Unplaced {
	if u.Why == "" || u.Budget {
		return u
	}
	u.Why, u.Ruled = fmt.Sprintf("%s ties it to %s: %s", SettingPin, w.Pin, u.Why), false
	for _, s := range p.nodes {
		u.Ruled = u.Ruled || s.unfit(w.Workload) == ""
	}
	return u
}
