package scheduler

import (
	"cmp"
	"container/heap"
	"slices"
)

// placer is the nodes while a plan is made: they only become more loaded.
type placer struct {
	byName map[string]*slot
	nodes  []*slot
	// classes of spans that see the nodes alike, made when one is first wanted.
	classes map[classKey]*class
	// shapes remembers those of rules.
	shapes map[*Rules]string
	// spread is how many spans of a keyspace each value of its label has.
	spread map[string]map[string]int
	// band is how far nodes are apart in their numbers of spans before that counts more than their loads. usual is the load of
	// a span of which it is not known.
	band  band
	usual float64
}

// slot is a node while a plan is made.
type slot struct {
	Node
	p *placer
}

type classKey struct{ workload, shape string }

// newPlacer is for about so many spans that nodes get. usual is the load of one of which it is not known.
func newPlacer(nodes []Node, more int, usual float64) *placer {
	p := &placer{byName: map[string]*slot{}, classes: map[classKey]*class{}, shapes: map[*Rules]string{}, spread: map[string]map[string]int{}}
	p.band, p.usual = bandOf(nodes, more), usual
	for _, n := range nodes {
		if n.Weight <= 0 {
			n.Weight = 1
		}
		s := &slot{n, p}
		p.nodes = append(p.nodes, s)
		p.byName[n.Name] = s
	}
	slices.SortFunc(p.nodes, func(a, b *slot) int { return cmp.Compare(a.Name, b.Name) })
	return p
}

// class is the nodes that could take some spans, by how much of what these prefer they have: those with most first.
type class struct {
	levels []level
	// nobody is why none of them can, once that was asked.
	nobody Unplaced
}

// level is nodes that are preferred alike, by the value that their keyspace is spread over; in one group if it is not.
type level []*group

func (p *placer) class(w Want) *class {
	rules := w.Rules
	if rules == nil {
		rules = &Rules{}
	}
	key := classKey{w.Workload, p.shape(w.Rules)}
	if c := p.classes[key]; c != nil {
		return c
	}
	c := &class{levels: make([]level, len(rules.Prefer)+1)}
	for _, s := range p.nodes {
		if s.refuses(w) == "" {
			i := len(rules.Prefer) - rules.score(s.Node)
			c.levels[i] = c.levels[i].with(s, rules.spreadValue(s.Node))
		}
	}
	for _, l := range c.levels {
		for _, g := range l {
			heap.Init(g)
		}
	}
	p.classes[key] = c
	return c
}

func (p *placer) shape(r *Rules) string {
	if r == nil {
		return ""
	}
	s, ok := p.shapes[r]
	if !ok {
		s = r.shape()
		p.shapes[r] = s
	}
	return s
}

func (l level) with(s *slot, value string) level {
	i, found := slices.BinarySearchFunc(l, value, func(g *group, v string) int { return cmp.Compare(g.value, v) })
	if !found {
		l = slices.Insert(l, i, &group{value: value})
	}
	l[i].items = append(l[i].items, entryOf(s))
	return l
}

// best is the node to take next that is none of those to avoid, nil if there is none.
func (c *class) best(spread map[string]int, avoid []string) *slot {
	for _, l := range c.levels {
		if s := l.best(spread, avoid); s != nil {
			return s
		}
	}
	return nil
}

func (l level) best(spread map[string]int, avoid []string) *slot {
	var best entry
	count := 0
	for _, g := range l {
		s := g.least(avoid)
		if s == nil {
			continue
		}
		if e, n := entryOf(s), spread[g.value]; best.slot == nil || n < count || n == count && e.before(best) {
			best, count = e, n
		}
	}
	return best.slot
}

// spreadOf is how many spans each value has of the keyspace, nil if it is not spread.
func (p *placer) spreadOf(w Want) map[string]int {
	if w.Rules == nil || w.Rules.Spread == "" {
		return nil
	}
	counts := p.spread[w.Ref.Keyspace]
	if counts == nil {
		counts = map[string]int{}
		for _, s := range p.nodes {
			counts[w.Rules.spreadValue(s.Node)] += s.Of[w.Ref.Keyspace]
		}
		p.spread[w.Ref.Keyspace] = counts
	}
	return counts
}

// count notes that a span comes to a node, or leaves it.
func (p *placer) count(w Want, s *slot, by int) {
	if counts := p.spreadOf(w); counts != nil {
		counts[w.Rules.spreadValue(s.Node)] += by
	}
}

// group is a heap of nodes, least loaded first. An entry may be older than what has become of its node: since that can only
// have more load and less budget by now, it stands too far up, and is put right when it has come to the top.
type group struct {
	value string
	items []entry
}

// entry is a node as it was when it was put in its place.
type entry struct {
	*slot
	carry carry
	busy  bool
}

func entryOf(s *slot) entry { return entry{s, carried(s.Node, s.Weight), s.Budget <= 0} }

// before orders nodes: the busy ones last, then by what they carry.
func (e entry) before(o entry) bool {
	if e.busy != o.busy {
		return o.busy
	}
	return e.carry.before(o.carry, e.p.band)
}

// least is the first node that is none of those to avoid, nil if there is none.
func (g *group) least(avoid []string) *slot {
	var aside []entry
	top := g.top()
	for ; top != nil && slices.Contains(avoid, top.Name); top = g.top() {
		aside = append(aside, heap.Pop(g).(entry))
	}
	for _, e := range aside {
		heap.Push(g, e)
	}
	return top
}

// top puts right what stands at the top until it is as it is now.
func (g *group) top() *slot {
	for len(g.items) > 0 {
		e := g.items[0]
		switch now := entryOf(e.slot); {
		case e.full() || !e.Eligible:
			heap.Pop(g)
		case now != e:
			g.items[0] = now
			heap.Fix(g, 0)
		default:
			return e.slot
		}
	}
	return nil
}

func (g *group) Len() int           { return len(g.items) }
func (g *group) Less(i, j int) bool { return g.items[i].before(g.items[j]) }
func (g *group) Swap(i, j int)      { g.items[i], g.items[j] = g.items[j], g.items[i] }
func (g *group) Push(x any)         { g.items = append(g.items, x.(entry)) }

func (g *group) Pop() any {
	last := len(g.items) - 1
	e := g.items[last]
	g.items = g.items[:last]
	return e
}
