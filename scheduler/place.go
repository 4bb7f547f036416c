package scheduler

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"

	"github.com/spanward/spanward/operator"
)

// Want is a span that nobody owns.
type Want struct {
	Ref      operator.Ref
	Workload string
	// Only is the one node that may take the span, "" for any.
	Only string
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
	// Eligible: new spans may be opened there. If not, Why says what stands against it.
	Eligible bool
	Why      string
	// Spans that the node owns, acts on or was asked to open.
	Spans int
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
	// Budget: nodes are only busy; it will fit in a moment.
	Budget bool
}

// Place assigns each span to the least loaded node that may take it: spans per weight, ties by name. Wants are
// served in order. The cost is that of a heap operation a span, however many nodes there are.
func Place(wants []Want, nodes []Node) ([]Assignment, []Unplaced) {
	p := newPlacer(nodes)
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

type placer struct {
	byName map[string]*slot
	// heaps of eligible nodes, made when a workload is first wanted.
	heaps map[string]*slots
	nodes []*slot
}

// slot is a node while a plan is made.
type slot struct {
	Node
	index map[string]int // position in each heap, by workload
}

func newPlacer(nodes []Node) *placer {
	p := &placer{byName: map[string]*slot{}, heaps: map[string]*slots{}}
	for _, n := range nodes {
		if n.Weight <= 0 {
			n.Weight = 1
		}
		s := &slot{Node: n, index: map[string]int{}}
		p.nodes = append(p.nodes, s)
		p.byName[n.Name] = s
	}
	slices.SortFunc(p.nodes, func(a, b *slot) int { return cmp.Compare(a.Name, b.Name) })
	return p
}

func (p *placer) pick(w Want) (*slot, Unplaced) {
	if w.Only != "" {
		return p.pickOnly(w)
	}
	if s := p.byName[w.Prefer]; s != nil && s.refuses(w.Workload) == "" && s.Budget > 0 {
		return p.take(s), Unplaced{}
	}
	h := p.heap(w.Workload)
	var avoided []*slot
	for top := h.top(); top != nil && slices.Contains(w.Avoid, top.Name); top = h.top() {
		avoided = append(avoided, heap.Pop(h).(*slot))
	}
	best := h.top()
	for _, s := range avoided {
		heap.Push(h, s)
	}
	if best == nil && len(avoided) > 0 {
		best = slices.MinFunc(avoided, func(a, b *slot) int {
			return cmp.Compare(slices.Index(w.Avoid, a.Name), slices.Index(w.Avoid, b.Name))
		})
	}
	if best == nil {
		return nil, p.nobody(w)
	}
	return p.take(best), Unplaced{}
}

func (p *placer) pickOnly(w Want) (*slot, Unplaced) {
	s := p.byName[w.Only]
	switch {
	case s == nil:
		return nil, Unplaced{Ref: w.Ref, Why: fmt.Sprintf("%s is gone", w.Only)}
	case s.refuses(w.Workload) != "":
		return nil, Unplaced{Ref: w.Ref, Why: s.refuses(w.Workload)}
	case s.Budget <= 0:
		return nil, Unplaced{Ref: w.Ref, Why: s.Name + " has as many openings in flight as it may", Budget: true}
	}
	return p.take(s), Unplaced{}
}

// take counts the span on the node and puts the node back in order wherever it waits.
func (p *placer) take(s *slot) *slot {
	s.Spans++
	s.Budget--
	for workload, i := range s.index {
		if i < 0 {
			continue
		}
		h := p.heaps[workload]
		if s.Budget <= 0 || s.full() {
			heap.Remove(h, i)
		} else {
			heap.Fix(h, i)
		}
	}
	return s
}

// nobody explains why no node can take a span.
func (p *placer) nobody(w Want) Unplaced {
	u := Unplaced{Ref: w.Ref, Why: "no node is registered"}
	for _, s := range p.nodes {
		why := s.refuses(w.Workload)
		if why == "" {
			return Unplaced{Ref: w.Ref, Why: "every eligible node has as many openings in flight as it may", Budget: true}
		}
		u.Why = why
	}
	if len(p.nodes) > 1 {
		u.Why = fmt.Sprintf("none of %d nodes can take it; %s", len(p.nodes), u.Why)
	}
	return u
}

func (p *placer) heap(workload string) *slots {
	if h, ok := p.heaps[workload]; ok {
		return h
	}
	h := &slots{workload: workload}
	for _, s := range p.nodes {
		if s.refuses(workload) == "" && s.Budget > 0 {
			s.index[workload] = len(h.items)
			h.items = append(h.items, s)
		}
	}
	heap.Init(h)
	p.heaps[workload] = h
	return h
}

// refuses says why the node cannot take one more span of the workload, "" if it can.
func (s *slot) refuses(workload string) string {
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

func (s *slot) load() float64 { return float64(s.Spans) / s.Weight }

// slots is a heap of nodes that can take a workload, least loaded first.
type slots struct {
	workload string
	items    []*slot
}

func (h *slots) top() *slot {
	if len(h.items) == 0 {
		return nil
	}
	return h.items[0]
}

func (h *slots) Len() int { return len(h.items) }

func (h *slots) Less(i, j int) bool {
	a, b := h.items[i], h.items[j]
	if la, lb := a.load(), b.load(); la != lb {
		return la < lb
	}
	return a.Name < b.Name
}

func (h *slots) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].index[h.workload], h.items[j].index[h.workload] = i, j
}

func (h *slots) Push(x any) {
	s := x.(*slot)
	s.index[h.workload] = len(h.items)
	h.items = append(h.items, s)
}

func (h *slots) Pop() any {
	last := len(h.items) - 1
	s := h.items[last]
	h.items = h.items[:last]
	s.index[h.workload] = -1
	return s
}
