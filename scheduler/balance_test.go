package scheduler_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
)

// Whatever the cluster: each move is legal, no span is moved twice, budgets are kept, and the order in which the fleet was
// told of the cluster does not matter.
func TestBalanceProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, true)
		other := w.rebuilt(rapid.Uint64().Draw(t, "order"))
		moves := w.fleet.Balance(w.now)
		if d := cmp.Diff(moves, other.Balance(w.now)); d != "" {
			t.Fatalf("told in another order, the plan is another:\n%s", d)
		}
		w.checkMoves(t, moves)
		w.take(moves)
		w.checkBudgets(t, moves)
		if d := cmp.Diff(w.fleet.Nodes(), w.rebuilt(0).Nodes()); d != "" {
			t.Fatalf("the fleet has not noted its plan:\n%s", d)
		}
	})
}

// checkMoves looks at each move alone, and at what nodes have in the end.
func (w *world) checkMoves(t *rapid.T, moves []scheduler.Move) {
	seen := map[operator.Ref]bool{}
	got := w.on()
	for _, m := range moves {
		s := w.spans[m.Ref]
		if seen[m.Ref] {
			t.Fatalf("%+v: moved twice", m)
		}
		seen[m.Ref] = true
		to, ok := w.nodes[m.To]
		from := w.nodes[m.From]
		switch _, lacks := s.Rules.Lacks(to); {
		case m.From != s.Node || m.To == m.From || !ok || m.Reason == "":
			t.Fatalf("%+v: of %+v", m, s)
		case !s.Settled || s.Flight != scheduler.Flight{} || w.now.Sub(s.Since) < w.cfg.Cooldown:
			t.Fatalf("%+v: may not be moved: %+v", m, s)
		case !to.Eligible || !slices.Contains(to.Workloads, s.Workload) || lacks:
			t.Fatalf("%+v: the node may not take it: %+v", m, to)
		case s.Pin != "" && m.To != s.Pin || s.Pin == "" && slices.Contains(s.Avoid, m.To):
			t.Fatalf("%+v: goes where %+v must not be", m, s)
		}
		if _, lacked := s.Rules.Lacks(from); !lacked && s.Pin == "" && preferred(s.Rules, to) < preferred(s.Rules, from) {
			t.Fatalf("%+v: to a node that is preferred less", m)
		}
		got[m.From]--
		got[m.To]++
	}
	for _, m := range moves {
		if n := w.nodes[m.To]; n.Capacity > 0 && got[m.To] > n.Capacity {
			t.Fatalf("%s gets %d spans of %d", n.Name, got[m.To], n.Capacity)
		}
	}
}

func preferred(r *scheduler.Rules, n scheduler.Node) (held int) {
	if r == nil {
		return 0
	}
	for _, t := range r.Prefer {
		if v, ok := n.Labels[t.Label]; ok && slices.Contains(t.Values, v) {
			held++
		}
	}
	return held
}

// checkBudgets: no plan goes beyond a budget. What was in flight before may be more than that.
func (w *world) checkBudgets(t *rapid.T, moves []scheduler.Move) {
	all, byNode, bySpace := 0, map[string]int{}, map[string]int{}
	for r, s := range w.spans {
		if s.Flight.Class == scheduler.ClassBalance {
			all++
			bySpace[r.Keyspace]++
			byNode[s.Flight.From]++
			if s.Flight.To != s.Flight.From {
				byNode[s.Flight.To]++
			}
		}
	}
	for _, m := range moves {
		if c := w.cfg; beyond(all, c.InFlight) || beyond(bySpace[m.Ref.Keyspace], c.KeyspaceInFlight) ||
			beyond(byNode[m.From], c.NodeInFlight) || beyond(byNode[m.To], c.NodeInFlight) {
			t.Fatalf("%+v: %d in flight, %v, %v: beyond %+v", m, all, byNode, bySpace, c)
		}
	}
}

func beyond(n, limit int) bool { return limit > 0 && n > limit }

