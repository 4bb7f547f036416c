package sim

import (
	"slices"

	"github.com/spanward/spanward/span"
)

// merging is a merge in flight: what is elsewhere is brought to one node, a span at a time, then all are closed there.
type merging struct {
	sources []*spanState
	at      *node
	over    bool
}

func (e *engine) mergeAll(sources []*spanState) {
	m := &merging{sources: sources, at: mostOf(sources)}
	e.start(sources[0], byMerge, m.at) // it counts once
	answered := true
	for _, s := range sources {
		s.merge = m
		if s.stage == lost {
			answered = false
		} else {
			s.stage = closing
		}
	}
	if !answered {
		return // until the session of that node ends
	}
	if e.refused() {
		e.after(answer, func() { e.unmerge(m, isRefused) })
		return
	}
	e.gather(m)
}

// mostOf is the node that has most of the spans, the first such.
func mostOf(spans []*spanState) *node {
	counts := map[*node]int{}
	for _, s := range spans {
		counts[s.node]++
	}
	best := spans[0].node
	for _, s := range spans {
		if counts[s.node] > counts[best] {
			best = s.node
		}
	}
	return best
}

// gather brings the next span to the others.
func (e *engine) gather(m *merging) {
	if m.over {
		return
	}
	i := slices.IndexFunc(m.sources, func(s *spanState) bool { return s.node != m.at })
	if i < 0 {
		e.after(e.costs.Close, func() { e.swap(m) })
		return
	}
	s := m.sources[i]
	e.after(e.costs.Close, func() {
		if m.over {
			return
		}
		e.leave(s)
		s.stage = opening
		e.after(e.costs.Open, func() {
			switch {
			case m.over:
			case !m.at.up:
				e.unmerge(m, isFailed)
			default:
				e.own(s, m.at)
				s.stage = closing
				e.gather(m)
			}
		})
	})
}

// swap puts the merged span in the place of its sources.
func (e *engine) swap(m *merging) {
	if m.over {
		return
	}
	m.over = true
	ranges := make([]span.Range, len(m.sources))
	for i, s := range m.sources {
		ranges[i] = s.rng
	}
	whole, err := span.Merge(ranges...)
	if err != nil {
		m.over = false
		e.unmerge(m, isFailed)
		return
	}
	for _, s := range m.sources {
		e.leave(s)
		e.end(s, isDone)
		e.retire(s)
	}
	e.child(m.sources[0].ks, whole, m.at, 1, m.sources...)
}

// unmerge gives a merge up: what has an owner stays there.
func (e *engine) unmerge(m *merging, o outcome) {
	if m.over {
		return
	}
	m.over = true
	for _, s := range m.sources {
		s.merge = nil
		e.end(s, o)
		switch {
		case s.stage == lost:
		case s.node == nil:
			s.stage = waiting
			e.tell(s)
			e.want(s, byRetry)
		default:
			s.stage = running
			e.tell(s)
		}
	}
}
