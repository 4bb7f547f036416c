package scheduler_test

import (
	"fmt"
	"slices"
	"sort"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

// Whatever happens to a cluster, no plan splits or merges what it must not, and none leaves undone what it could do; and it is
// the one that a fleet would make that had been told all of it just now.
func TestReshapeModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newReshapeModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"":          m.check,
			"pass":      m.pass,
			"calm":      m.calm,
			"report":    m.report,
			"report2":   m.report,
			"report3":   m.report,
			"plan":      m.plan,
			"plan2":     m.plan,
			"finish":    m.finish,
			"refuse":    m.refuse,
			"stick":     m.stick,
			"unsettle":  m.unsettle,
			"move":      m.move,
			"pin":       m.pin,
			"user":      m.user,
			"inherit":   m.inherit,
			"node":      m.node,
			"configure": m.configure,
			"remove":    m.remove,
			"add":       m.add,
		})
	})
}

// modelSpan is what everybody can know of a span.
type modelSpan struct {
	scheduler.Span
	load   scheduler.Load
	at     time.Time
	heat   int // 1 is hot, -1 cold
	turned time.Time
	rest   time.Time
	// looked is until when it may be left alone, since it was where it must not be split or merged.
	looked   time.Time
	op       *modelOp
	reported bool
}

type modelOp struct {
	keyspace string
	node     string
	refs     []operator.Ref
	at       []string
	// more is how many spans there will be in addition, as far as is known.
	more int
	// stuck operators take no room of others.
	stuck bool
}

type reshapeModel struct {
	fleet *scheduler.Fleet
	now   time.Time
	// epoch is the first time that the fleet was told.
	epoch  time.Time
	spans  map[operator.Ref]*modelSpan
	nodes  map[string]scheduler.Node
	cfg    map[string]scheduler.ReshapeConfig
	budget int
	ops    []*modelOp
	seq    int
}

var modelKeyspaces = []string{"j", "k"}

func newReshapeModel(t *rapid.T) *reshapeModel {
	m := &reshapeModel{
		fleet: scheduler.NewFleet(), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), spans: map[operator.Ref]*modelSpan{},
		nodes: map[string]scheduler.Node{}, cfg: map[string]scheduler.ReshapeConfig{},
	}
	for _, name := range []string{"n1", "n2", "n3"} {
		m.setNode(scheduler.Node{Name: name, Session: 1, Workloads: []string{"gate"}, Eligible: true})
	}
	for range 2 {
		m.configure(t)
	}
	for _, ks := range modelKeyspaces {
		bounds := []string{"", "b", "d", "f", "h", "k", "n", "q", "t", "w", ""}
		for i := range len(bounds) - 1 {
			m.put(ks, span.Range{Start: bounds[i], End: bounds[i+1]}, rapid.SampledFrom([]string{"n1", "n1", "n2"}).Draw(t, "on"))
		}
	}
	return m
}

func (m *reshapeModel) setNode(n scheduler.Node) {
	m.nodes[n.Name] = n
	m.fleet.SetNode(n)
}

func (m *reshapeModel) put(ks string, r span.Range, node string) {
	m.seq++
	s := &modelSpan{Span: scheduler.Span{
		Ref: ref(ks, fmt.Sprintf("s%d", m.seq)), Range: r, Workload: "gate", Node: node, Settled: true, Made: m.now, Since: m.now,
	}}
	m.spans[s.Ref] = s
	m.fleet.SetSpan(s.Span)
}

// configure changes the settings of one keyspace, and sometimes the budget.
func (m *reshapeModel) configure(t *rapid.T) {
	ks := rapid.SampledFrom(modelKeyspaces).Draw(t, "keyspace")
	pick := func(name string, xs ...float64) float64 { return rapid.SampledFrom(xs).Draw(t, name) }
	after := func(name string) time.Duration {
		return time.Duration(pick(name, 0, 1, 10, 30)) * time.Second
	}
	c := scheduler.ReshapeConfig{
		SplitLoad: pick("split.load", 0, 100, 100, 50), SplitSize: pick("split.size", 0, 0, 40), SplitAfter: after("split.after"),
		MergeLoad: pick("merge.load", 0, 30, 30, 60), MergeSize: pick("merge.size", 0, 0, 30), MergeAfter: after("merge.after"),
		MinAge: after("age"), MaxSpans: int(pick("max-spans", 0, 12, 15)),
	}
	was := m.cfg[ks]
	m.cfg[ks] = c
	m.fleet.SetKeyspace(ks, c)
	for _, s := range m.of(ks) {
		h := heatOf(c, s.load)
		anew := s.heat == 1 && (c.SplitLoad != was.SplitLoad || c.SplitSize != was.SplitSize) ||
			s.heat == -1 && (c.MergeLoad != was.MergeLoad || c.MergeSize != was.MergeSize)
		if s.reported && (anew || h != s.heat) {
			s.heat, s.turned = h, s.at
		}
	}
	m.budget = rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "budget")
	m.fleet.Configure(scheduler.BalanceConfig{}, m.budget)
}

