package scheduler_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
)

// levelWorld has as many plain nodes as counts, with so many spans each.
func levelWorld(cfg scheduler.BalanceConfig, counts ...int) *world {
	w := newWorld(cfg)
	for i, n := range counts {
		name := fmt.Sprintf("n%02d", i)
		w.node(plainNode(name))
		w.fill(name, n)
	}
	return w
}

func (w *world) counts() (out []int) {
	for _, n := range w.fleet.Nodes() {
		out = append(out, n.Spans)
	}
	return out
}

// Within the tolerance nothing is moved. Beyond it, nodes that stand out are brought to the mean, and the others only give
// or take what that takes.
func TestBalanceTolerance(t *testing.T) {
	for _, tc := range []struct{ counts, want []int }{
		{[]int{100, 100, 100}, []int{100, 100, 100}},
		{[]int{105, 100, 95}, []int{105, 100, 95}},
		{[]int{106, 100, 94}, []int{100, 100, 100}},
		{[]int{1, 0}, []int{1, 0}},
		{[]int{2, 0}, []int{1, 1}},
		{[]int{140, 105, 95, 100}, []int{110, 110, 110, 110}},
		{[]int{104, 96, 96, 104, 96, 104, 0}, []int{85, 86, 86, 86, 86, 86, 85}},
		{[]int{52, 48, 48, 52, 48, 52, 0}, []int{43, 43, 43, 43, 43, 43, 42}},
	} {
		w := levelWorld(scheduler.BalanceConfig{CountTolerance: 0.1}, tc.counts...)
		w.fleet.Balance(w.now)
		if d := cmp.Diff(tc.want, w.counts()); d != "" {
			t.Errorf("%v:\n%s", tc.counts, d)
		}
	}
}

// Many nodes that are not level, but within the tolerance, and one that comes: only it gets spans, and no more than its share.
func TestBalanceLeavesWhatIsWithinTheTolerance(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var counts []int
	n := 0
	for range 50 {
		counts = append(counts, 96+rng.IntN(9))
		n += counts[len(counts)-1]
	}
	w := levelWorld(scheduler.BalanceConfig{CountTolerance: 0.1}, append(counts, 0)...)
	moves := w.fleet.Balance(w.now)
	if len(moves) == 0 || len(moves) > n/51+1 || slices.ContainsFunc(moves, func(m scheduler.Move) bool { return m.To != "n50" }) {
		t.Errorf("%d moves for %d spans on 51 nodes: %v", len(moves), n, w.counts())
	}
}

// A budget that interrupts the levelling does not end it at the tolerance, nor does a node that changes meanwhile.
func TestBalanceGoesOnAfterABudget(t *testing.T) {
	for _, cfg := range []scheduler.BalanceConfig{{InFlight: 3}, {NodeInFlight: 3}, {KeyspaceInFlight: 3}} {
		cfg.CountTolerance = 0.2
		w := levelWorld(cfg, 100, 100, 100, 0)
		for {
			moves := w.fleet.Balance(w.now)
			if len(moves) == 0 {
				break
			}
			w.take(moves)
			if more := w.fleet.Balance(w.now); len(more) > 0 {
				t.Fatalf("beyond %+v: %v", cfg, more)
			}
			w.finish(nil)
			w.now = w.now.Add(time.Second)
			n := plainNode("n01")
			n.Labels = map[string]string{"at": w.now.String()}
			w.node(n)
		}
		if d := cmp.Diff([]int{75, 75, 75, 75}, w.counts()); d != "" {
			t.Errorf("%+v: %s", cfg, d)
		}
	}
}

// A node that has failed to run a span does not get it again, whether numbers, loads or rules would have it there.
func TestBalanceAvoids(t *testing.T) {
	w := levelWorld(scheduler.BalanceConfig{CountTolerance: 0.1, LoadTolerance: 0.25}, 4, 0)
	for i := range 4 {
		w.change(i, func(s *scheduler.Span) { s.Avoid = []string{"n01"} })
	}
	if moves := w.fleet.Balance(w.now); len(moves) > 0 {
		t.Errorf("for numbers: %v", moves)
	}
	w.change(3, func(s *scheduler.Span) { s.Avoid = nil })
	if moves := w.fleet.Balance(w.now); len(moves) != 1 || moves[0].Ref != refOf(3) {
		t.Errorf("but one: %v", moves)
	}
	w = levelWorld(scheduler.BalanceConfig{CountTolerance: 0.1}, 2, 0, 0)
	for i := range 2 {
		w.rule(i, "place.prefer", "node=n01|n02")
		w.change(i, func(s *scheduler.Span) { s.Avoid = []string{"n01"} })
	}
	if moves := w.fleet.Balance(w.now); len(moves) != 2 || moves[0].To != "n02" || moves[1].To != "n02" {
		t.Errorf("for a rule: %v", moves)
	}
}

