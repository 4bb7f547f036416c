package scheduler_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

// world is a cluster as it is, beside the fleet that is told of it.
type world struct {
	now   time.Time
	cfg   scheduler.BalanceConfig
	nodes map[string]scheduler.Node
	spans map[operator.Ref]scheduler.Span
	loads map[operator.Ref]float64
	fleet *scheduler.Fleet
}

func newWorld(cfg scheduler.BalanceConfig) *world {
	w := &world{
		now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), cfg: cfg, nodes: map[string]scheduler.Node{},
		spans: map[operator.Ref]scheduler.Span{}, loads: map[operator.Ref]float64{}, fleet: scheduler.NewFleet(),
	}
	w.fleet.Configure(cfg, 0)
	return w
}

func (w *world) node(n scheduler.Node) {
	w.nodes[n.Name] = n
	w.fleet.SetNode(n)
}

func (w *world) span(s scheduler.Span) {
	w.spans[s.Ref] = s
	w.fleet.SetSpan(s)
}

func (w *world) load(r operator.Ref, x float64) {
	w.loads[r] = x
	w.fleet.SetLoad(r, scheduler.Load{Load: x, Size: -1}, w.now)
}

// plainNode runs gate, and has no limits.
func plainNode(name string) scheduler.Node {
	return scheduler.Node{Name: name, Session: 1, Workloads: []string{"gate"}, Eligible: true}
}

// fill puts n spans of keyspace k on a node.
func (w *world) fill(node string, n int) {
	for range n {
		ref := refOf(len(w.spans))
		w.span(scheduler.Span{Ref: ref, Workload: "gate", Node: node, Settled: true})
	}
}

// take notes a plan as begun.
func (w *world) take(moves []scheduler.Move) {
	for _, m := range moves {
		s := w.spans[m.Ref]
		s.Node, s.Since, s.Settled = m.To, w.now, true
		s.Flight = scheduler.Flight{Class: scheduler.ClassBalance, From: m.From, To: m.To}
		w.spans[m.Ref] = s
	}
}

// finish ends what balance has in flight; refused says which of it was refused.
func (w *world) finish(refused func(operator.Ref) bool) {
	for _, r := range w.refs() {
		s := w.spans[r]
		if s.Flight.Class != scheduler.ClassBalance {
			continue
		}
		if refused != nil && refused(r) {
			s.Node, s.Since = s.Flight.From, time.Time{}
		}
		s.Flight = scheduler.Flight{}
		w.span(s)
	}
}

func (w *world) refs() []operator.Ref {
	var out []operator.Ref
	for r := range w.spans {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b operator.Ref) int { return compareRefs(a, b) })
	return out
}

func compareRefs(a, b operator.Ref) int {
	return slices.Compare([]string{a.Keyspace, string(a.ID)}, []string{b.Keyspace, string(b.ID)})
}

// rebuilt is another fleet that is told of the world as it is, in an order that follows from a seed.
func (w *world) rebuilt(seed uint64) *scheduler.Fleet {
	f := scheduler.NewFleet()
	f.Configure(w.cfg, 0)
	var tell []func()
	for _, name := range sortedKeys(w.nodes) {
		tell = append(tell, func() { f.SetNode(w.nodes[name]) })
	}
	for _, r := range w.refs() {
		tell = append(tell, func() {
			f.SetSpan(w.spans[r])
			if x, ok := w.loads[r]; ok {
				f.SetLoad(r, scheduler.Load{Load: x, Size: -1}, w.now)
			}
		})
	}
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(tell), func(i, j int) { tell[i], tell[j] = tell[j], tell[i] })
	for _, t := range tell {
		t()
	}
	return f
}

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// on counts the spans on nodes.
func (w *world) on() map[string]int {
	out := map[string]int{}
	for _, s := range w.spans {
		out[s.Node]++
	}
	return out
}

func (w *world) loadOn() map[string]float64 {
	out := map[string]float64{}
	for r, s := range w.spans {
		out[s.Node] += max(0, w.loads[r])
	}
	return out
}

var worldNodes = []string{"n1", "n2", "n3", "n4", "n5", "n6"}

func drawFleetNode(t *rapid.T, name string) scheduler.Node {
	n := scheduler.Node{Name: name, Session: 1, Workloads: []string{"gate"}, Labels: map[string]string{}}
	n.Eligible = rapid.IntRange(0, 4).Draw(t, "ineligible") != 0
	if !n.Eligible {
		n.Why = "cordoned"
	}
	if rapid.IntRange(0, 3).Draw(t, "mirror") == 0 {
		n.Workloads = []string{"mirror"}
	}
	n.Capacity = rapid.SampledFrom([]int{0, 0, 0, 5, 12}).Draw(t, "capacity")
	n.Weight = rapid.SampledFrom([]float64{0, 1, 1, 2.5, 0.5}).Draw(t, "weight")
	if zone := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "zone"); zone != "" {
		n.Labels["zone"] = zone
	}
	if rapid.Bool().Draw(t, "ssd") {
		n.Labels["disk"] = "ssd"
	}
	return n
}