func heatOf(c scheduler.ReshapeConfig, l scheduler.Load) int {
	switch {
	case c.SplitLoad > 0 && l.Load > c.SplitLoad, c.SplitSize > 0 && l.Size > c.SplitSize:
		return 1
	case c.MergeLoad > 0 && l.Load >= 0 && l.Load <= c.MergeLoad && (c.MergeSize == 0 || l.Size >= 0 && l.Size <= c.MergeSize):
		return -1
	}
	return 0
}

func (m *reshapeModel) pass(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.SampledFrom([]int{1, 5, 10, 40}).Draw(t, "seconds")) * time.Second)
}

func (m *reshapeModel) any(t *rapid.T) *modelSpan {
	all := append(m.of("j"), m.of("k")...)
	if len(all) == 0 {
		t.Skip("no spans")
	}
	return rapid.SampledFrom(all).Draw(t, "span")
}

// of are the spans of a keyspace, in the order of their ranges.
func (m *reshapeModel) of(ks string) (out []*modelSpan) {
	for _, s := range m.spans {
		if s.Ref.Keyspace == ks {
			out = append(out, s)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Range.Compare(out[j].Range) < 0 })
	return out
}

func (m *reshapeModel) report(t *rapid.T) {
	m.hear(m.any(t), scheduler.Load{
		Load: rapid.SampledFrom([]float64{-1, 0, 10, 15, 30, 60, 101, 250, 2000}).Draw(t, "load"),
		Size: rapid.SampledFrom([]float64{-1, 0, 10, 50}).Draw(t, "size"),
		SplitKeys: rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b", "bb", "c", "e", "ee", "g", "i", "l", "o", "r", "u", "x", "y"}), 0, 8).
			Draw(t, "keys"),
	})
}

// calm: a whole keyspace has next to nothing to do.
func (m *reshapeModel) calm(t *rapid.T) {
	for _, s := range m.of(rapid.SampledFrom(modelKeyspaces).Draw(t, "keyspace")) {
		m.hear(s, scheduler.Load{
			Load: rapid.SampledFrom([]float64{0, 1, 5, 12, 25}).Draw(t, "load"), Size: rapid.SampledFrom([]float64{-1, 0, 1, 10}).Draw(t, "size"),
		})
	}
}

// hear is how a report reaches both.
func (m *reshapeModel) hear(s *modelSpan, l scheduler.Load) {
	m.told()
	s.load, s.at = l, m.now
	if h := heatOf(m.cfg[s.Ref.Keyspace], l); !s.reported || h != s.heat {
		s.heat, s.turned = h, m.now
	}
	s.reported = true
	m.fleet.SetLoad(s.Ref, l, m.now)
}

// told: the fleet gets to know what time it is.
func (m *reshapeModel) told() {
	if m.epoch.IsZero() {
		m.epoch = m.now
	}
}

// tell has the fleet know how a span is.
func (m *reshapeModel) tell(s *modelSpan) { m.fleet.SetSpan(s.Span) }

func (m *reshapeModel) unsettle(t *rapid.T) {
	s := m.any(t)
	if s.op == nil {
		s.Settled = !s.Settled
		m.tell(s)
	}
}

func (m *reshapeModel) move(t *rapid.T) {
	s := m.any(t)
	if s.op == nil {
		s.Node = rapid.SampledFrom([]string{"", "n1", "n2", "n3"}).Draw(t, "node")
		m.tell(s)
	}
}

func (m *reshapeModel) pin(t *rapid.T) {
	s := m.any(t)
	s.Pin = rapid.SampledFrom([]string{"", "", "n1"}).Draw(t, "pin")
	s.Rules = rapid.SampledFrom([]*scheduler.Rules{nil, nil, fastOnly}).Draw(t, "rules")
	m.tell(s)
}

