package scheduler_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

func wants(n int) []scheduler.Want {
	var ws []scheduler.Want
	for i := range n {
		ws = append(ws, scheduler.Want{Ref: operator.Ref{Keyspace: "k", ID: span.ID(fmt.Sprint("s", i))}, Workload: "gate"})
	}
	return ws
}

func nodes(n int) []scheduler.Node {
	var ns []scheduler.Node
	for i := range n {
		ns = append(ns, scheduler.Node{
			Name: fmt.Sprint("n", i), Session: int64(i + 1), Workloads: []string{"gate"}, Eligible: true, Budget: 1 << 20,
		})
	}
	return ns
}

func counts(as []scheduler.Assignment) map[string]int {
	m := map[string]int{}
	for _, a := range as {
		m[a.Node]++
	}
	return m
}

func TestPlaceSpreadsEvenly(t *testing.T) {
	placed, left := scheduler.Place(wants(10_000), nodes(10))
	if len(left) != 0 {
		t.Fatalf("left %v", left[:1])
	}
	for n, c := range counts(placed) {
		if c != 1000 {
			t.Errorf("%s got %d of 10000 over 10", n, c)
		}
	}
}

func TestPlaceFillsTheEmptyNodeFirst(t *testing.T) {
	ns := nodes(3)
	ns[0].Spans, ns[1].Spans = 10, 10
	placed, _ := scheduler.Place(wants(10), ns)
	if got := counts(placed); got["n2"] != 10 {
		t.Fatalf("got %v, want everything on the node that had nothing", got)
	}
}

func TestPlaceByWeight(t *testing.T) {
	ns := nodes(2)
	ns[1].Weight = 3
	placed, _ := scheduler.Place(wants(40), ns)
	if got := counts(placed); got["n0"] != 10 || got["n1"] != 30 {
		t.Fatalf("got %v, want 10 and 30", got)
	}
}

func TestPlaceSaysWhy(t *testing.T) {
	cordoned := scheduler.Node{Name: "n0", Workloads: []string{"gate"}, Why: "cordoned", Budget: 9}
	full := scheduler.Node{Name: "n0", Workloads: []string{"gate"}, Eligible: true, Spans: 5, Capacity: 5, Budget: 9}
	other := scheduler.Node{Name: "n0", Workloads: []string{"mirror"}, Eligible: true, Budget: 9}
	busy := scheduler.Node{Name: "n0", Workloads: []string{"gate"}, Eligible: true}
	for _, tc := range []struct {
		name  string
		nodes []scheduler.Node
		only  string
		want  string
	}{
		{"none", nil, "", "no node is registered"},
		{"cordoned", []scheduler.Node{cordoned}, "", "n0 is cordoned"},
		{"full", []scheduler.Node{full}, "", "n0 is at its capacity of 5"},
		{"workload", []scheduler.Node{other}, "", "n0 does not run gate"},
		{"busy", []scheduler.Node{busy}, "", "every eligible node has as many openings in flight as it may"},
		{"target gone", nodes(1), "n7", "n7 is gone"},
		{"target cordoned", []scheduler.Node{cordoned}, "n0", "n0 is cordoned"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ws := wants(1)
			ws[0].Only = tc.only
			placed, left := scheduler.Place(ws, tc.nodes)
			if len(placed) != 0 || len(left) != 1 || left[0].Why != tc.want {
				t.Fatalf("placed %v, left %+v; want %q", placed, left, tc.want)
			}
		})
	}
}

func TestPlaceAvoidsTheNodeThatFailed(t *testing.T) {
	ns := nodes(2)
	ns[1].Spans = 100 // far more loaded, and still better than the one that fails
	ws := wants(1)
	ws[0].Avoid = []string{"n0"}
	placed, _ := scheduler.Place(ws, ns)
	if placed[0].Node != "n1" {
		t.Fatalf("placed on %s", placed[0].Node)
	}
	placed, _ = scheduler.Place(ws, ns[:1])
	if len(placed) != 1 {
		t.Fatal("the only node must get it again")
	}
}

// Two nodes that fail do not pass a span to and fro while a third one, which carries more, could run it. If all have
// failed it goes round.
func TestPlaceAvoidsAllThatFailed(t *testing.T) {
	ns := nodes(3)
	ns[2].Spans = 100
	ws := wants(1)
	for _, tc := range []struct {
		avoid []string
		want  string
	}{
		{[]string{"n0", "n1"}, "n2"},
		{[]string{"n1", "n0"}, "n2"},
		{[]string{"n0", "n1", "n2"}, "n0"},
		{[]string{"n2", "n1", "n0"}, "n2"},
		{[]string{"gone", "n0"}, "n1"},
	} {
		ws[0].Avoid = tc.avoid
		if placed, _ := scheduler.Place(ws, ns); placed[0].Node != tc.want {
			t.Errorf("avoiding %v: placed on %s, want %s", tc.avoid, placed[0].Node, tc.want)
		}
	}
}