// A node that stands out for good, since what it has cannot be moved, does not hide that a move for load would be undone for
// the numbers: that would go to and fro for ever.
func TestBalanceIsNotHiddenFromItself(t *testing.T) {
	w := levelWorld(scheduler.BalanceConfig{CountTolerance: 0.01, LoadTolerance: 0.05}, 9, 3, 3, 2)
	for i := range 15 {
		w.change(i, func(s *scheduler.Span) { s.Settled = s.Node == "n01" })
	}
	for i, x := range map[int]float64{0: 12, 9: 10, 10: 10, 15: 4, 16: 4} {
		w.load(refOf(i), x)
	}
	rounds := 0
	for moves := w.fleet.Balance(w.now); rounds < 20; moves = w.fleet.Balance(w.now) {
		w.take(moves)
		w.finish(nil)
		w.now = w.now.Add(time.Minute)
		if len(moves) == 0 {
			return
		}
		rounds++
	}
	t.Errorf("still moving after %d rounds", rounds)
}

// The cheapest spans go as long as they bring the load along that the receiver lacks.
func TestBalancePicksByLoad(t *testing.T) {
	w := levelWorld(scheduler.BalanceConfig{CountTolerance: 0.1, LoadTolerance: 0.25}, 8, 0)
	for i := range 8 {
		w.load(refOf(i), float64(1+i)) // 1 to 8: 36 in all, 18 for four
	}
	w.take(w.fleet.Balance(w.now))
	if d := cmp.Diff([]int{4, 4}, w.counts()); d != "" {
		t.Error(d)
	}
	if x := w.loadOn(); x["n00"] < 16 || x["n00"] > 20 {
		t.Errorf("loads %v", x)
	}
}