var fastOnly = &scheduler.Rules{Require: scheduler.Terms{{Label: "disk", Values: []string{"ssd"}}}}

// user begins or ends something on a span.
func (m *reshapeModel) user(t *rapid.T) {
	s := m.any(t)
	if s.op != nil {
		return
	}
	if s.Flight == (scheduler.Flight{}) {
		s.Flight = scheduler.Flight{Class: scheduler.ClassUser, From: s.Node, To: "n1"}
	} else {
		s.Flight = scheduler.Flight{}
	}
	m.tell(s)
}

func (m *reshapeModel) node(t *rapid.T) {
	name := rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(t, "node")
	if rapid.IntRange(0, 3).Draw(t, "gone") == 0 {
		delete(m.nodes, name)
		m.fleet.RemoveNode(name)
		return
	}
	labels := rapid.SampledFrom([]map[string]string{nil, {"disk": "ssd"}}).Draw(t, "labels")
	capacity := rapid.SampledFrom([]int{0, 0, 14}).Draw(t, "capacity")
	m.setNode(scheduler.Node{Name: name, Session: 1, Workloads: []string{"gate"}, Eligible: true, Labels: labels, Capacity: capacity})
}

func (m *reshapeModel) remove(t *rapid.T) {
	if s := m.any(t); s.op == nil {
		delete(m.spans, s.Ref)
		m.fleet.RemoveSpan(s.Ref)
	}
}

// add fills the first hole of a keyspace.
func (m *reshapeModel) add(t *rapid.T) {
	ks := rapid.SampledFrom(modelKeyspaces).Draw(t, "keyspace")
	var there []span.Range
	for _, s := range m.of(ks) {
		there = append(there, s.Range)
	}
	if holes := span.Holes(there, span.Range{}); len(holes) > 0 {
		m.put(ks, holes[0], "n2")
	}
}

func (m *reshapeModel) oneOp(t *rapid.T) *modelOp {
	if len(m.ops) == 0 {
		t.Skip("nothing in flight")
	}
	op := rapid.SampledFrom(m.ops).Draw(t, "op")
	m.ops = slices.DeleteFunc(m.ops, func(o *modelOp) bool { return o == op })
	return op
}

// finish carries an operator out: the sources go, and what they become comes.
func (m *reshapeModel) finish(t *rapid.T) {
	op := m.oneOp(t)
	first := m.spans[op.refs[0]]
	parts := []span.Range{{Start: first.Range.Start, End: m.spans[op.refs[len(op.refs)-1]].Range.End}}
	if len(op.at) > 0 {
		var err error
		if parts, err = first.Range.Split(op.at...); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range op.refs {
		delete(m.spans, r)
		m.fleet.RemoveSpan(r)
	}
	for _, p := range parts {
		m.put(op.keyspace, p, first.Node)
	}
}

// refuse: the spans are as they were before, first not certainly so.
func (m *reshapeModel) refuse(t *rapid.T) {
	op := m.oneOp(t)
	for _, settled := range []bool{false, true} {
		for _, r := range op.refs {
			s := m.spans[r]
			s.op, s.Flight, s.Settled = nil, scheduler.Flight{}, settled
			m.tell(s)
		}
	}
}

// stick: an operator gets stuck, or it is not certain whether there is one.
func (m *reshapeModel) stick(t *rapid.T) {
	op := m.oneOp(t)
	m.ops = append(m.ops, op)
	op.stuck = true
	stuck := rapid.Bool().Draw(t, "certain")
	for _, r := range op.refs {
		s, flight := m.spans[r], scheduler.Flight{}
		if stuck {
			flight.From = "n1"
		}
		s.Flight, s.Settled = flight, false
		m.tell(s)
	}
}

// inherit: an operator is in flight of which nobody knows what it is.
func (m *reshapeModel) inherit(t *rapid.T) {
	s := m.any(t)
	if s.op != nil {
		return
	}
	op := &modelOp{keyspace: s.Ref.Keyspace, node: s.Node, refs: []operator.Ref{s.Ref}, more: 7}
	m.ops = append(m.ops, op)
	s.op, s.Flight = op, scheduler.Flight{Class: scheduler.ClassReshape}
	m.tell(s)
}
