package scheduler

import (
	"time"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// Fleet is a cluster as the planners see it: nodes, and spans as they will be once everything in flight is done. It is
// changed as things change, so that a plan costs what follows from the changes, and neither it nor anything in it knows
// a clock. What a planner returns it has already noted as being in flight; SetSpan says what has become of it.
//
// It is not safe for concurrent use.
type Fleet struct {
	cfg             BalanceConfig
	reshapeInFlight int
	reshape         reshaper

	items  map[operator.Ref]*item
	hosts  map[string]*host
	spaces map[string]*space
	// cohorts by what their spans have in common, and in order once that was asked for.
	cohorts map[cohortKey]*cohort
	ordered []*cohort
	shapes  map[*Rules]string
	// known nodes, in the order of their names once that was asked for.
	known []*host
	// flights counts what is in flight, by class.
	flights [ClassReshape + 1]int

	// fresh are spans of which it is to be found out whether they may be moved, waiting those that may be at a time, and
	// strays those that may be and are not where they are pinned to.
	fresh   []*item
	waiting dueHeap
	strays  itemTree
	// changed: nodes have come or gone that spans were on, so all that is on those is to be examined.
	changed bool
	// dirty: something has changed since Balance found nothing. nodesAt counts the changes of nodes.
	dirty   bool
	nodesAt int
}

// Span is a span as the planners see it.
type Span struct {
	Ref      operator.Ref
	Range    span.Range
	Workload string
	// Rules and Pin are as those of a Want. Spans of a keyspace share one Rules.
	Rules *Rules
	Pin   string
	// Node that it is on once what is in flight on it is done, "" for none.
	Node string
	// Flight is the operator in flight on it; its zero value is none.
	Flight Flight
	// Settled: it runs on Node and is well. What is not settled is counted, and left alone.
	Settled bool
	// Avoid are nodes that failed to run it.
	Avoid []string
	// Since is when it came to its node, and Made when it was made; zero times are long ago.
	Since, Made time.Time
}

// Flight is an operator in flight on a span.
type Flight struct {
	// Class says whose budget it takes of; 0 for none: it is stuck, or nothing is in flight.
	Class Class
	// From and To are the nodes that take part, "" for none.
	From, To string
}

// Load is what a span reports of itself. Negative values are unknown.
type Load struct {
	// Load is what nodes are balanced by, in units that can be added up over all spans.
	Load float64
	// Size of what it holds.
	Size float64
	// SplitKeys are keys at which it would split well.
	SplitKeys []string
}

// NewFleet is empty.
func NewFleet() *Fleet {
	return &Fleet{
		items: map[operator.Ref]*item{}, hosts: map[string]*host{}, spaces: map[string]*space{},
		cohorts: map[cohortKey]*cohort{}, shapes: map[*Rules]string{}, strays: newItemTree(), dirty: true,
	}
}

// Configure changes what Balance goes by, and how many splits and merges may be in flight; 0 is no limit.
func (f *Fleet) Configure(b BalanceConfig, reshapeInFlight int) {
	again := f.cfg.Cooldown != b.Cooldown
	f.dirty = f.dirty || f.cfg != b
	f.cfg, f.reshapeInFlight = b, reshapeInFlight
	if again {
		for _, it := range f.items {
			f.withdraw(it)
			f.examine(it)
		}
	}
}

// SetNode adds a node or changes it. Its Spans, Of, Load and Budget are not looked at: the fleet knows them.
func (f *Fleet) SetNode(n Node) {
	h := f.host(n.Name)
	if h.known && h.same(n) {
		return
	}
	was := h.known
	h.node, h.known, h.weight = n, true, n.Weight
	if h.weight <= 0 {
		h.weight = 1
	}
	f.nodesChanged()
	if !was {
		f.known = nil
		f.again(h)
	}
}

// RemoveNode forgets a node. Spans on it stay on it until SetSpan says otherwise.
func (f *Fleet) RemoveNode(name string) {
	h := f.hosts[name]
	if h == nil || !h.known {
		return
	}
	h.node, h.known, h.weight = Node{Name: name}, false, 1
	f.known = nil
	f.nodesChanged()
	f.again(h)
	f.dropHost(h)
}

// SetSpan adds a span or changes it. What it has reported stays.
func (f *Fleet) SetSpan(s Span) {
	it := f.items[s.Ref]
	if it != nil && it.same(s) {
		return
	}
	if it == nil {
		it = &item{load: Load{Load: -1, Size: -1}, since: longAgo, tried: longAgo, slot: -1}
		f.items[s.Ref] = it
	} else {
		f.withdraw(it)
		f.uncount(it)
	}
	it.Span = s
	it.since = nanos(s.Since)
	f.count(it)
	f.examine(it)
	f.reshape.changed(it)
}

// RemoveSpan forgets a span.
func (f *Fleet) RemoveSpan(r operator.Ref) {
	it := f.items[r]
	if it == nil {
		return
	}
	f.withdraw(it)
	f.uncount(it)
	delete(f.items, r)
	it.gone = true
	f.forgetGone()
	f.reshape.removed(it)
}

// SetLoad takes what a span has reported. One that is not in the fleet is ignored.
func (f *Fleet) SetLoad(r operator.Ref, l Load, now time.Time) {
	it := f.items[r]
	if it == nil {
		return
	}
	weight, known := weigh(l.Load)
	if weight != it.weight || known != it.weighed {
		f.withdraw(it)
		f.weighOn(it.host, it, -1)
		it.weight, it.weighed = weight, known
		f.weighOn(it.host, it, 1)
		f.examine(it)
	}
	it.load, it.reported = l, now
	f.reshape.changed(it)
}

// Span as it was set last, or as a planner has noted it since; false if there is none.
func (f *Fleet) Span(r operator.Ref) (Span, bool) {
	it := f.items[r]
	if it == nil {
		return Span{}, false
	}
	return it.Span, true
}

// Len is how many spans there are.
func (f *Fleet) Len() int { return len(f.items) }

// Keyspaces is how many keyspaces have spans, or settings.
func (f *Fleet) Keyspaces() int { return len(f.reshape.keyspaces) }

// LoadOn is the sum of the loads of the spans that a node has.
func (f *Fleet) LoadOn(node string) float64 {
	if h := f.hosts[node]; h != nil {
		return h.load
	}
	return 0
}

// Nodes are all nodes as they will be, in the order of their names, without budgets. Of has what keyspaces with a spread
// have on them.
func (f *Fleet) Nodes() []Node {
	hosts := f.inOrder()
	out := make([]Node, len(hosts))
	at := make(map[*host]int, len(hosts))
	for i, h := range hosts {
		out[i], at[h] = h.node, i
		out[i].Spans, out[i].Load, out[i].Of, out[i].Budget = h.spans, h.load, nil, 0
	}
	for key, c := range f.cohorts {
		if key.keyspace == "" {
			continue
		}
		for h, s := range c.shares {
			if i, ok := at[h]; ok && s.all > 0 {
				if out[i].Of == nil {
					out[i].Of = map[string]int{}
				}
				out[i].Of[key.keyspace] += s.all
			}
		}
	}
	return out
}
