package scheduler

import "slices"

// markThose marks the nodes that stand out: those outside of the range of a width in which the nodes can be had by moving the
// fewest spans. A node that has just come stands out, and the many that carry alike do not, wherever the mean has gone.
func markThose(seats []*seat, width float64) {
	lowest := lowestOf(seats, width)
	for _, s := range seats {
		switch fill := s.fill(); {
		case fill < lowest && s.fit:
			s.mark = tooEmpty
		case fill > lowest+width:
			s.mark = tooFull
		}
	}
}

// lowestOf is the lower end of that range. How many spans are outside is a convex function of it that turns where a node is
// at one of the ends.
func lowestOf(seats []*seat, width float64) float64 {
	var ends []float64
	for _, s := range seats {
		if s.matters() {
			ends = append(ends, s.fill(), s.fill()-width)
		}
	}
	slices.Sort(ends)
	ends = slices.Compact(ends)
	from, to := 0, len(ends)-1
	for from < to {
		mid := (from + to) / 2
		if outside(seats, ends[mid], width) <= outside(seats, ends[mid+1], width) {
			to = mid
		} else {
			from = mid + 1
		}
	}
	return ends[from]
}

// matters: the node takes spans, or has some that may be moved.
func (s *seat) matters() bool { return s.fit || s.movable() > 0 }

func outside(seats []*seat, lowest, width float64) float64 {
	sum := 0.0
	for _, s := range seats {
		if s.matters() {
			fill := s.fill()
			sum += s.host.weight * max(0, lowest-fill, fill-lowest-width)
		}
	}
	return sum
}
