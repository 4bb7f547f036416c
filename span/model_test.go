package span_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/span"
)

// The model of a range is the set of those keys of a small universe that are in it. Bounds have at most two bytes and the universe
// has every key up to three, so any difference between two sets of ranges shows at a key of the universe: a range that is
// not empty holds its own start.
const alphabet = "\x00a\xff"

var universe = keysUpTo(3)

func keysUpTo(n int) []string {
	all := []string{""}
	for from := 0; n > 0; n-- {
		to := len(all)
		for _, prefix := range all[from:to] {
			for i := range len(alphabet) {
				all = append(all, prefix+alphabet[i:i+1])
			}
		}
		from = to
	}
	slices.Sort(all)
	return all
}

type set map[string]bool

func in(rs ...span.Range) set {
	s := set{}
	for _, r := range rs {
		for _, key := range universe {
			if key >= r.Start && (r.End == "" || key < r.End) {
				s[key] = true
			}
		}
	}
	return s
}

func (s set) filter(keep func(string) bool) set {
	out := set{}
	for key := range s {
		if keep(key) {
			out[key] = true
		}
	}
	return out
}

func (s set) and(o set) set   { return s.filter(func(key string) bool { return o[key] }) }
func (s set) minus(o set) set { return s.filter(func(key string) bool { return !o[key] }) }

func (s set) equal(o set) bool { return len(s.minus(o)) == 0 && len(o.minus(s)) == 0 }

var (
	genBound = rapid.SampledFrom(keysUpTo(2))
	// Empty, inverted, touching and unbounded ranges all come up often among so few bounds.
	genRange = rapid.Custom(func(t *rapid.T) span.Range {
		return span.Range{Start: genBound.Draw(t, "start"), End: genBound.Draw(t, "end")}
	})
	genRanges = rapid.SliceOfN(genRange, 0, 6)
	genValid  = genRange.Filter(func(r span.Range) bool { return r.Validate() == nil })
)

func TestPairsAgreeWithTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genRange.Draw(t, "a"), genRange.Draw(t, "b")
		inA, inB := in(a), in(b)
		if got, want := a.Empty(), len(inA) == 0; got != want {
			t.Fatalf("Empty = %v", got)
		}
		if got, want := a.Validate() == nil, len(inA) > 0; got != want {
			t.Fatalf("valid = %v", got)
		}
		for _, key := range universe {
			if a.Contains(key) != inA[key] {
				t.Fatalf("Contains(%q) = %v", key, a.Contains(key))
			}
		}
		if got, want := a.Overlaps(b), len(inA.and(inB)) > 0; got != want {
			t.Fatalf("Overlaps = %v", got)
		}
		if both, ok := a.Intersect(b); ok != a.Overlaps(b) || ok && !in(both).equal(inA.and(inB)) {
			t.Fatalf("Intersect = %v, %v", both, ok)
		}
		if got, want := a.ContainsRange(b), len(inB.minus(inA)) == 0; got != want {
			t.Fatalf("ContainsRange = %v", got)
		}
		if got, want := a.Touches(b), touches(inA, inB); got != want || b.Touches(a) != want {
			t.Fatalf("Touches = %v", got)
		}
	})
}

// touches: neither is empty, one lies before the other, and no key is between them.
func touches(a, b set) bool {
	if len(a) == 0 || len(b) == 0 || len(a.and(b)) > 0 {
		return false
	}
	before, after := a, b
	if first(a) > first(b) {
		before, after = b, a
	}
	at, _ := slices.BinarySearch(universe, first(after))
	return before[universe[at-1]]
}

func first(s set) string {
	for _, key := range universe {
		if s[key] {
			return key
		}
	}
	return ""
}

func TestCompareIsATotalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := genRange.Draw(t, "a"), genRange.Draw(t, "b"), genRange.Draw(t, "c")
		if a.Compare(b) != -b.Compare(a) || (a.Compare(b) == 0) != (a == b) {
			t.Fatalf("Compare = %d and %d", a.Compare(b), b.Compare(a))
		}
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatal("not transitive")
		}
		if a.Start == b.Start && a.End == "" && b.End != "" && a.Compare(b) <= 0 {
			t.Fatal("no upper bound must come last")
		}
	})
}

func normal(t *rapid.T, what string, rs []span.Range) {
	for i, r := range rs {
		if r.Empty() {
			t.Fatalf("%s: %v is empty", what, r)
		}
		if i > 0 && (rs[i-1].End == "" || rs[i-1].End >= r.Start) {
			t.Fatalf("%s: %v and %v are not apart", what, rs[i-1], r)
		}
	}
}

func TestSetsAgreeWithTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rs, r := genRanges.Draw(t, "rs"), genRange.Draw(t, "r")
		given := slices.Clone(rs)

		union := span.Union(rs)
		normal(t, "union", union)
		if !in(union...).equal(in(rs...)) {
			t.Fatalf("Union = %v", union)
		}
		left := span.Subtract(r, rs)
		normal(t, "subtract", left)
		missing := in(r).minus(in(rs...))
		if !in(left...).equal(missing) {
			t.Fatalf("Subtract = %v", left)
		}
		if holes := span.Holes(rs, r); !slices.Equal(holes, left) {
			t.Fatalf("Holes = %v", holes)
		}
		if got, want := span.Covers(rs, r), len(missing) == 0; got != want {
			t.Fatalf("Covers = %v", got)
		}
		if !slices.Equal(rs, given) {
			t.Fatal("the argument was changed")
		}
	})
}

func TestOverlappingAgreesWithTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rs := genRanges.Draw(t, "rs")
		some := false
		for i := range rs {
			for j := range i {
				some = some || len(in(rs[i]).and(in(rs[j]))) > 0
			}
		}
		i, j, ok := span.Overlapping(rs)
		if ok != some {
			t.Fatalf("Overlapping = %d, %d, %v", i, j, ok)
		}
		if ok && (i >= j || !rs[i].Overlaps(rs[j])) {
			t.Fatalf("%v and %v do not overlap", rs[i], rs[j])
		}
	})
}

func TestSplitAndMergeAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genValid.Draw(t, "r")
		at := rapid.SliceOfN(genBound, 1, 4).Draw(t, "at")
		good := slices.IsSorted(at) && len(slices.Compact(slices.Clone(at))) == len(at)
		for _, key := range at {
			good = good && key != r.Start && in(r)[key]
		}
		parts, err := r.Split(at...)
		if (err == nil) != good {
			t.Fatalf("Split = %v, %v", parts, err)
		}
		if err != nil {
			return
		}
		for i, key := range at {
			if parts[i].End != key || parts[i+1].Start != key {
				t.Fatalf("Split = %v", parts)
			}
		}
		whole, err := span.Merge(rapid.Permutation(parts).Draw(t, "parts")...)
		if err != nil || whole != r {
			t.Fatalf("Merge = %v, %v", whole, err)
		}
	})
}

func TestMergeAgreesWithTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rs := rapid.SliceOfN(genRange, 0, 4).Draw(t, "rs")
		_, _, overlap := span.Overlapping(rs)
		good := len(rs) >= 2 && !overlap && len(span.Union(rs)) == 1
		for _, r := range rs {
			good = good && !r.Empty()
		}
		whole, err := span.Merge(rs...)
		if (err == nil) != good {
			t.Fatalf("Merge = %v, %v", whole, err)
		}
		if good && !in(whole).equal(in(rs...)) {
			t.Fatalf("Merge = %v", whole)
		}
	})
}
