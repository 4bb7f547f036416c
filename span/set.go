package span

import "slices"

// Union gives the same keys as the fewest ranges, sorted: none is empty, and no two overlap or touch.
func Union(rs []Range) []Range {
	var out []Range
	for _, r := range sorted(rs) {
		if n := len(out); n > 0 && reaches(out[n-1], r) {
			out[n-1].End = maxEnd(out[n-1].End, r.End)
			continue
		}
		out = append(out, r)
	}
	return out
}

// reaches says that no key is between r and the next range, which does not start before r.
func reaches(r, next Range) bool { return r.End == "" || next.Start <= r.End }

// sorted copies the ranges that hold a key, in order.
func sorted(rs []Range) []Range {
	out := make([]Range, 0, len(rs))
	for _, r := range rs {
		if !r.Empty() {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, Range.Compare)
	return out
}

// Subtract gives the keys of r that are in none of rs, as the fewest ranges, sorted.
func Subtract(r Range, rs []Range) []Range {
	var out []Range
	rest := r
	for _, cut := range Union(rs) {
		if rest.Empty() {
			return out
		}
		if !rest.Overlaps(cut) {
			continue
		}
		if rest.Start < cut.Start {
			out = append(out, Range{rest.Start, cut.Start})
		}
		if cut.End == "" {
			return out
		}
		rest.Start = cut.End
	}
	if !rest.Empty() {
		out = append(out, rest)
	}
	return out
}

// Holes gives the keys of within that no range of rs covers.
func Holes(rs []Range, within Range) []Range { return Subtract(within, rs) }

// Covers says whether every key of r is in some range of rs.
func Covers(rs []Range, r Range) bool { return len(Subtract(r, rs)) == 0 }

// Overlapping finds two ranges that have a key in common, and gives their indexes, i < j. Of several pairs it names one at
// the lowest such key, so that the answer does not depend on chance.
func Overlapping(rs []Range) (i, j int, ok bool) {
	order := make([]int, 0, len(rs))
	for at, r := range rs {
		if !r.Empty() {
			order = append(order, at)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return rs[a].Compare(rs[b]) })
	for n := 1; n < len(order); n++ {
		// Up to here nothing overlaps, so the neighbour before is the one that reaches furthest.
		a, b := order[n-1], order[n]
		if rs[a].Overlaps(rs[b]) {
			return min(a, b), max(a, b), true
		}
	}
	return 0, 0, false
}
