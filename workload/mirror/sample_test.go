package mirror

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/span"
)

func TestCutsAreInsideAndAscending(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := span.Range{Start: "b", End: "y"}
		s := newSample()
		n := rapid.IntRange(0, 3*sampleKeys).Draw(t, "n")
		keys := rapid.SampledFrom([]string{"b", "b\x00", "c", "ca", "d", "m", "x\xff"})
		for range n {
			s.add(keys.Draw(t, "key"))
		}
		got := s.cuts()
		if n < sampleEnough && len(got) > 0 {
			t.Fatalf("%q proposed after %d writes", got, n)
		}
		for i, k := range got {
			if !r.Contains(k) || k == r.Start || i > 0 && k <= got[i-1] {
				t.Fatalf("%q are not split keys of %s", got, r)
			}
		}
		if len(s.keys) > sampleKeys {
			t.Fatalf("%d keys are kept", len(s.keys))
		}
	})
}

// Keys are proposed where the load is, and where it is now.
func TestCutsFollowTheLoad(t *testing.T) {
	s := newSample()
	write := func(first, last, n int) []string {
		for i := range n {
			s.add(fmt.Sprintf("%04d", first+i%(last-first)))
		}
		return s.cuts()
	}
	near := func(got []string, want ...int) {
		t.Helper()
		for i, w := range want {
			if len(got) != len(want) || got[i] < fmt.Sprintf("%04d", w-120) || got[i] > fmt.Sprintf("%04d", w+120) {
				t.Fatalf("proposed %v, want about %v", got, want)
			}
		}
	}
	near(write(0, 1000, 100_000), 250, 500, 750)
	near(write(5000, 6000, 20_000), 5250, 5500, 5750)
	// Half of the writes go to one key: cutting there makes it the first of its span.
	for range 20_000 {
		s.add("5100")
		s.add("9000")
	}
	if got := s.cuts(); !slices.Equal(got, []string{"9000"}) {
		t.Errorf("proposed %v", got)
	}
}
