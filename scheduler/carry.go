package scheduler

import "math"

// countBand is how much of their mean nodes may be apart in their numbers of spans for placement to go by their loads: no
// more than what balance leaves alone by default.
const countBand = 0.1

// carry is what a node would carry for its weight with half a span more. So a node of twice the weight is given its first span
// before another its first, and its second together with that: as balance would have it.
type carry struct {
	spans, load float64
	name        string
}

func carried(n Node, weight float64) carry {
	return carry{(float64(n.Spans) + 0.5) / weight, n.Load / weight, n.Name}
}

// band is how nodes are told apart by their numbers of spans: those in the same one of equal steps up from the emptiest are
// alike. Without a step only those with the same number are.
type band struct{ from, step float64 }

func (b band) of(c carry) float64 {
	if b.step <= 0 {
		return c.spans
	}
	return math.Floor((c.spans - b.from) / b.step)
}

// before orders nodes: by the band, by load within one, then by the number of spans, then by name.
func (c carry) before(o carry, b band) bool {
	if x, y := b.of(c), b.of(o); x != y {
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

// bandOf is the band for some nodes that get more spans. A node is filled by at most a step and a span more than another:
// hence the span that is taken off.
func bandOf(nodes []Node, more int) band {
	b := band{from: math.Inf(1)}
	spans, weight, least := float64(more), 0.0, math.Inf(1)
	for _, n := range nodes {
		w := n.Weight
		if w <= 0 {
			w = 1
		}
		if n.Eligible {
			spans += float64(n.Spans)
			weight += w
			least = min(least, w)
			b.from = min(b.from, carried(n, w).spans)
		}
	}
	if weight > 0 {
		b.step = countBand*spans/weight - 1/least
	}
	return b
}
