package scheduler_test

import (
	"math"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

// check: what is counted as being in flight is.
func (m *reshapeModel) check(t *rapid.T) {
	want := 0
	for _, op := range m.ops {
		if !op.stuck {
			want++
		}
	}
	for _, ks := range modelKeyspaces {
		inFlight, coming := m.fleet.Reshaping(ks)
		if inFlight != want || coming != m.coming(ks, "") {
			t.Fatalf("%d in flight, %d spans to come in %s; want %d and %d", inFlight, coming, ks, want, m.coming(ks, ""))
		}
	}
}

// coming is how many spans more there will be by splits in flight, of a keyspace or on a node.
func (m *reshapeModel) coming(ks, node string) (n int) {
	for _, op := range m.ops {
		if op.keyspace == ks || node != "" && op.node == node {
			n += op.more
		}
	}
	return n
}

// plan checks each part of a plan against what is known, then whether something was left out.
func (m *reshapeModel) plan(t *rapid.T) {
	m.told()
	again := m.fleet.FromScratch()
	look, told := m.fleet.NextReshape(m.now)
	splits, merges := m.fleet.SplitsAndMerges(m.now)
	splits2, merges2 := again.SplitsAndMerges(m.now)
	if d := cmp.Diff([]any{splits, merges}, []any{splits2, merges2}); d != "" {
		t.Fatalf("not what follows from scratch (-have +scratch):\n%s", d)
	}
	if len(splits)+len(merges) > 0 && (!told || look.After(m.now)) {
		t.Fatalf("there was something to plan, and the next time was %s %v", look, told)
	}
	for _, s := range splits {
		m.mayTake(t)
		m.splitRight(t, s)
	}
	for _, p := range merges {
		m.mayTake(t)
		m.mergeRight(t, p)
	}
	if m.roomInFlight() > 0 {
		m.nothingLeft(t)
		if at, ok := m.fleet.NextReshape(m.now); ok && !at.After(m.now) {
			t.Fatalf("nothing is left to plan, and the next time is %s ago", m.now.Sub(at))
		}
	}
	if a, ok := m.fleet.NextReshape(m.now); true {
		if b, ok2 := again.NextReshape(m.now); ok != ok2 || !a.Equal(b) {
			t.Fatalf("next at %v %v, from scratch at %v %v", a, ok, b, ok2)
		}
	}
	m.restDisplaced()
}

func (m *reshapeModel) roomInFlight() int {
	n := 0
	for _, op := range m.ops {
		if !op.stuck {
			n++
		}
	}
	if m.budget == 0 {
		return math.MaxInt
	}
	return m.budget - n
}

func (m *reshapeModel) mayTake(t *rapid.T) {
	if m.roomInFlight() <= 0 {
		t.Fatalf("more in flight than %d", m.budget)
	}
}

func (m *reshapeModel) after(s *modelSpan) time.Duration {
	c := m.cfg[s.Ref.Keyspace]
	if s.heat == 1 {
		return c.SplitAfter
	}
	return c.MergeAfter
}

// due: it has been as hot or cold as it is for long enough, and there is nothing else with it.
func (m *reshapeModel) due(s *modelSpan) bool {
	return m.ripe(s) && !m.step(s, s.rest).After(m.now) && !m.displaced(s)
}

func (m *reshapeModel) ripe(s *modelSpan) bool {
	return s.heat != 0 && s.reported && s.Settled && s.Node != "" && s.op == nil && s.Flight == scheduler.Flight{} &&
		!m.step(s, s.turned.Add(m.after(s))).After(m.now) && !m.step(s, s.Made.Add(m.cfg[s.Ref.Keyspace].MinAge)).After(m.now)
}

// step: cold spans become due only at times that are an eighth of merge.after apart, counted from the first time told.
func (m *reshapeModel) step(s *modelSpan, due time.Time) time.Time {
	step := m.after(s) / 8
	if s.heat != -1 || step == 0 {
		return due
	}
	at := m.epoch
	if at.Before(due) {
		at = at.Add(due.Sub(at).Truncate(step))
	}
	if at.Before(due) {
		at = at.Add(step)
	}
	return at
}

func (m *reshapeModel) displaced(s *modelSpan) bool {
	n, ok := m.nodes[s.Node]
	if _, lacks := s.Rules.Lacks(n); lacks {
		return true
	}
	return !ok || s.Pin != "" && s.Pin != s.Node
}

func (m *reshapeModel) restDisplaced() {
	for _, s := range m.spans {
		if m.ripe(s) && (m.displaced(s) || s.heat == 1 && m.roomOn(s.Node) < 1) {
			if until := m.restOf(s); until.After(s.looked) {
				s.looked = until
			}
		}
	}
}

func (m *reshapeModel) restOf(s *modelSpan) time.Time { return m.now.Add(max(time.Second, m.after(s))) }

func (m *reshapeModel) roomOn(node string) int {
	n := m.nodes[node]
	if n.Capacity == 0 {
		return math.MaxInt
	}
	room := n.Capacity - m.coming("", node)
	for _, s := range m.spans {
		if s.Node == node {
			room--
		}
	}
	return room
}

func (m *reshapeModel) room(ks string) int {
	most := m.cfg[ks].MaxSpans
	if most == 0 {
		return math.MaxInt
	}
	return most - len(m.of(ks)) - m.coming(ks, "")
}

func (m *reshapeModel) splitRight(t *rapid.T, p scheduler.Split) {
	s := m.spans[p.Ref]
	switch {
	case s == nil || !m.due(s) || s.heat != 1:
		t.Fatalf("must not be split: %+v of %+v", p, s)
	case p.Node != s.Node || p.Reason == "" || p.Load.Load != s.load.Load:
		t.Fatalf("not what was known of %+v: %+v", s, p)
	case len(p.At) > m.room(p.Ref.Keyspace) || len(p.At) > m.roomOn(s.Node):
		t.Fatalf("no room for %d more", len(p.At))
	}
	parts, err := s.Range.Split(p.At...)
	if err != nil {
		t.Fatal(err)
	}
	if c := m.cfg[p.Ref.Keyspace]; len(parts) < 2 || len(parts) > 8 || len(parts) > 2 && float64(len(parts)-1)*c.SplitLoad >= s.load.Load && (c.SplitSize == 0 || float64(len(parts)-1)*c.SplitSize >= s.load.Size) {
		t.Fatalf("%d parts are not what follows from %+v", len(parts), s.load)
	}
	m.begin(&modelOp{keyspace: p.Ref.Keyspace, node: s.Node, refs: []operator.Ref{p.Ref}, at: p.At, more: len(p.At)})
}

func (m *reshapeModel) mergeRight(t *rapid.T, p scheduler.Merge) {
	op := &modelOp{keyspace: p.Keyspace}
	var group []*modelSpan
	for _, id := range p.Spans {
		s := m.spans[ref(p.Keyspace, string(id))]
		if s == nil || !m.due(s) || s.heat != -1 {
			t.Fatalf("must not be merged: %+v in %+v", s, p)
		}
		op.refs = append(op.refs, s.Ref)
		group = append(group, s)
	}
	if len(group) < 2 || len(group) > 8 || !m.fits(group...) {
		t.Fatalf("cannot become one: %+v", p)
	}
	m.begin(op)
}

// fits: they touch, and are cold together.
func (m *reshapeModel) fits(group ...*modelSpan) bool {
	c := m.cfg[group[0].Ref.Keyspace]
	sum := scheduler.Load{Load: -1, Size: -1}
	for n, s := range group {
		if n > 0 && (group[n-1].Range.End == "" || group[n-1].Range.End != s.Range.Start || group[n-1].Pin != s.Pin) {
			return false
		}
		sum.Load, sum.Size = plus(sum.Load, s.load.Load), plus(sum.Size, s.load.Size)
	}
	return heatOf(c, sum) == -1 && (c.SplitLoad == 0 || sum.Load < c.SplitLoad/2) && (c.SplitSize == 0 || sum.Size < c.SplitSize/2)
}

func plus(a, b float64) float64 {
	if a < 0 || b < 0 {
		return max(a, b)
	}
	return a + b
}

func (m *reshapeModel) begin(op *modelOp) {
	for _, r := range op.refs {
		s := m.spans[r]
		s.rest = m.restOf(s)
		s.op = op
		s.Span, _ = m.fleet.Span(r)
	}
	m.ops = append(m.ops, op)
}

// nothingLeft: with room in flight, whatever could be done has been planned.
func (m *reshapeModel) nothingLeft(t *rapid.T) {
	for _, ks := range modelKeyspaces {
		spans := m.of(ks)
		for n, s := range spans {
			if !m.left(s) {
				continue
			}
			if s.heat == 1 && m.room(ks) > 0 && m.roomOn(s.Node) > 0 && divisible(s.Range, s.load.SplitKeys) {
				t.Fatalf("not split: %+v", s)
			}
			if n+1 < len(spans) && s.heat == -1 && spans[n+1].heat == -1 && m.left(spans[n+1]) && m.fits(s, spans[n+1]) {
				t.Fatalf("not merged: %+v %+v", s, spans[n+1])
			}
		}
	}
}

// left: nothing excuses that it is not planned.
func (m *reshapeModel) left(s *modelSpan) bool { return m.due(s) && !m.step(s, s.looked).After(m.now) }

func divisible(r span.Range, keys []string) bool {
	for _, k := range keys {
		if k != r.Start && r.Contains(k) {
			return true
		}
	}
	return false
}
