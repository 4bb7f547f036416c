package scheduler_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/scheduler"
)

// exact has numbers that are level block each single move.
var exact = scheduler.BalanceConfig{CountTolerance: 0.01, LoadTolerance: 0.25}

// loadedWorld has a plain node for each list, with a span for each load in it.
func loadedWorld(cfg scheduler.BalanceConfig, loads ...[]float64) *world {
	var counts []int
	for _, l := range loads {
		counts = append(counts, len(l))
	}
	w := levelWorld(cfg, counts...)
	for i, x := range slices.Concat(loads...) {
		w.load(refOf(i), x)
	}
	return w
}

func briefly(moves []scheduler.Move) (out []string) {
	for _, m := range moves {
		out = append(out, fmt.Sprintf("%s %s %s %s", strings.TrimLeft(string(m.Ref.ID[:5]), "0")+string(m.Ref.ID[5:]), m.From, m.To, m.Reason))
	}
	return out
}

// Where numbers forbid each single move, a hot span goes and a cold one comes: those that bring two nodes closest to being level.
func TestBalanceExchanges(t *testing.T) {
	for _, tc := range []struct {
		name   string
		loads  [][]float64
		change func(*world)
		want   []string
	}{
		{name: "closest below", loads: [][]float64{{50, 30, 8}, {1, 2, 3}}, want: []string{
			"1 n00 n01 load 88 on n00, 6 on n01; 000003 goes to n00 in exchange",
			"3 n01 n00 load 88 on n00, 6 on n01; 000001 goes to n01 in exchange",
		}},
		{name: "the lightest of those alike", loads: [][]float64{{40, 30, 20}, {10, 0, 10}}, want: []string{
			"1 n00 n01 load 90 on n00, 20 on n01; 000004 goes to n00 in exchange",
			"4 n01 n00 load 90 on n00, 20 on n01; 000001 goes to n01 in exchange",
		}},
		{name: "a little beyond", loads: [][]float64{{60, 60}, {6, 12}}, want: []string{
			"0 n00 n01 load 120 on n00, 18 on n01; 000003 goes to n00 in exchange",
			"3 n01 n00 load 120 on n00, 18 on n01; 000000 goes to n01 in exchange",
		}},
		{name: "not far beyond", loads: [][]float64{{60, 0}, {0, 0}}},
		{name: "crumbs", loads: [][]float64{{60, 0.1, 0.1}, {0, 0, 0}}},
		{name: "within twice the tolerance", loads: [][]float64{{30, 30}, {18, 20}}},
		{name: "a single move is legal", loads: [][]float64{{50, 30, 8}, {1, 2}}, want: []string{"1 n00 n01 load 88 on n00, 3 on n01"}},
		{name: "single moves go first", loads: [][]float64{{50, 50, 9}, {1, 1, 1}, {9, 9}}, want: []string{
			"2 n00 n02 load 109 on n00, 18 on n02",
			"0 n00 n01 load 100 on n00, 3 on n01; 000003 goes to n00 in exchange",
			"3 n01 n00 load 100 on n00, 3 on n01; 000000 goes to n01 in exchange",
		}},
		{name: "one may not be there", loads: [][]float64{{50, 30, 8}, {1, 2, 3}}, change: func(w *world) {
			w.change(5, func(s *scheduler.Span) { s.Avoid = []string{"n00"} })
			w.change(3, func(s *scheduler.Span) { s.Pin = "n01" })
			w.change(1, func(s *scheduler.Span) { s.Avoid = []string{"n01"} })
		}, want: []string{
			"2 n00 n01 load 88 on n00, 6 on n01; 000004 goes to n00 in exchange",
			"4 n01 n00 load 88 on n00, 6 on n01; 000002 goes to n01 in exchange",
		}},
		{name: "of another cohort", loads: [][]float64{{50, 30, 8}, {1, 2, 3}}, change: func(w *world) {
			for i := range 3 {
				w.rule(i, "place.prefer", "disk=ssd")
			}
		}},
		{name: "a cordoned node takes nothing back", loads: [][]float64{{50, 30, 8}, {1, 2, 3}}, change: func(w *world) {
			w.hold(3, "n01")
			w.cordon("n00")
		}},
		{name: "a cordoned node takes nothing", loads: [][]float64{{50, 30, 8}, {1, 2, 3}}, change: func(w *world) { w.cordon("n01") }},
		{name: "both are full", loads: [][]float64{{50, 30, 8}, {1, 2, 3}}, change: func(w *world) { w.hold(3, "n00", "n01") }},
		{name: "one has more than it holds", loads: [][]float64{{50, 30, 8}, {1, 2, 3}}, change: func(w *world) { w.hold(2, "n01") }},
		{name: "the one with more is full", loads: [][]float64{{50, 30, 8}, {1, 2, 3}}, change: func(w *world) { w.hold(3, "n00") }, want: []string{
			"1 n00 n01 load 88 on n00, 6 on n01; 000003 goes to n00 in exchange",
			"3 n01 n00 load 88 on n00, 6 on n01; 000001 goes to n01 in exchange",
		}},
		{name: "the one with less is full", loads: [][]float64{{50, 30, 8}, {1, 2, 3}}, change: func(w *world) { w.hold(3, "n01") }, want: []string{
			"3 n01 n00 load 88 on n00, 6 on n01; 000001 goes to n01 in exchange",
			"1 n00 n01 load 88 on n00, 6 on n01; 000003 goes to n00 in exchange",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := loadedWorld(scheduler.BalanceConfig{CountTolerance: 0.01, LoadTolerance: 0.55}, tc.loads...)
			if tc.change != nil {
				tc.change(w)
			}
			if d := cmp.Diff(tc.want, briefly(w.fleet.Balance(w.now))); d != "" {
				t.Error(d)
			}
		})
	}
}

