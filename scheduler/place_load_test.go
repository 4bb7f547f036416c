package scheduler_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/scheduler"
)

func totals(ns []scheduler.Node, ws []scheduler.Want, placed []scheduler.Assignment) map[string]float64 {
	loads := map[string]float64{}
	for _, n := range ns {
		loads[n.Name] = n.Load
	}
	for i, a := range placed {
		loads[a.Node] += max(0, ws[i].Load)
	}
	return loads
}

// Of nodes with about as many spans, the one with the least load is taken, and one with far more spans is not, however idle.
func TestPlaceByLoad(t *testing.T) {
	ns := nodes(3)
	for i := range ns {
		ns[i].Spans, ns[i].Load = 100, 100
	}
	ns[0].Load, ns[1].Load = 500, 90
	placed, _ := scheduler.Place(wants(3), ns)
	if got := counts(placed); got["n1"] != 3 {
		t.Errorf("with as many spans: %v", got)
	}
	ns[1].Spans, ns[1].Load = 130, 0
	placed, _ = scheduler.Place(wants(3), ns)
	if got := counts(placed); got["n2"] != 3 {
		t.Errorf("with more spans: %v", got)
	}
}

// Everything starts at once, with loads that are known from before: nodes get about the same load, and about as many spans.
func TestPlaceLevelsLoads(t *testing.T) {
	ns, ws := nodes(4), wants(400)
	sum := 0.0
	for i := range ws {
		if ws[i].Load = 1; i%10 == 0 {
			ws[i].Load = 25
		}
		sum += ws[i].Load
	}
	placed, _ := scheduler.Place(ws, ns)
	for name, n := range counts(placed) {
		if n < 90 || n > 110 {
			t.Errorf("%s gets %d spans of 400", name, n)
		}
	}
	for name, x := range totals(ns, ws, placed) {
		if x < 0.8*sum/4 || x > 1.2*sum/4 {
			t.Errorf("%s gets load %g of %g", name, x, sum)
		}
	}
}

// A span of which the load is not known counts as the mean of the others, not as nothing.
func TestPlaceUnknownLoad(t *testing.T) {
	ns, ws := nodes(2), wants(3)
	ws[0].Load, ws[1].Load, ws[2].Load = -1, 2, 10
	ns[0].Spans, ns[1].Spans = 50, 50
	placed, _ := scheduler.Place(ws, ns)
	got := fmt.Sprint(placed[0].Node, placed[1].Node, placed[2].Node)
	if got != "n0n1n1" { // 6 for the first, so that the one with 2 gets the next one, too
		t.Error(got)
	}
}

// Placement never leads to numbers of spans that balance would level.
func TestPlaceLeavesNothingToLevel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(scheduler.BalanceConfig{CountTolerance: 0.1, LoadTolerance: 1})
		for i := range rapid.IntRange(1, 8).Draw(t, "nodes") {
			n := plainNode(fmt.Sprint("n", i))
			n.Weight = rapid.SampledFrom([]float64{1, 1, 2, 0.5, 100}).Draw(t, "weight")
			w.node(n)
		}
		for range rapid.IntRange(1, 3).Draw(t, "rounds") {
			ns := w.fleet.Nodes()
			for i := range ns {
				ns[i].Budget = 1 << 20
			}
			ws := wants(rapid.IntRange(1, 400).Draw(t, "spans"))
			for i := range ws {
				ws[i].Ref = refOf(len(w.spans) + i)
				ws[i].Load = rapid.SampledFrom([]float64{-1, 0, 1, 2, 30}).Draw(t, "load")
			}
			placed, _ := scheduler.Place(ws, ns)
			for i, a := range placed {
				w.span(scheduler.Span{Ref: a.Ref, Workload: "gate", Node: a.Node, Settled: true})
				w.load(a.Ref, ws[i].Load)
			}
			for _, m := range w.rebuilt(0).Balance(w.now) {
				if strings.Contains(m.Reason, "carries") {
					t.Fatalf("%+v: %v", m, w.counts())
				}
			}
		}
	})
}

// The same cluster gives the same plan, however it is told.
func TestPlaceIsStable(t *testing.T) {
	ns, ws := nodes(5), wants(50)
	for i := range ws {
		ws[i].Load = float64(i % 7)
	}
	placed, _ := scheduler.Place(ws, ns)
	for i, j := 0, len(ns)-1; i < j; i, j = i+1, j-1 {
		ns[i], ns[j] = ns[j], ns[i]
	}
	again, _ := scheduler.Place(ws, ns)
	if d := cmp.Diff(placed, again); d != "" {
		t.Error(d)
	}
}