// A hot node gives its load away with as few moves as that takes, and not the one span that would only make another node hot.
func TestBalanceLoad(t *testing.T) {
	for _, tc := range []struct {
		name  string
		loads map[int]float64 // of the spans on n00: 0 to 9, on n01: 10 to 19, on n02: 20 to 29
		want  []string
	}{
		{"level", map[int]float64{0: 10, 10: 10, 20: 10}, nil},
		{"within", map[int]float64{0: 10, 1: 3, 10: 10, 20: 10}, nil},
		{"one too hot to help", map[int]float64{0: 100}, nil},
		{"apart, but not enough to begin", map[int]float64{0: 2, 1: 12, 10: 10, 20: 10}, nil},
		{"two hot", map[int]float64{0: 50, 1: 50}, []string{"000000 n00 n01 load 100 on n00, 0 on n01"}},
		{"three hot", map[int]float64{0: 50, 1: 50, 2: 51}, []string{
			"000002 n00 n01 load 151 on n00, 0 on n01", "000000 n00 n02 load 100 on n00, 0 on n02",
		}},
		{"crumbs", map[int]float64{0: 100, 1: 0.01, 2: 0.01}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := levelWorld(scheduler.BalanceConfig{CountTolerance: 0.3, LoadTolerance: 0.25}, 10, 10, 10)
			for i := range 30 {
				w.load(refOf(i), tc.loads[i])
			}
			var got []string
			for _, m := range w.fleet.Balance(w.now) {
				got = append(got, fmt.Sprintf("%s %s %s %s", m.Ref.ID, m.From, m.To, m.Reason))
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// Refused moves are not planned again before the cooldown is over, and what is refused for ever costs as many plans as spans
// in each cooldown, however often Balance is asked.
func TestBalanceDoesNotSpin(t *testing.T) {
	const cooldown, minutes = 60, 10
	for _, share := range []float64{1, 0.5} {
		w := levelWorld(scheduler.BalanceConfig{CountTolerance: 0.1, Cooldown: cooldown * time.Second, InFlight: 8}, 50, 50, 0)
		rng := rand.New(rand.NewPCG(3, 4))
		planned, refused, last := 0, 0, map[operator.Ref]time.Time{}
		turns := 0
		for range minutes * 60 * 10 { // ten turns a second
			moves := w.fleet.Balance(w.now)
			if len(moves) > 0 {
				turns++
			}
			planned += len(moves)
			for _, m := range moves {
				if since := w.now.Sub(last[m.Ref]); since < cooldown*time.Second {
					t.Fatalf("%+v was planned %s ago", m, since)
				}
				last[m.Ref] = w.now
			}
			w.take(moves)
			if len(moves) > 0 {
				w.finish(func(operator.Ref) bool {
					no := rng.Float64() < share
					if no {
						refused++
					}
					return no
				})
			}
			w.now = w.now.Add(100 * time.Millisecond)
		}
		t.Logf("refused %g: %d plans in %d turns, %d refused", share, planned, turns, refused)
		if most := 100 * (minutes + 1); planned > most || share < 1 && planned-refused > 34 {
			t.Errorf("refused %g: %d planned, %d refused", share, planned, refused)
		}
		if got := w.counts(); share < 1 && got[2] < 32 {
			t.Errorf("half are refused, and the other half leads to %v", got)
		}
	}
}

// NextBalance tells when a cooldown ends, and that is when something is found.
func TestNextBalance(t *testing.T) {
	w := newWorld(scheduler.BalanceConfig{CountTolerance: 0.1, Cooldown: time.Minute})
	w.node(plainNode("n1"))
	w.fill("n1", 4)
	if _, ok := w.fleet.NextBalance(w.now); !ok {
		t.Error("a fleet that nobody has looked at needs no look")
	}
	w.fleet.Balance(w.now)
	if at, ok := w.fleet.NextBalance(w.now); ok {
		t.Errorf("nothing can change, and it is looked at again at %s", at)
	}
	for i := range 4 {
		w.change(i, func(s *scheduler.Span) { s.Since = w.now.Add(-time.Duration(20+i) * time.Second) })
	}
	w.node(plainNode("n2"))
	if moves := w.fleet.Balance(w.now); len(moves) > 0 {
		t.Fatalf("in the cooldown: %v", moves)
	}
	at, ok := w.fleet.NextBalance(w.now)
	if want := w.now.Add(37 * time.Second); !ok || !at.Equal(want) {
		t.Fatalf("next at %s, want %s", at, want)
	}
	if moves := w.fleet.Balance(at.Add(-time.Nanosecond)); len(moves) > 0 {
		t.Errorf("too soon: %v", moves)
	}
	if moves := w.fleet.Balance(at); len(moves) != 1 || moves[0].Ref != refOf(3) {
		t.Errorf("then: %v", moves)
	}
}

// What rules forbid, or would rather have elsewhere, is moved there; nothing is moved to and fro between rules and numbers.
func TestBalanceObeysRules(t *testing.T) {
	for _, tc := range []struct {
		name, rule, value string
		labels            []string // zone of each node
		capacity          []int
		counts            []int
		want              []int
		why               string
	}{
		{"required", "place.require", "zone=b|c", []string{"a", "b", "c"}, nil, []int{6, 0, 0}, []int{0, 3, 3}, "place.require=zone=b|c, and n00 does not have zone=b|c"},
		{"preferred", "place.prefer", "zone=b", []string{"a", "b", "c"}, nil, []int{3, 3, 3}, []int{0, 9, 0}, "place.prefer=zone=b, of which n01 has more than n00"},
		{"preferred as far as there is room", "place.prefer", "zone=b", []string{"a", "b", "c"}, []int{0, 5, 0}, []int{9, 0, 0}, []int{2, 5, 2}, "place.prefer=zone=b, of which n01 has more than n00"},
		{"spread", "place.spread", "zone", []string{"a", "a", "b"}, nil, []int{4, 4, 0}, []int{2, 2, 4}, "place.spread=zone: zone=a has 8 spans of k and zone=b 0"},
		{"spread over what is there", "place.spread", "zone", []string{"a", "", "b"}, nil, []int{7, 1, 1}, []int{3, 3, 3}, "place.spread=zone: zone=a has 7 spans of k and what has no zone 1"},
		{"spread before numbers", "place.spread", "zone", []string{"a", "a", "a", "b"}, nil, []int{2, 2, 2, 6}, []int{2, 2, 2, 6}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(scheduler.BalanceConfig{CountTolerance: 0.1, LoadTolerance: 0.25})
			for i, zone := range tc.labels {
				n := plainNode(fmt.Sprintf("n%02d", i))
				if zone != "" {
					n.Labels = map[string]string{"zone": zone}
				}
				if tc.capacity != nil {
					n.Capacity = tc.capacity[i]
				}
				w.node(n)
				w.fill(n.Name, tc.counts[i])
			}
			rules, _ := scheduler.ParseRules(map[string]string{tc.rule: tc.value})
			for i := range w.spans {
				s := w.spans[i]
				s.Rules = rules
				w.span(s)
			}
			moves := w.fleet.Balance(w.now)
			if d := cmp.Diff(tc.want, w.counts()); d != "" {
				t.Errorf("%s\n%v", d, moves)
			}
			if tc.why != "" && (len(moves) == 0 || moves[0].Reason != tc.why) {
				t.Errorf("%+v: want %q", moves, tc.why)
			}
		})
	}
}

// A pinned span goes to its node, and is no span to level numbers with.
func TestBalanceObeysPins(t *testing.T) {
	w := levelWorld(scheduler.BalanceConfig{CountTolerance: 0.1}, 4, 0)
	for i := range 4 {
		w.change(i, func(s *scheduler.Span) { s.Pin = "n00" })
	}
	if moves := w.fleet.Balance(w.now); len(moves) > 0 {
		t.Fatalf("pinned: %v", moves)
	}
	w.change(2, func(s *scheduler.Span) { s.Pin = "n01" })
	moves := w.fleet.Balance(w.now)
	if len(moves) != 1 || moves[0].To != "n01" || !strings.Contains(moves[0].Reason, "place.pin ties it to n01") {
		t.Fatalf("pinned elsewhere: %v", moves)
	}
}

func TestClassOf(t *testing.T) {
	for by, want := range map[record.By]string{
		record.ByPlacement: "failover", record.ByFailover: "failover", record.ByUser: "user", record.ByDrain: "drain",
		record.ByBalance: "balance", record.ByLoad: "split/merge", 0: "none",
	} {
		if got := scheduler.ClassOf(by); got.String() != want {
			t.Errorf("%s is of class %s, want %s", by, got, want)
		}
	}
}