// Without limits a plan is whole: from its own result nothing follows.
func TestBalanceIsDoneInOneGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, false)
		w.take(w.fleet.Balance(w.now))
		if again := w.fleet.Balance(w.now); len(again) > 0 {
			t.Fatalf("its plan leads to %v", again)
		}
		if again := w.rebuilt(1).Balance(w.now); len(again) > 0 {
			t.Fatalf("its plan leads a fleet that is made anew to %v", again)
		}
	})
}

// Plan after plan, each carried out before the next and with any budget, comes to an end where nothing is left to do, also
// once everything has cooled down; and a fleet that was changed step by step is then one that is made anew.
func TestBalanceEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, rapid.Bool().Draw(t, "limits"))
		sum := 0
		for round := 0; ; round++ {
			if round > 400 {
				t.Fatalf("%d moves, and no end", sum)
			}
			moves := w.fleet.Balance(w.now)
			if _, later := w.fleet.NextBalance(w.now); len(moves) == 0 && !later {
				break
			}
			sum += len(moves)
			w.take(moves)
			w.finish(nil)
			w.now = w.now.Add(20 * time.Second)
		}
		if again := w.rebuilt(2).Balance(w.now); len(again) > 0 {
			t.Fatalf("a fleet that is made anew finds %v", again)
		}
	})
}

// Each move for numbers brings the sum of spans²/weight down, each for loads that of load²/weight; an exchange does so as a
// whole, and leaves the numbers alone.
func TestBalanceGoesDownhill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, false)
		spans, load := w.on(), w.loadOn()
		sums := func() (ofSpans, ofLoad float64) {
			for name, n := range w.nodes {
				weight := n.Weight
				if weight <= 0 {
					weight = 1
				}
				ofSpans += float64(spans[name]*spans[name]) / weight
				ofLoad += load[name] * load[name] / weight
			}
			return ofSpans, ofLoad
		}
		moves := w.fleet.Balance(w.now)
		for i := 0; i < len(moves); {
			step := moves[i : i+1]
			if strings.Contains(step[0].Reason, "in exchange") {
				step = moves[i : i+2]
				if a, b := step[0], step[1]; a.From != b.To || a.To != b.From || !strings.Contains(b.Reason, string(a.Ref.ID)+" goes to "+a.To+" in exchange") {
					t.Fatalf("half of an exchange: %+v", moves)
				}
			}
			i += len(step)
			spansBefore, loadBefore := sums()
			for _, m := range step {
				x := max(0, w.loads[m.Ref])
				spans[m.From]--
				spans[m.To]++
				load[m.From] -= x
				load[m.To] += x
			}
			spansAfter, loadAfter := sums()
			if strings.Contains(step[0].Reason, "carries") && spansAfter >= spansBefore ||
				strings.HasPrefix(step[0].Reason, "load") && loadAfter >= loadBefore || len(step) == 2 && math.Abs(spansAfter-spansBefore) > 1e-6 {
				t.Fatalf("%+v: of spans from %g to %g, of loads from %g to %g", step, spansBefore, spansAfter, loadBefore, loadAfter)
			}
		}
	})
}

// Nodes join one by one: each of them gets its share, nobody else gets anything, and then nothing happens.
func TestBalanceMovesNoMoreThanAShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(scheduler.BalanceConfig{CountTolerance: rapid.SampledFrom([]float64{0.01, 0.1, 0.3}).Draw(t, "tolerance")})
		n := rapid.IntRange(0, 400).Draw(t, "spans")
		w.node(plainNode("n00"))
		w.fill("n00", n)
		for k := 2; k < 20; k++ {
			name := "n" + string(rune('0'+k/10)) + string(rune('0'+k%10))
			w.node(plainNode(name))
			moves := w.fleet.Balance(w.now)
			if most := (n + k - 1) / k; len(moves) > most {
				t.Fatalf("%d moves for node %d and %d spans", len(moves), k, n)
			}
			for _, m := range moves {
				if m.To != name {
					t.Fatalf("%+v though %s has come", m, name)
				}
			}
			w.take(moves)
			w.finish(nil)
			w.now = w.now.Add(time.Minute)
			if again := w.fleet.Balance(w.now); len(again) > 0 {
				t.Fatalf("balanced, and then %v", again)
			}
		}
	})
}
