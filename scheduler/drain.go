package scheduler

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spanward/spanward/operator"
)

// Evictee is a span on a node that is drained, with no operator in flight.
type Evictee struct {
	Ref      operator.Ref
	Workload string
	// Rules and Pin are as those of a Want.
	Rules *Rules
	Pin   string
	// From is the node that it runs on.
	From string
	// Load of the span, negative if it is not known.
	Load float64
	// Avoid are nodes that failed to run the span, the last one last: they get it only if no other can take it.
	Avoid []string
}

// Move is a span to be moved, with the reason that people are shown.
type Move struct {
	Ref      operator.Ref
	From, To string
	Reason   string
}

// DrainPlan is what follows for spans on nodes that are drained.
type DrainPlan struct {
	Moves []Move
	// Stuck can go nowhere: not before a node comes, or may take more. Where Budget is set there is only a moment to wait.
	Stuck []Unplaced
}

// Drain moves spans off nodes that are drained. budget is how many more moves each of these may have in flight, by name; a
// node that is not in it may have none. Nodes are as they will be once everything in flight is done: a target takes at most
// its own Budget, and the least loaded one goes first, as in Place. What exceeds a budget is left out of the plan.
//
// Spans are taken in the order of their names, whatever order they come in.
func Drain(spans []Evictee, nodes []Node, budget map[string]int) DrainPlan {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b Evictee) int {
		return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.Ref.Keyspace, b.Ref.Keyspace), cmp.Compare(a.Ref.ID, b.Ref.ID))
	})
	p := newPlacer(nodes, len(spans), usualLoad(spans))
	used := map[string]int{}
	var out DrainPlan
	for _, s := range spans {
		if used[s.From] >= budget[s.From] {
			continue
		}
		n, why := p.elsewhere(s)
		if n == nil {
			out.Stuck = append(out.Stuck, why)
			continue
		}
		used[s.From]++
		out.Moves = append(out.Moves, Move{s.Ref, s.From, n.Name, DrainReason(s.From)})
	}
	return out
}

// DrainReason is why a span leaves a node that is drained.
func DrainReason(node string) string { return "node " + node + " is drained" }

// elsewhere picks a node for a span, and never the one that it is to leave.
func (p *placer) elsewhere(s Evictee) (*slot, Unplaced) {
	w := Want{Ref: s.Ref, Workload: s.Workload, Rules: s.Rules, Pin: s.Pin, Avoid: s.Avoid, Load: s.Load}
	from := p.byName[s.From]
	if from == nil {
		return p.pick(w)
	}
	if from.Eligible {
		from.Eligible, from.Why = false, "drained"
	}
	p.count(w, from, -1)
	n, why := p.pick(w)
	if n == nil {
		p.count(w, from, 1)
	}
	return n, why
}
