package scheduler

import "math"

// countBand is how much of their mean nodes may be apart in their numbers of spans for placement to go by their loads: no
// more than what balance leaves alone by default.
const countBand = 0.1

// carry is what a node carries for its weight.
type carry struct {
	spans, load float64
	name        string
}

func carried(n Node, weight float64) carry {
	return carry{float64(n.Spans) / weight, n.Load / weight, n.Name}
}

// before orders nodes: by the number of spans as far as these are a band apart, by load within one, then by the number, then
// by name.
func (c carry) before(o carry, band float64) bool {
	if x, y := math.Floor(c.spans/band), math.Floor(o.spans/band); x != y {
		return x < y
	}
	switch {
	case c.load != o.load:
		return c.load < o.load
	case c.spans != o.spans:
		return c.spans < o.spans
	}
	return c.name < o.name
}

// bandOf is the band for some nodes that get more spans. A node is filled by at most a band and a span more than another:
// hence the span that is taken off.
func bandOf(nodes []Node, more int) float64 {
	spans, weight := float64(more), 0.0
	least, most := math.Inf(1), 0.0
	for _, n := range nodes {
		w := n.Weight
		if w <= 0 {
			w = 1
		}
		if n.Eligible {
			spans += float64(n.Spans)
			weight += w
			least, most = min(least, w), max(most, w)
		}
	}
	if weight == 0 {
		return 1
	}
	return max(1/most, countBand*spans/weight-1/least)
}