func (w *world) cordon(name string) {
	n := w.nodes[name]
	n.Eligible = false
	w.node(n)
}

// hold gives nodes a capacity.
func (w *world) hold(capacity int, nodes ...string) {
	for _, name := range nodes {
		n := w.nodes[name]
		n.Capacity = capacity
		w.node(n)
	}
}

// An exchange waits until budgets have room for both of its moves, is planned as a whole, and is not forgotten meanwhile. A
// budget of one never has room.
func TestBalanceExchangesWithinBudgets(t *testing.T) {
	hot, cold := []float64{30, 20, 20, 20, 20, 10}, []float64{1, 1, 1, 1, 1, 1}
	for _, tc := range []struct {
		cfg  scheduler.BalanceConfig
		want []int // moves of each plan
	}{
		{scheduler.BalanceConfig{}, []int{6}},
		{scheduler.BalanceConfig{InFlight: 2}, []int{2, 2, 2}},
		{scheduler.BalanceConfig{InFlight: 3}, []int{2, 2, 2}},
		{scheduler.BalanceConfig{InFlight: 5}, []int{4, 2}},
		{scheduler.BalanceConfig{NodeInFlight: 3}, []int{2, 2, 2}},
		{scheduler.BalanceConfig{KeyspaceInFlight: 4}, []int{4, 2}},
		{scheduler.BalanceConfig{InFlight: 1}, nil},
		{scheduler.BalanceConfig{NodeInFlight: 1}, nil},
		{scheduler.BalanceConfig{KeyspaceInFlight: 1}, nil},
	} {
		cfg := tc.cfg
		cfg.CountTolerance, cfg.LoadTolerance = 0.01, 0.2
		w := loadedWorld(cfg, hot, cold)
		var got []int
		for moves := w.fleet.Balance(w.now); len(moves) > 0 && len(got) < 9; moves = w.fleet.Balance(w.now) {
			got = append(got, len(moves))
			w.take(moves)
			if more := w.fleet.Balance(w.now); len(more) > 0 {
				t.Fatalf("beyond %+v: %v", cfg, more)
			}
			w.finish(nil)
			w.now = w.now.Add(time.Minute)
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%+v: %s", tc.cfg, d)
		}
	}
}

// What is said of the two spans of an exchange is what becomes of them.
func TestExplainExchange(t *testing.T) {
	w := loadedWorld(exact, []float64{50, 30, 8}, []float64{1, 2, 3})
	for i, want := range map[int]string{
		0: "it stays on n00 for now: load 88 on n00, 6 on n01; 000003 goes to n00 in exchange, and 000001 goes to n01 before it",
		1: "it is moved to n01: load 88 on n00, 6 on n01; 000003 goes to n00 in exchange",
		3: "it is moved to n00: load 88 on n00, 6 on n01; 000001 goes to n01 in exchange",
	} {
		if got := w.fleet.Explain(refOf(i), w.now); got != want {
			t.Errorf("%d: got  %q\nwant %q", i, got, want)
		}
	}
}

