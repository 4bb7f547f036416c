package scheduler

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
)

// item is a span in a fleet.
type item struct {
	Span
	// load is what it has reported last, and reported is when; weight is what of it nodes are balanced by, if it was weighed.
	load     Load
	reported time.Time
	weight   float64
	weighed  bool
	gone     bool
	// examining: it is among the fresh. movable: it is in the tree of its share, or among the strays.
	examining, movable bool
	// slot is its place in the heap of those that wait, -1 for none.
	slot int32
	// since it is where it is, and when a move was planned last.
	since, tried int64

	host   *host // nil for none
	space  *space
	cohort *cohort
	share  *share // nil if it is on no node
	reshaping
}

// same reports whether a span is as it was.
func (it *item) same(s Span) bool {
	o := &it.Span
	return o.Node == s.Node && o.Settled == s.Settled && o.Flight == s.Flight && o.Since.Equal(s.Since) && o.Made.Equal(s.Made) &&
		o.Rules == s.Rules && o.Pin == s.Pin && o.Workload == s.Workload && o.Range == s.Range && slices.Equal(o.Avoid, s.Avoid)
}

// longAgo is before all times.
const longAgo = math.MinInt64 / 4

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return longAgo
	}
	return t.UnixNano()
}

// space is a keyspace.
type space struct {
	name    string
	spans   int
	flights [ClassReshape + 1]int
}

// host is a node, or the name of one that spans are still on, or on the way to.
type host struct {
	node  Node
	known bool
	// again: what is on it is to be examined.
	again  bool
	weight float64
	spans  int
	// load is the sum of what weighed spans weigh.
	load    float64
	weighed int
	// flights are what it takes part in, by class.
	flights [ClassReshape + 1]int
}

// same reports whether nothing has changed of what is looked at.
func (h *host) same(n Node) bool {
	o := h.node
	return o.Session == n.Session && o.Eligible == n.Eligible && o.Why == n.Why && o.Capacity == n.Capacity && o.Weight == n.Weight &&
		slices.Equal(o.Workloads, n.Workloads) && maps.Equal(o.Labels, n.Labels)
}

// cohort is the spans that see the nodes alike.
type cohort struct {
	key   cohortKey
	rules *Rules
	spans int
	// shares are what nodes have of it.
	shares map[*host]*share
	sight
}

// cohortKey has the keyspace only if it is spread.
type cohortKey struct{ workload, shape, keyspace string }

// share is what a node has of a cohort.
type share struct {
	cohort *cohort
	host   *host
	// all spans, and those that are tied to no node.
	all, free int
	// value of the node that the cohort is spread over; counted if the node is there.
	value   string
	counted bool
	// movable are those that may be moved now, the cheapest first.
	movable itemTree
}

func (f *Fleet) host(name string) *host {
	h := f.hosts[name]
	if h == nil {
		h = &host{node: Node{Name: name}, weight: 1}
		f.hosts[name] = h
	}
	return h
}

// dropHost forgets a node that is not there and that nothing is left of.
func (f *Fleet) dropHost(h *host) {
	if h.known || h.spans > 0 || h.flights != [ClassReshape + 1]int{} {
		return
	}
	delete(f.hosts, h.node.Name)
	for _, c := range f.cohorts {
		delete(c.shares, h)
	}
}

// inOrder are the nodes that are there.
func (f *Fleet) inOrder() []*host {
	if f.known == nil {
		for _, h := range f.hosts {
			if h.known {
				f.known = append(f.known, h)
			}
		}
		slices.SortFunc(f.known, func(a, b *host) int { return cmp.Compare(a.node.Name, b.node.Name) })
	}
	return f.known
}

func (f *Fleet) nodesChanged() {
	f.nodesAt++
	f.dirty = true
}

func (f *Fleet) space(name string) *space {
	s := f.spaces[name]
	if s == nil {
		s = &space{name: name}
		f.spaces[name] = s
	}
	return s
}

