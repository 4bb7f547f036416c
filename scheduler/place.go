package scheduler

import (
	"fmt"
	"slices"

	"github.com/spanward/spanward/operator"
)

// Want is a span that nobody owns.
type Want struct {
	Ref      operator.Ref
	Workload string
	// Rules of its keyspace, nil for none.
	Rules *Rules
	// Pin is the one node that may take the span by a rule of its keyspace, "" for any.
	Pin string
	// Only is the one node that may take the span by somebody's decision, which stands above Rules and Pin; "" for any.
	Only string
	// Load that it had when it was last heard of; negative if that is not known.
	Load float64
	// Prefer is the node that takes the span if it is eligible: where it ran last before everything vanished.
	Prefer string
	// Avoid are nodes that failed to run the span, the last one last. They get it again only if no other can take it, the
	// first one first: two that fail must not pass it to and fro while the others are left out.
	Avoid []string
}

// Node is a node as it will be once everything in flight is done.
type Node struct {
	Name      string
	Session   int64
	Workloads []string
	Labels    map[string]string
	// Eligible: new spans may be opened there. If not, Why says what stands against it.
	Eligible bool
	Why      string
	// Spans that the node owns, acts on or was asked to open, and the sum of their loads, as far as these are known.
	Spans int
	Load  float64
	// Of is how many of them are of a keyspace, by its name. It need not be there for keyspaces that are not spread.
	Of map[string]int
	// Capacity is the most spans it takes; 0 is no limit.
	Capacity int
	// Weight scales its share; 0 means 1.
	Weight float64
	// Budget is how many more openings it may be asked for now.
	Budget int
}

// Assignment of a span to a session.
type Assignment struct {
	Ref     operator.Ref
	Node    string
	Session int64
}

// Unplaced is a span that no node can take now, with the reason.
type Unplaced struct {
	Ref operator.Ref
	Why string
	// Budget: nodes are only busy; it will fit in a moment. Session is the one that is waited for, 0 for any.
	Budget  bool
	Session int64
	// Ruled: without the rules of its keyspace a node would take it.
	Ruled bool
}

// Place assigns each span to the node that carries least of those that may take it, for its weight: the one with the least
// load, of those that have about as few spans as any. Which nodes may, and which of these go first, is narrowed by the rules of the keyspace: what is required, then nodes where it has not failed,
// then what is preferred, then the spread. A preferred node, or one of the value whose turn it is, is waited for if it is
// only busy. Wants are served in order.
//
// The cost is that of a heap operation a span, however many nodes there are; of a keyspace that is spread, a step for each
// value of the label in addition. Keyspaces whose rules are alike share their heaps.
func Place(wants []Want, nodes []Node) ([]Assignment, []Unplaced) {
	p := newPlacer(nodes, len(wants), usualLoad(wants))
	var placed []Assignment
	var left []Unplaced
	for _, w := range wants {
		n, why := p.pick(w)
		if n == nil {
			left = append(left, why)
			continue
		}
		placed = append(placed, Assignment{w.Ref, n.Name, n.Session})
	}
	return placed, left
}

// usualLoad is the mean of the loads that are known, 0 if none is.
func usualLoad[S interface{ loadOf() float64 }](spans []S) float64 {
	sum, n := 0.0, 0
	for _, s := range spans {
		if load := s.loadOf(); load >= 0 {
			sum += load
			n++
		}
	}
	return sum / float64(max(1, n))
}

func (w Want) loadOf() float64    { return w.Load }
func (e Evictee) loadOf() float64 { return e.Load }

func (p *placer) pick(w Want) (*slot, Unplaced) {
	switch {
	case w.Only != "":
		return p.pickOnly(Want{Ref: w.Ref, Workload: w.Workload}, w.Only)
	case w.Pin != "":
		s, u := p.pickOnly(w, w.Pin)
		return s, p.pinned(w, u)
	}
	if s := p.byName[w.Prefer]; s != nil && s.refuses(w) == "" && s.Budget > 0 {
		return p.take(s, w), Unplaced{}
	}
	best := p.class(w).best(p.spreadOf(w), w.Avoid)
	if best == nil || best.Budget <= 0 {
		best = p.avoided(w)
	}
	if best == nil {
		return nil, p.nobody(w)
	}
	return p.take(best, w), Unplaced{}
}

// avoided is the first of the nodes to avoid that could take the span.
func (p *placer) avoided(w Want) *slot {
	for _, name := range w.Avoid {
		if s := p.byName[name]; s != nil && s.Budget > 0 && s.refuses(w) == "" {
			return s
		}
	}
	return nil
}

func (p *placer) pickOnly(w Want, only string) (*slot, Unplaced) {
	s := p.byName[only]
	switch {
	case s == nil:
		return nil, Unplaced{Ref: w.Ref, Why: fmt.Sprintf("%s is gone", only)}
	case s.refuses(w) != "":
		return nil, Unplaced{Ref: w.Ref, Why: s.refuses(w)}
	case s.Budget <= 0:
		return nil, Unplaced{Ref: w.Ref, Why: s.Name + " has as many openings in flight as it may", Budget: true, Session: s.Session}
	}
	return p.take(s, w), Unplaced{}
}

// take counts the span on the node.
func (p *placer) take(s *slot, w Want) *slot {
	s.Spans++
	s.Budget--
	if w.Load < 0 {
		s.Load += p.usual
	} else {
		s.Load += w.Load
	}
	p.count(w, s, 1)
	return s
}

// refuses says why the node cannot take one more span, "" if it can.
func (s *slot) refuses(w Want) string {
	if why := s.unfit(w.Workload); why != "" {
		return why
	}
	if t, lacks := w.Rules.Lacks(s.Node); lacks {
		return fmt.Sprintf("%s does not have %s", s.Name, t)
	}
	return ""
}

// unfit says why the node cannot take one more span of the workload, whatever the rules.
func (s *slot) unfit(workload string) string {
	switch {
	case !s.Eligible:
		return fmt.Sprintf("%s is %s", s.Name, s.Why)
	case !slices.Contains(s.Workloads, workload):
		return fmt.Sprintf("%s does not run %s", s.Name, workload)
	case s.full():
		return fmt.Sprintf("%s is at its capacity of %d", s.Name, s.Capacity)
	}
	return ""
}

func (s *slot) full() bool { return s.Capacity > 0 && s.Spans >= s.Capacity }