// With few spans on a node the search misses nothing: each exchange is the best there is between its two nodes, and balance
// does not end while one would help. Numbers stay as they are.
func TestBalanceMissesNoExchange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		each := rapid.IntRange(1, 8).Draw(t, "spans")
		one := rapid.OneOf(rapid.SampledFrom([]float64{0, 1, 2, 10, 40}), rapid.Float64Range(0, 100))
		loads := rapid.SliceOfN(rapid.SliceOfN(one, each, each), 2, 4).Draw(t, "loads")
		w := loadedWorld(exact, loads...)
		for round := 0; ; round++ {
			if round > 200 {
				t.Fatal("no end")
			}
			moves := w.fleet.Balance(w.now)
			for i := 0; i+1 < len(moves); i += 2 {
				w.bestExchange(t, moves[i], moves[i+1])
				w.take(moves[i : i+2])
			}
			w.finish(nil)
			w.now = w.now.Add(time.Minute)
			if len(moves) == 0 {
				break
			}
		}
		if got := w.counts(); slices.Min(got) != each || slices.Max(got) != each {
			t.Fatalf("%v spans on the nodes, not %d on each", got, each)
		}
		w.noExchangeLeft(t)
	})
}

// bestExchange: none between the nodes comes closer to the level from below, or from beyond if none does so from below.
func (w *world) bestExchange(t *rapid.T, there, back scheduler.Move) {
	load := w.loadOn()
	level := (load[there.From] - load[there.To]) / 2
	rank := func(by float64) float64 { // the smaller the better
		switch {
		case by <= level && by >= level/256:
			return level - by
		case by > level && by < level*1.5:
			return 1e6 + by
		}
		return 1e9
	}
	by := w.loads[there.Ref] - w.loads[back.Ref]
	if math.Abs(by-level) <= 0.01 {
		return
	}
	for a, s := range w.spans {
		for b, o := range w.spans {
			free := s.Flight == (scheduler.Flight{}) && o.Flight == (scheduler.Flight{})
			if x := w.loads[a] - w.loads[b]; free && s.Node == there.From && o.Node == there.To && rank(x) < rank(by)-0.01 && math.Abs(x-level) > 0.01 {
				t.Fatalf("%+v and back %+v are %g with a level of %g, and %v for %v %g", there, back, by, level, a, b, x)
			}
		}
	}
}

func (w *world) noExchangeLeft(t *rapid.T) {
	load, sum := w.loadOn(), 0.0
	for _, x := range load {
		sum += x
	}
	limit := exact.LoadTolerance * sum / float64(len(w.nodes))
	names := sortedKeys(w.nodes)
	slices.SortFunc(names, func(a, b string) int { return int(1e6 * (load[a] - load[b])) })
	if load[names[len(names)-1]]-load[names[0]] <= 2*limit+0.01 {
		return
	}
	for a, s := range w.spans {
		for b, o := range w.spans {
			gap, by := load[s.Node]-load[o.Node], w.loads[a]-w.loads[b]
			if gap > limit+0.01 && by > gap/2/256+0.01 && by < gap/2*1.5-0.01 {
				t.Fatalf("loads %v, and not exchanged: %v with %g, %v with %g", load, a, w.loads[a], b, w.loads[b])
			}
		}
	}
}

// Loads as uneven as they come, on many nodes: they are levelled though numbers stay level, each plan within a bound.
func TestBalanceExchangesZipf(t *testing.T) {
	for _, nodes := range []int{5, 20} {
		w := newWorld(scheduler.BalanceConfig{CountTolerance: 0.1, LoadTolerance: 0.25})
		for n := range nodes {
			name := fmt.Sprintf("n%02d", n)
			w.node(plainNode(name))
			w.fill(name, 60)
		}
		sum := 0.0
		for i := range w.spans {
			w.load(i, 0)
		}
		for i := range len(w.spans) { // the hottest are together
			x := 10 * float64(nodes) / float64(i+10)
			w.load(refOf(i), x)
			sum += x
		}
		planned := 0
		for moves := w.fleet.Balance(w.now); len(moves) > 0; moves = w.fleet.Balance(w.now) {
			planned += len(moves)
			w.take(moves)
			w.finish(nil)
			w.now = w.now.Add(time.Minute)
		}
		most, mean := 0.0, sum/float64(nodes)
		for _, x := range w.loadOn() {
			most = max(most, x)
		}
		t.Logf("%d nodes: %d moves, the fullest has %.2f of the mean", nodes, planned, most/mean)
		if most > 1.25*mean || planned > 20*nodes {
			t.Errorf("%d nodes: the fullest has %.2f of the mean, after %d moves", nodes, most/mean, planned)
		}
	}
}
