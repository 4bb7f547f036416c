package scheduler

import "slices"

// sight is how the spans of a cohort see the nodes. It is made anew when nodes have changed, and first when a plan is made.
type sight struct {
	// madeAt is the count of changes of nodes that it was made at, and made whether it was.
	madeAt int
	made   bool
	// tiers are the nodes that have what is required, by how much of what is preferred they have: those with most first.
	tiers []*tier
	// barred are those that lack something required.
	barred []*seat
	// values is how many spans of the keyspace each value has that it is spread over.
	values map[string]int
}

// tier is nodes that are preferred alike, in the order of their names.
type tier struct {
	score int
	seats []*seat
	// loads: their loads are being levelled, until that has ended.
	loads bool
}

// seat is a node as a cohort sees it.
type seat struct {
	host  *host
	share *share // nil if it has never had anything of the cohort
	value string
	// fit: it is eligible and runs the workload.
	fit bool
	// mark says that it has stood out by its count and is on its way to the level.
	mark mark
}

// mark of a node that stands out.
type mark int8

const (
	tooFull  mark = 1
	tooEmpty mark = -1
)

// look makes the sight of a cohort if it is outdated.
func (f *Fleet) look(c *cohort) {
	if c.made && c.madeAt == f.nodesAt {
		return
	}
	marks, loads := c.remembered()
	c.sight = sight{made: true, madeAt: f.nodesAt, values: map[string]int{}}
	byScore := make([]*tier, len(c.rules.Prefer)+1)
	for _, h := range f.inOrder() {
		s := &seat{host: h, share: c.shares[h], mark: marks[h]}
		s.fit = h.node.Eligible && slices.Contains(h.node.Workloads, c.key.workload)
		if c.rules.Spread != "" {
			s.value = c.rules.spreadValue(h.node)
		}
		if _, lacks := c.rules.Lacks(h.node); lacks {
			c.barred = append(c.barred, s)
			continue
		}
		score := c.rules.score(h.node)
		if byScore[score] == nil {
			byScore[score] = &tier{score: score, loads: loads[score]}
		}
		byScore[score].seats = append(byScore[score].seats, s)
	}
	for _, t := range slices.Backward(byScore) {
		if t != nil {
			c.tiers = append(c.tiers, t)
		}
	}
	c.countValues()
}

// remembered is what an outdated sight knows that does not follow from the nodes.
func (c *cohort) remembered() (map[*host]mark, map[int]bool) {
	marks, loads := map[*host]mark{}, map[int]bool{}
	for _, t := range c.tiers {
		loads[t.score] = t.loads
		for _, s := range t.seats {
			if s.mark != 0 {
				marks[s.host] = s.mark
			}
		}
	}
	return marks, loads
}

// recall makes it know that again.
func (c *cohort) recall(marks map[*host]mark, loads map[int]bool) {
	for _, t := range c.tiers {
		t.loads = loads[t.score]
		for _, s := range t.seats {
			s.mark = marks[s.host]
		}
	}
}

func (c *cohort) countValues() {
	if c.rules.Spread == "" {
		return
	}
	for h, s := range c.shares {
		s.value, s.counted = c.rules.spreadValue(h.node), h.known
		c.tallyValue(s, s.all)
	}
}

// tallyValue counts spans for the value of their node.
func (c *cohort) tallyValue(s *share, by int) {
	if c.made && s.counted {
		c.values[s.value] += by
	}
}

// arrived is told of the first span of the cohort on a node.
func (c *cohort) arrived(s *share) {
	if !c.made {
		return
	}
	if c.rules.Spread != "" {
		s.value, s.counted = c.rules.spreadValue(s.host.node), s.host.known
	}
	for _, seat := range c.seats() {
		if seat.host == s.host {
			seat.share = s
		}
	}
}

// seats are all of them.
func (c *cohort) seats() []*seat {
	all := slices.Clone(c.barred)
	for _, t := range c.tiers {
		all = append(all, t.seats...)
	}
	return all
}

// room: one more span of the cohort may be put there.
func (s *seat) room() bool {
	return s.fit && (s.host.node.Capacity <= 0 || s.host.spans < s.host.node.Capacity)
}

// movable is how many spans of the cohort may be moved from there now.
func (s *seat) movable() int {
	if s.share == nil {
		return 0
	}
	return s.share.movable.Len()
}

// fill is how many spans the node has for its weight.
func (s *seat) fill() float64 { return float64(s.host.spans) / s.host.weight }

// down and up are where one span less and one more would bring that, half way. From a node to another with a smaller up than
// its down a move brings the two closer to what their weights ask for: the sum over all nodes of spans²/weight falls.
func (s *seat) down() float64 { return (float64(s.host.spans) - 0.5) / s.host.weight }
func (s *seat) up() float64   { return (float64(s.host.spans) + 0.5) / s.host.weight }

// strain is the load of the node for its weight.
func (s *seat) strain() float64 { return s.host.load / s.host.weight }
