package scheduler_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

func evictees(from string, n int) []scheduler.Evictee {
	var out []scheduler.Evictee
	for i := range n {
		ref := operator.Ref{Keyspace: "k", ID: span.ID(fmt.Sprintf("%s-%03d", from, i))}
		out = append(out, scheduler.Evictee{Ref: ref, Workload: "gate", From: from})
	}
	return out
}

func targets(p scheduler.DrainPlan) map[string]int {
	m := map[string]int{}
	for _, mv := range p.Moves {
		m[mv.To]++
	}
	return m
}

// The spans of a drained node go where there are fewest, no more of them at a time than the budget has.
func TestDrainSpreads(t *testing.T) {
	ns := nodes(4)
	ns[0].Eligible, ns[0].Why, ns[0].Spans = false, "draining", 100
	ns[1].Spans, ns[2].Spans, ns[3].Spans = 4, 0, 2
	p := scheduler.Drain(evictees("n0", 100), ns, map[string]int{"n0": 9})
	if got := targets(p); len(p.Stuck) != 0 || !maps.Equal(got, map[string]int{"n1": 1, "n2": 5, "n3": 3}) {
		t.Errorf("%v, stuck %v", got, p.Stuck)
	}
	if p.Moves[0].Reason != "node n0 is drained" || p.Moves[0].From != "n0" || p.Moves[0].Ref.ID != "n0-000" {
		t.Errorf("%+v", p.Moves[0])
	}
}

func TestDrainSaysWhy(t *testing.T) {
	for _, tc := range []struct {
		why    string
		change func(*scheduler.Node)
		budget bool
	}{
		{"n1 is cordoned", func(n *scheduler.Node) { n.Eligible, n.Why = false, "cordoned" }, false},
		{"n1 does not run gate", func(n *scheduler.Node) { n.Workloads = []string{"mirror"} }, false},
		{"n1 is at its capacity of 3", func(n *scheduler.Node) { n.Spans, n.Capacity = 3, 3 }, false},
		{"as many openings in flight", func(n *scheduler.Node) { n.Budget = 0 }, true},
	} {
		ns := nodes(2) // the node itself looks eligible: it must not be its own target
		tc.change(&ns[1])
		p := scheduler.Drain(evictees("n0", 1), ns, map[string]int{"n0": 1})
		if len(p.Moves) != 0 || len(p.Stuck) != 1 || !strings.Contains(p.Stuck[0].Why, tc.why) || p.Stuck[0].Budget != tc.budget {
			t.Errorf("%s: %+v", tc.why, p)
		}
	}
}

// Whatever the cluster: budgets and capacities are kept, no target is one that may not take the span, each span is moved
// at most once, the order of the input does not matter, and from its own result there is nothing left to do.
func TestDrainProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.SliceOfNDistinct(rapid.Custom(drawNode), 0, 6, func(n scheduler.Node) string { return n.Name }).Draw(t, "nodes")
		budget := map[string]int{}
		var spans []scheduler.Evictee
		for i := range ns {
			if !rapid.Bool().Draw(t, "drained") {
				continue
			}
			ns[i].Eligible, ns[i].Why = false, "draining"
			budget[ns[i].Name] = rapid.IntRange(0, 10).Draw(t, "budget of the drained")
			some := evictees(ns[i].Name, rapid.IntRange(0, 15).Draw(t, "spans"))
			for j := range some {
				some[j].Workload = rapid.SampledFrom([]string{"gate", "mirror"}).Draw(t, "workload")
				some[j].Avoid = rapid.SliceOfN(rapid.SampledFrom([]string{"n1", "n2", "n3"}), 0, 2).Draw(t, "avoid")
			}
			spans = append(spans, some...)
		}
		p := scheduler.Drain(spans, ns, budget)
		checkDrain(t, p, spans, ns, budget)
		if d := cmp.Diff(p, scheduler.Drain(rapid.Permutation(spans).Draw(t, "order"), ns, budget)); d != "" {
			t.Fatalf("another order gives another plan:\n%s", d)
		}
		spans, ns, budget = carriedOut(p, spans, ns, budget)
		if again := scheduler.Drain(spans, ns, budget); len(again.Moves) > 0 {
			t.Fatalf("the plan leads to %+v", again.Moves)
		}
	})
}

func checkDrain(t *rapid.T, p scheduler.DrainPlan, spans []scheduler.Evictee, ns []scheduler.Node, budget map[string]int) {
	byRef := map[operator.Ref]scheduler.Evictee{}
	for _, s := range spans {
		byRef[s.Ref] = s
	}
	from, to := map[string]int{}, targets(p)
	for _, m := range p.Moves {
		s, ok := byRef[m.Ref]
		if !ok || s.From != m.From {
			t.Fatalf("%+v is none of the spans, or is moved twice", m)
		}
		delete(byRef, m.Ref)
		from[m.From]++
		i := slices.IndexFunc(ns, func(n scheduler.Node) bool { return n.Name == m.To })
		if i < 0 || !ns[i].Eligible || !slices.Contains(ns[i].Workloads, s.Workload) {
			t.Fatalf("%+v goes to a node that may not take it", m)
		}
	}
	for _, u := range p.Stuck {
		if _, ok := byRef[u.Ref]; !ok || u.Why == "" {
			t.Fatalf("%+v is moved as well, or has no reason", u)
		}
		delete(byRef, u.Ref)
	}
	for _, s := range byRef {
		if from[s.From] < budget[s.From] {
			t.Fatalf("%v is neither moved nor explained", s.Ref)
		}
	}
	for _, n := range ns {
		if from[n.Name] > budget[n.Name] || to[n.Name] > n.Budget || to[n.Name] > 0 && n.Capacity > 0 && n.Spans+to[n.Name] > n.Capacity {
			t.Fatalf("%+v: %d leave with a budget of %d, %d come", n, from[n.Name], budget[n.Name], to[n.Name])
		}
	}
}

// carriedOut is the cluster with the moves of a plan in flight.
func carriedOut(p scheduler.DrainPlan, spans []scheduler.Evictee, ns []scheduler.Node, budget map[string]int) ([]scheduler.Evictee, []scheduler.Node, map[string]int) {
	ns, budget = slices.Clone(ns), maps.Clone(budget)
	to := targets(p)
	moved := map[operator.Ref]bool{}
	for _, m := range p.Moves {
		moved[m.Ref] = true
		budget[m.From]--
	}
	for i := range ns {
		ns[i].Spans += to[ns[i].Name]
		ns[i].Budget -= to[ns[i].Name]
	}
	return slices.DeleteFunc(slices.Clone(spans), func(s scheduler.Evictee) bool { return moved[s.Ref] }), ns, budget
}
