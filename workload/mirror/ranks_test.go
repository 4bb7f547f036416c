package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/span"
)

// listed is a source that knows its keys, and counts what it is asked.
type listedKeys struct {
	keys  []string
	asked int
}

func (l *listedKeys) probe(_ context.Context, r span.Range) (string, int64, error) {
	l.asked++
	i, _ := slices.BinarySearch(l.keys, r.Start)
	j := len(l.keys)
	if r.End != "" {
		j, _ = slices.BinarySearch(l.keys, r.End)
	}
	if i >= j {
		return "", 0, nil
	}
	return l.keys[i], int64(j - i), nil
}

// largest is the largest share that some cuts leave, as a part of what it would be with even ones.
func (l *listedKeys) largest(cuts []string) float64 {
	last, most := 0, 0
	for _, c := range append(slices.Clone(cuts), "\xff\xff\xff\xff") {
		i, _ := slices.BinarySearch(l.keys, c)
		most, last = max(most, i-last), i
	}
	return float64(most) * (splitKeys + 1) / float64(len(l.keys))
}

// However keys are named, few questions find where to cut.
func TestCutsByRankAreEven(t *testing.T) {
	const n = 10_000
	rnd := rand.New(rand.NewPCG(1, 2))
	for name, key := range map[string]func(i int) string{
		"numbers": func(i int) string { return fmt.Sprintf("key/%06d", i) },
		"long prefix": func(i int) string {
			return fmt.Sprintf("/registry/some.group.example.com/widgets/namespace/%06d/status", i)
		},
		"hashes": func(i int) string { return fmt.Sprintf("h/%x", sha256.Sum256(fmt.Append(nil, i))) },
		"bytes":  func(i int) string { s := sha256.Sum256(fmt.Append(nil, i)); return string(s[:8]) },
		"short":  func(i int) string { return string([]byte{byte(i >> 8), byte(i)}) },
		"times":  func(i int) string { return fmt.Sprintf("log/2026-11-%02dT%02d:%02d", 1+i/1440, i/60%24, i%60) },
		"tenants": func(i int) string {
			return fmt.Sprintf("tenant-%s/table/%d/row/%08d", []string{"a", "big", "zoo"}[min(2, i%20)], i%3, i)
		},
		"lengths": func(i int) string { return fmt.Sprintf("k%0*d", 4+i%30, i) },
		"one and many": func(i int) string {
			return map[bool]string{true: "a", false: fmt.Sprintf("zzzzzzzzzzzzzzzz/%05d", i)}[i == 0]
		},
		"random": func(int) string {
			b := make([]byte, 1+rnd.IntN(12))
			for i := range b {
				b[i] = byte(rnd.Uint32())
			}
			return string(b)
		},
	} {
		for _, r := range []span.Range{{}, {Start: "\x00", End: "\xff\xff\xff\xff"}} {
			l := &listedKeys{}
			for i := range n {
				l.keys = append(l.keys, key(i))
			}
			slices.Sort(l.keys)
			l.keys = slices.Compact(l.keys)
			cuts, err := cutsByRank(t.Context(), r, l.probe)
			if err != nil || len(cuts) < splitKeys-2 {
				t.Errorf("%s: %q, %v", name, cuts, err)
			}
			bound := 1.6
			if name == "lengths" {
				bound = 5 // a tree with one narrow way down: questions run out, and what was found is still of use
			}
			if share := l.largest(cuts); share > bound {
				t.Errorf("%s: %q leave one piece with %.1f of its share", name, cuts, share)
			}
			t.Logf("%-12s %2d questions, largest piece %.2f of its share", name, l.asked, l.largest(cuts))
			if l.asked > maxProbes {
				t.Errorf("%s: %d questions", name, l.asked)
			}
		}
	}
}

// Whatever the keys are: the cuts are keys of the range, ascending, none of them the first, and the questions end. Keys
// come and go meanwhile.
func TestCutsByRankAreKeysInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := span.Range{Start: "b", End: rapid.SampledFrom([]string{"", "d", "d\x00", "c\xff"}).Draw(t, "end")}
		gen := rapid.Custom(func(t *rapid.T) string {
			return "b" + string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xfe, 0xff}), 0, 5).Draw(t, "key"))
		})
		l := &listedKeys{}
		set := func() {
			l.keys = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(rapid.SliceOfN(gen, 0, 300).Draw(t, "keys")))),
				func(k string) bool { return !r.Contains(k) })
		}
		set()
		ever := slices.Clone(l.keys)
		moving := rapid.Bool().Draw(t, "moving")
		cuts, err := cutsByRank(t.Context(), r, func(ctx context.Context, in span.Range) (string, int64, error) {
			if in.Start < r.Start || in.End != "" && in.Start >= in.End || r.End != "" && (in.End == "" || in.End > r.End) {
				t.Fatalf("asked for %s of %s", in, r)
			}
			if moving && l.asked == 5 {
				set()
				ever = append(ever, l.keys...)
			}
			return l.probe(ctx, in)
		})
		if err != nil || l.asked > maxProbes {
			t.Fatalf("%d questions: %v", l.asked, err)
		}
		for i, k := range cuts {
			if !slices.Contains(ever, k) || k == r.Start || i > 0 && k <= cuts[i-1] {
				t.Fatalf("%q of %q", cuts, ever)
			}
		}
		if !moving && len(l.keys) >= sampleEnough && (len(cuts) == 0 || cuts[0] == l.keys[0]) {
			t.Fatalf("%q of %q", cuts, l.keys)
		}
	})
}

func TestCutsByRankEndWithAnError(t *testing.T) {
	l := &listedKeys{}
	for i := range 1000 {
		l.keys = append(l.keys, fmt.Sprintf("%04d", i))
	}
	bad := errors.New("bad")
	for n := range 4 {
		cuts, err := cutsByRank(t.Context(), span.Range{}, func(ctx context.Context, r span.Range) (string, int64, error) {
			if l.asked == n {
				return "", 0, bad
			}
			return l.probe(ctx, r)
		})
		if !errors.Is(err, bad) || cuts != nil {
			t.Errorf("%v, %v", cuts, err)
		}
		l.asked = 0
	}
}