func TestPlacePrefersTheLastNode(t *testing.T) {
	ns := nodes(2)
	ns[1].Spans = 3
	ws := wants(1)
	ws[0].Prefer = "n1"
	if placed, _ := scheduler.Place(ws, ns); placed[0].Node != "n1" {
		t.Fatalf("placed on %s", placed[0].Node)
	}
}

// Whatever the nodes: every span is placed once or explained once, on an eligible node that runs its workload,
// within capacity and budget, and nothing is left over while a node could have taken it.
func TestPlaceProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.SliceOfNDistinct(rapid.Custom(drawNode), 0, 6, func(n scheduler.Node) string { return n.Name }).Draw(t, "nodes")
		ws := wants(rapid.IntRange(0, 30).Draw(t, "spans"))
		for i := range ws {
			ws[i].Workload = rapid.SampledFrom([]string{"gate", "mirror"}).Draw(t, "workload")
			ws[i].Avoid = rapid.SliceOfN(rapid.SampledFrom([]string{"n1", "n2", "n3"}), 0, 3).Draw(t, "avoid")
			ws[i].Prefer = rapid.SampledFrom([]string{"", "", "n3"}).Draw(t, "prefer")
		}
		placed, left := scheduler.Place(ws, ns)
		checkOnce(t, ws, placed, left)
		free := checkLimits(t, ns, ws, placed)
		for _, u := range left {
			for name, f := range free {
				if f.open && hasWorkload(ns, name, workloadOf(ws, u.Ref)) {
					t.Fatalf("%v was left over (%s) though %s could take it", u.Ref, u.Why, name)
				}
			}
		}
	})
}

func drawNode(t *rapid.T) scheduler.Node {
	return scheduler.Node{
		Name:      rapid.SampledFrom([]string{"n1", "n2", "n3", "n4", "n5", "n6"}).Draw(t, "name"),
		Workloads: rapid.SampledFrom([][]string{{"gate"}, {"mirror"}, {"gate", "mirror"}, nil}).Draw(t, "workloads"),
		Eligible:  rapid.Bool().Draw(t, "eligible"),
		Spans:     rapid.IntRange(0, 9).Draw(t, "spans"),
		Capacity:  rapid.SampledFrom([]int{0, 5, 12}).Draw(t, "capacity"),
		Weight:    rapid.SampledFrom([]float64{0, 1, 2.5}).Draw(t, "weight"),
		Budget:    rapid.IntRange(0, 12).Draw(t, "budget"),
	}
}

func checkOnce(t *rapid.T, ws []scheduler.Want, placed []scheduler.Assignment, left []scheduler.Unplaced) {
	seen := map[operator.Ref]int{}
	for _, a := range placed {
		seen[a.Ref]++
	}
	for _, u := range left {
		seen[u.Ref]++
	}
	for _, w := range ws {
		if seen[w.Ref] != 1 {
			t.Fatalf("%v answered %d times", w.Ref, seen[w.Ref])
		}
	}
}

type room struct{ open bool }

func checkLimits(t *rapid.T, ns []scheduler.Node, ws []scheduler.Want, placed []scheduler.Assignment) map[string]room {
	free := map[string]room{}
	got := counts(placed)
	for _, n := range ns {
		c := got[n.Name]
		if c > 0 && !n.Eligible || c > n.Budget || c > 0 && n.Capacity > 0 && n.Spans+c > n.Capacity {
			t.Fatalf("%+v got %d", n, c)
		}
		free[n.Name] = room{n.Eligible && c < n.Budget && (n.Capacity == 0 || n.Spans+c < n.Capacity)}
	}
	for _, a := range placed {
		if !hasWorkload(ns, a.Node, workloadOf(ws, a.Ref)) {
			t.Fatalf("%s cannot run %v", a.Node, a.Ref)
		}
	}
	return free
}

func workloadOf(ws []scheduler.Want, r operator.Ref) string {
	for _, w := range ws {
		if w.Ref == r {
			return w.Workload
		}
	}
	return ""
}

func hasWorkload(ns []scheduler.Node, name, workload string) bool {
	for _, n := range ns {
		if n.Name == name {
			for _, w := range n.Workloads {
				if w == workload {
					return true
				}
			}
		}
	}
	return false
}

func BenchmarkPlace10k(b *testing.B) {
	ws := wants(10_000)
	for b.Loop() {
		scheduler.Place(ws, nodes(10))
	}
}