func (f *Fleet) cohortOf(s *Span) *cohort {
	key := cohortKey{workload: s.Workload}
	if s.Rules != nil {
		shape, ok := f.shapes[s.Rules]
		if !ok {
			if len(f.shapes) > 4*len(f.cohorts)+1024 {
				clear(f.shapes) // most are of rules that nobody has any more
			}
			shape = s.Rules.shape()
			f.shapes[s.Rules] = shape
		}
		key.shape = shape
		if s.Rules.Spread != "" {
			key.keyspace = s.Ref.Keyspace
		}
	}
	c := f.cohorts[key]
	if c == nil {
		c = &cohort{key: key, rules: s.Rules, shares: map[*host]*share{}}
		if c.rules == nil {
			c.rules = &Rules{}
		}
		f.cohorts[key] = c
		f.ordered = nil
	}
	return c
}

// dropCohort forgets a cohort that has no spans.
func (f *Fleet) dropCohort(c *cohort) {
	delete(f.cohorts, c.key)
	f.ordered = nil
}

// inTurn are the cohorts in an order that is always the same.
func (f *Fleet) inTurn() []*cohort {
	if f.ordered == nil {
		f.ordered = slices.SortedFunc(maps.Values(f.cohorts), func(a, b *cohort) int {
			return cmp.Or(cmp.Compare(a.key.workload, b.key.workload), cmp.Compare(a.key.shape, b.key.shape), cmp.Compare(a.key.keyspace, b.key.keyspace))
		})
	}
	return f.ordered
}

func (c *cohort) shareOf(h *host) *share {
	s := c.shares[h]
	if s == nil {
		s = &share{cohort: c, host: h, movable: newItemTree()}
		c.shares[h] = s
		c.arrived(s)
	}
	return s
}

// count puts a span in the sums.
func (f *Fleet) count(it *item) {
	it.space = f.space(it.Ref.Keyspace)
	it.cohort = f.cohortOf(&it.Span)
	it.host, it.share = nil, nil
	if it.Node != "" {
		it.host = f.host(it.Node)
		it.share = it.cohort.shareOf(it.host)
	}
	f.tally(it, 1)
}

// uncount takes it out of them, and forgets what is left empty.
func (f *Fleet) uncount(it *item) {
	f.tally(it, -1)
	if it.cohort.spans == 0 {
		f.dropCohort(it.cohort)
	}
	if it.space.spans == 0 {
		delete(f.spaces, it.space.name)
	}
	for _, name := range []string{it.Node, it.Flight.From, it.Flight.To} {
		if h := f.hosts[name]; h != nil {
			f.dropHost(h)
		}
	}
}

func (f *Fleet) tally(it *item, by int) {
	f.dirty = true
	it.space.spans += by
	it.cohort.spans += by
	if it.host != nil {
		it.host.spans += by
		it.share.all += by
		if it.Pin == "" {
			it.share.free += by
		}
		it.cohort.tallyValue(it.share, by)
		f.weighOn(it.host, it, by)
	}
	f.tallyFlight(it, by)
}

// weighOn counts what a span weighs on its node.
func (f *Fleet) weighOn(h *host, it *item, by int) {
	if h == nil || !it.weighed {
		return
	}
	f.dirty = true
	h.weighed += by
	h.load += float64(by) * it.weight
	if h.weighed == 0 {
		h.load = 0
	}
}

func (f *Fleet) tallyFlight(it *item, by int) {
	class := it.Flight.Class
	f.flights[class] += by
	it.space.flights[class] += by
	for i, name := range []string{it.Flight.From, it.Flight.To} {
		if name != "" && (i == 0 || name != it.Flight.From) {
			f.host(name).flights[class] += by
		}
	}
}

const (
	// grain is what weights are rounded to: their sums are exact then, whatever order they are made in, and a plan does not
	// depend on the past.
	grain = 1.0 / (1 << 16)
	// heaviest is what a span weighs at most.
	heaviest = 1 << 40
)

// weigh is what a load counts for, false if it is not known.
func weigh(load float64) (float64, bool) {
	if math.IsNaN(load) || load < 0 {
		return 0, false
	}
	return math.Round(min(load, heaviest)/grain) * grain, true
}
