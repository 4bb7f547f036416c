package maintainer

import (
	"cmp"
	"maps"
	"slices"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
)

// load is what a span has reported.
func (p *prospect) load(r operator.Ref) scheduler.Load { return p.loads[p.at[r]] }

// take adds a move to the plan.
func (p *prospect) take(mv scheduler.Move, by record.By) {
	s, _ := p.fleet.Span(mv.Ref)
	if s.Node, s.Settled = mv.To, false; s.Flight == (scheduler.Flight{}) {
		s.Flight = scheduler.Flight{Class: scheduler.ClassOf(by), From: mv.From, To: mv.To}
		s.Since = p.now
		p.fleet.SetSpan(s)
	}
	p.weigh(mv.From, -1, -p.weight(mv.Ref))
	p.weigh(mv.To, 1, p.weight(mv.Ref))
	o := p.operator(record.KindMove, by, mv.Reason, p.load(mv.Ref), mv.Ref)
	o.From, o.To = mv.From, mv.To
}

// takeSplit adds a split. What comes of it stays on the node.
func (p *prospect) takeSplit(s scheduler.Split) {
	o := p.operator(record.KindSplit, record.ByLoad, s.Reason, s.Load, s.Ref)
	o.From = s.Node
	for _, key := range s.At {
		o.At = append(o.At, []byte(key))
	}
	p.weigh(s.Node, int64(len(s.At)), 0)
}

// takeMerge adds a merge. Its sources are brought to where most of them are, among equals to the first by name.
func (p *prospect) takeMerge(m scheduler.Merge) {
	refs := make([]operator.Ref, len(m.Spans))
	has := map[string]int{}
	for i, id := range m.Spans {
		refs[i] = operator.Ref{Keyspace: m.Keyspace, ID: id}
		has[p.spans[p.at[refs[i]]].on.Node]++
	}
	to := slices.MinFunc(slices.Collect(maps.Keys(has)), func(a, b string) int {
		return cmp.Or(-cmp.Compare(has[a], has[b]), cmp.Compare(a, b))
	})
	for _, r := range refs {
		p.weigh(p.spans[p.at[r]].on.Node, -1, -p.weight(r))
		p.weigh(to, 0, p.weight(r))
	}
	p.weigh(to, 1, 0)
	p.operator(record.KindMerge, record.ByLoad, m.Reason, m.Load, refs...).To = to
}

// weight is the load of a span. One that is not known weighs nothing.
func (p *prospect) weight(r operator.Ref) float64 { return max(0, p.load(r).Load) }

// weigh changes what a node carries after the plan.
func (p *prospect) weigh(node string, spans int64, load float64) {
	n := p.shown[node]
	if n == nil {
		return
	}
	n.SpansAfter += spans
	n.LoadAfter += load
}

func (p *prospect) operator(kind record.Kind, by record.By, reason string, l scheduler.Load, refs ...operator.Ref) *controlv1.PlannedOperator {
	o := &controlv1.PlannedOperator{
		Type: record.KindName(kind), Keyspace: refs[0].Keyspace, By: record.ByName(by), Reason: reason,
		Load: wireNumber(l.Load), Size: wireNumber(l.Size),
	}
	for _, r := range refs {
		o.Spans = append(o.Spans, &controlv1.PlannedSpan{Id: string(r.ID), Revision: p.spans[p.at[r]].Mod})
	}
	p.operators = append(p.operators, o)
	return o
}

func wireNumber(x float64) *float64 {
	if x < 0 {
		return nil
	}
	return &x
}

// planPiece bounds the operators, and the stuck spans, of one message.
const planPiece = 1000

// pieces are the messages of an answer. There is always one.
func (p *prospect) pieces(send func(*controlv1.PlanResponse) error) error {
	first := &controlv1.PlanResponse{Revision: p.revision, Paused: p.paused}
	for _, name := range slices.Sorted(maps.Keys(p.shown)) {
		first.Nodes = append(first.Nodes, p.shown[name])
	}
	for piece := first; ; piece = new(controlv1.PlanResponse) {
		piece.Operators, p.operators = cut(p.operators)
		piece.Stuck, p.stuck = cut(p.stuck)
		if err := send(piece); err != nil || len(p.operators)+len(p.stuck) == 0 {
			return err
		}
	}
}

func cut[T any](all []T) (some, rest []T) {
	n := min(planPiece, len(all))
	return all[:n], all[n:]
}
