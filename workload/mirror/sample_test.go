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
		weights := rapid.SampledFrom([]float64{0, 1, 1000})
		var got []string
		for range n {
			s.add(keys.Draw(t, "key"), weights.Draw(t, "weight"))
			if rapid.Bool().Draw(t, "look") {
				got = s.cuts(got)
			}
		}
		got = s.cuts(got)
		if n < sampleEnough && len(got) > 0 {
			t.Fatalf("%q proposed after %d writes", got, n)
		}
		for i, k := range got {
			if !r.Contains(k) || k == r.Start || i > 0 && k <= got[i-1] {
				t.Fatalf("%q are not split keys of %s", got, r)
			}
		}
		if len(s.keys) > sampleKeys || len(got) > splitKeys {
			t.Fatalf("%d keys are kept, %d proposed", len(s.keys), len(got))
		}
	})
}

// evenly says whether seven keys cut the numbers from first to last into eight about equal shares.
func evenly(t *testing.T, got []string, first, last int) {
	t.Helper()
	if len(got) != splitKeys {
		t.Fatalf("proposed %v", got)
	}
	for i, k := range got {
		want := first + (i+1)*(last-first)/(splitKeys+1)
		if k < fmt.Sprintf("%04d", want-120) || k > fmt.Sprintf("%04d", want+120) {
			t.Errorf("proposed %v, the one at %d is to be about %04d", got, i, want)
		}
	}
}

// Keys are proposed where the load is, and where it is now.
func TestCutsFollowTheLoad(t *testing.T) {
	s := newSample()
	write := func(first, last, n int) []string {
		for i := range n {
			s.add(fmt.Sprintf("%04d", first+i%(last-first)), 1)
		}
		return s.cuts(nil)
	}
	evenly(t, write(0, 1000, 100_000), 0, 1000)
	evenly(t, write(5000, 6000, 20_000), 5000, 6000)
	// Half of the writes go to one key: cutting there makes it the first of its span.
	for range 20_000 {
		s.add("5100", 1)
		s.add("9000", 1)
	}
	if got := s.cuts(nil); !slices.Equal(got, []string{"9000"}) {
		t.Errorf("proposed %v", got)
	}
}

// Where the load is bytes, a key with a large value counts for as many keys with small ones as it has bytes for.
func TestCutsWeigh(t *testing.T) {
	s := newSample()
	for i := range 100_000 {
		if i%8 == 0 {
			s.add(fmt.Sprintf("%04d", 2000+i/8%1000), 700)
		} else {
			s.add(fmt.Sprintf("%04d", i%1000), 10)
		}
	}
	// 70 of 770 parts of the load are below 1000, and so 90 of 100 are above 2000: one of eight shares at the most is not.
	got := s.cuts(nil)
	for i, k := range got {
		if i > 0 && k < "2000" {
			t.Errorf("proposed %v", got)
		}
	}
	if len(got) != splitKeys {
		t.Errorf("proposed %v", got)
	}
}

// What a change weighs is what the keyspace calls its load.
func TestMeterWeighsByItsMeasure(t *testing.T) {
	m := newMeter(&reports{}, unknown, byBytes)
	for i := range 10_000 {
		m.changed([]group{{rev: int64(i), changes: []change{
			{key: fmt.Sprintf("%04d", i*7919%1000), put: true, value: make([]byte, 10)},
			{key: fmt.Sprintf("%04d", 2000+i*7919%1000), put: true, value: make([]byte, 1000)},
			{key: fmt.Sprintf("%04d", 4000+i*7919%1000)},
		}}})
	}
	evenly(t, m.cuts(), 2000, 3000)
}

// As long as the load stays where it is, the same keys are proposed; when it goes elsewhere they follow.
func TestCutsStandStill(t *testing.T) {
	s := newSample()
	var got []string
	changes := 0
	for i := range 100_000 {
		s.add(fmt.Sprintf("%04d", i*7919%1000), 1)
		if i%500 != 499 {
			continue
		}
		now := s.cuts(got)
		if !slices.Equal(now, got) {
			changes++
		}
		got = now
	}
	if changes > 60 { // of 200
		t.Errorf("other keys were proposed %d times", changes)
	}
	evenly(t, got, 0, 1000)
	for i := range 20_000 {
		s.add(fmt.Sprintf("%04d", 5000+i%1000), 1)
	}
	evenly(t, s.cuts(got), 5000, 6000)
}