func drawFleetRules(t *rapid.T) *scheduler.Rules {
	set := map[string]string{}
	for name, values := range map[string][]string{
		"place.require": {"", "", "zone=a|b", "disk=ssd"}, "place.prefer": {"", "", "disk=ssd", "zone=b,disk=ssd"}, "place.spread": {"", "", "zone", "node"},
	} {
		set[name] = rapid.SampledFrom(values).Draw(t, name)
	}
	r, err := scheduler.ParseRules(set)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// drawSpan is a span of one of two keyspaces.
func (w *world) drawSpan(t *rapid.T, id int, rules map[string]*scheduler.Rules) scheduler.Span {
	ks := rapid.SampledFrom([]string{"k1", "k2"}).Draw(t, "keyspace")
	s := scheduler.Span{Ref: operator.Ref{Keyspace: ks, ID: span.ID(fmt.Sprint("s", id))}, Workload: "gate", Rules: rules[ks]}
	s.Node = rapid.SampledFrom(append([]string{"", "gone", "n1", "n1", "n1"}, worldNodes...)).Draw(t, "node")
	s.Settled = s.Node != "" && rapid.IntRange(0, 7).Draw(t, "unsettled") != 0
	if rapid.IntRange(0, 9).Draw(t, "pinned") == 0 {
		s.Pin = rapid.SampledFrom(worldNodes).Draw(t, "pin")
	}
	if rapid.IntRange(0, 9).Draw(t, "flies") == 0 {
		s.Flight = scheduler.Flight{
			Class: scheduler.Class(rapid.IntRange(0, 5).Draw(t, "class")),
			From:  rapid.SampledFrom(worldNodes).Draw(t, "from"), To: s.Node,
		}
	}
	s.Avoid = rapid.SliceOfN(rapid.SampledFrom(worldNodes), 0, 1).Draw(t, "avoid")
	if ago := rapid.IntRange(0, 5).Draw(t, "since"); ago > 0 {
		s.Since = w.now.Add(-time.Duration(ago) * 15 * time.Second)
	}
	return s
}

func drawBalanceConfig(t *rapid.T, limits bool) scheduler.BalanceConfig {
	c := scheduler.BalanceConfig{
		CountTolerance: rapid.SampledFrom([]float64{0.01, 0.1, 0.5}).Draw(t, "count tolerance"),
		LoadTolerance:  rapid.SampledFrom([]float64{0.05, 0.25, 1}).Draw(t, "load tolerance"),
		Cooldown:       rapid.SampledFrom([]time.Duration{0, 30 * time.Second, time.Minute}).Draw(t, "cooldown"),
	}
	if limits {
		c.InFlight = rapid.IntRange(0, 6).Draw(t, "in flight")
		c.NodeInFlight = rapid.IntRange(0, 4).Draw(t, "in flight by node")
		c.KeyspaceInFlight = rapid.IntRange(0, 4).Draw(t, "in flight by keyspace")
	}
	return c
}

func drawWorld(t *rapid.T, limits bool) *world {
	w := newWorld(drawBalanceConfig(t, limits))
	for _, name := range worldNodes {
		if rapid.IntRange(0, 4).Draw(t, "missing") != 0 {
			w.node(drawFleetNode(t, name))
		}
	}
	rules := map[string]*scheduler.Rules{"k1": drawFleetRules(t), "k2": drawFleetRules(t)}
	uneven := rapid.Bool().Draw(t, "uneven loads")
	for i := range rapid.IntRange(0, 40).Draw(t, "spans") {
		s := w.drawSpan(t, i, rules)
		w.span(s)
		switch unknown := rapid.IntRange(0, 3).Draw(t, "unknown load") == 0; {
		case unknown:
		case uneven:
			w.load(s.Ref, 60/float64(rapid.IntRange(1, 40).Draw(t, "rank")))
		default:
			w.load(s.Ref, rapid.SampledFrom([]float64{0, 1, 1, 1.3, 2, 5, 40}).Draw(t, "load"))
		}
	}
	return w
}

// refOf is the span that fill has made as the i-th.
func refOf(i int) operator.Ref {
	return operator.Ref{Keyspace: "k", ID: span.ID(fmt.Sprintf("%06d", i))}
}

func (w *world) change(i int, f func(*scheduler.Span)) {
	s := w.spans[refOf(i)]
	f(&s)
	w.span(s)
}

// rule gives one span a rule.
func (w *world) rule(i int, name, value string) {
	r, err := scheduler.ParseRules(map[string]string{name: value})
	if err != nil {
		panic(err)
	}
	w.change(i, func(s *scheduler.Span) { s.Rules = r })
}
