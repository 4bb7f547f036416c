package audit

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tidwall/btree"

	"github.com/spanward/spanward/span"
)

// EventViolation is what the event logs of a host show to be wrong; First and Second are the two lines that prove it.
type EventViolation struct {
	Name     string
	Keyspace string
	// Range is the keys concerned.
	Range         span.Range
	Message       string
	First, Second string
}

func (v EventViolation) String() string {
	return fmt.Sprintf("%s: keyspace %q keys %s: %s\n  %s\n  %s", v.Name, v.Keyspace, v.Range, v.Message, v.First, v.Second)
}

// RangeStats tells of keys that always had the same owners.
type RangeStats struct {
	Keyspace string
	Range    span.Range
	// Openings is how often the keys got an owner.
	Openings int
	// Gap is the longest time between two owners, and GapFrom the boottime in nanoseconds at which it began.
	Gap     time.Duration
	GapFrom int64
}

// EventsReport is the result of a check of event logs.
type EventsReport struct {
	OK         bool
	Lines      int
	Openings   int
	Violations []EventViolation
	// Ranges are in the order of keyspaces and keys.
	Ranges []RangeStats
}

// Longest is the range with the longest time without an owner; the zero value if there are none.
func (r EventsReport) Longest() RangeStats {
	var top RangeStats
	for _, s := range r.Ranges {
		if s.Gap >= top.Gap {
			top = s
		}
	}
	return top
}

// Report checks all lines that were read.
func (ev *Events) Report() EventsReport {
	ts, found := ev.tenures()
	slices.SortFunc(found, func(a, b EventViolation) int { return cmp.Compare(a.Second, b.Second) })
	byKeyspace := map[string][]tenure{}
	for _, t := range ts {
		byKeyspace[t.first.Keyspace] = append(byKeyspace[t.first.Keyspace], t)
	}
	names := make([]string, 0, len(byKeyspace))
	for ks := range byKeyspace {
		names = append(names, ks)
	}
	slices.Sort(names)
	r := EventsReport{Lines: len(ev.lines), Openings: len(ts), Violations: found}
	for _, ks := range names {
		r.Violations = append(r.Violations, twoOwners(byKeyspace[ks])...)
		r.Violations = append(r.Violations, tokenOrder(byKeyspace[ks])...)
		r.Ranges = append(r.Ranges, gaps(ks, byKeyspace[ks])...)
	}
	r.OK = len(r.Violations) == 0
	return r
}

// owning is a tenure that goes on, in the order of ranges.
type owning struct {
	tenure
	n int
}

// twoOwners sweeps over time and keeps who owns what at the moment. As long as nothing overlaps, neighbours are enough.
func twoOwners(ts []tenure) []EventViolation {
	now := btree.NewBTreeGOptions(func(a, b owning) bool {
		return cmp.Or(cmp.Compare(a.first.keys.Start, b.first.keys.Start), cmp.Compare(a.n, b.n)) < 0
	}, btree.Options{NoLocks: true})
	ends := make([]int, len(ts))
	for i := range ts {
		ends[i] = i
	}
	slices.SortFunc(ends, func(a, b int) int { return cmp.Compare(ts[a].end, ts[b].end) })
	var found []EventViolation
	for i, t := range ts {
		for len(ends) > 0 && ts[ends[0]].end <= t.from {
			now.Delete(owning{ts[ends[0]], ends[0]})
			ends = ends[1:]
		}
		me := owning{t, i}
		meets := func(o owning) bool {
			both, ok := o.first.keys.Intersect(t.first.keys)
			if ok {
				found = append(found, overlapOf(o.tenure, t, both))
			}
			return ok
		}
		now.Descend(me, meets)
		now.Ascend(me, meets)
		now.Set(me)
	}
	return found
}

func overlapOf(a, b tenure, both span.Range) EventViolation {
	return EventViolation{
		Name: TwoOwners, Keyspace: a.first.Keyspace, Range: both, First: a.last.text, Second: b.first.text,
		Message: fmt.Sprintf("process %d (%s) had span %s until %d, and process %d (%s) opened span %s %s earlier, at %d",
			a.first.PID, a.first.Node, a.first.Span, a.end, b.first.PID, b.first.Node, b.first.Span,
			time.Duration(a.end-b.from), b.from),
	}
}

// tokenOrder: the tokens of the owners of a key never decrease, and one token is one process.
func tokenOrder(ts []tenure) []EventViolation {
	top := newHighest[*tenure]()
	var found []EventViolation
	for i := range ts {
		t := &ts[i]
		was, ok := top.max(t.first.keys)
		if ok && (was.token > t.first.Token || was.token == t.first.Token && was.note.first.PID != t.first.PID) {
			both, _ := was.Intersect(t.first.keys)
			found = append(found, EventViolation{
				Name: TokenOrder, Keyspace: t.first.Keyspace, Range: both, First: was.note.first.text, Second: t.first.text,
				Message: fmt.Sprintf("process %d opened with token %d after process %d had opened with %d",
					t.first.PID, t.first.Token, was.note.first.PID, was.token),
			})
		}
		top.raise(t.first.keys, t.first.Token, t)
	}
	return found
}

// piece is a part of the keys that no range of any span cuts, and until when it was owned last.
type piece struct {
	RangeStats
	until int64
}

// gaps follows every piece of the keys through its owners.
func gaps(ks string, ts []tenure) []RangeStats {
	pieces := cut(ks, ts)
	for _, t := range ts {
		at, _ := slices.BinarySearchFunc(pieces, t.first.keys.Start, func(p piece, start string) int {
			return cmp.Compare(p.Range.Start, start)
		})
		for ; at < len(pieces) && t.first.keys.ContainsRange(pieces[at].Range); at++ {
			p := &pieces[at]
			if gap := time.Duration(t.from - p.until); p.Openings > 0 && gap > p.Gap {
				p.Gap, p.GapFrom = gap, p.until
			}
			p.Openings++
			p.until = max(p.until, t.end)
		}
	}
	out := make([]RangeStats, 0, len(pieces))
	for _, p := range pieces {
		out = append(out, p.RangeStats)
	}
	return out
}

// cut divides all keys that were ever owned at every bound of a range.
func cut(ks string, ts []tenure) []piece {
	var bounds []string
	var all []span.Range
	for _, t := range ts {
		all = append(all, t.first.keys)
		bounds = append(bounds, t.first.keys.Start)
		if t.first.keys.End != "" {
			bounds = append(bounds, t.first.keys.End)
		}
	}
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	var out []piece
	for _, whole := range span.Union(all) {
		from := whole.Start
		first, _ := slices.BinarySearch(bounds, whole.Start)
		for _, b := range bounds[first:] {
			if b > from && (whole.End == "" || b <= whole.End) {
				out = append(out, piece{RangeStats: RangeStats{Keyspace: ks, Range: span.Range{Start: from, End: b}}})
				from = b
			}
			if whole.End != "" && b >= whole.End {
				break
			}
		}
		if whole.End == "" {
			out = append(out, piece{RangeStats: RangeStats{Keyspace: ks, Range: span.Range{Start: from}}})
		}
	}
	return out
}
