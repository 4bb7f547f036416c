package maintainer

import (
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
)

// failOperator ends an operator that cannot be carried out and that nobody acts on.
func (l *loop) failOperator(a operator.Fail) {
	first := a.Members[0]
	l.log.Info("operator failed", refField(first.Ref), zap.String("operator", first.Intent.Operator), zap.String("why", a.Why))
	l.enqueue(write{
		ref: first.Ref, point: "maintainer/any/fail",
		part: operator.End(l.m.cfg.Layout, operator.EarlyEnd{
			Members: l.unclaimed(a.Members), Outcome: record.OutcomeFailed, Error: a.Why,
		}, time.Now()),
	})
}

// swap makes the children of a split or a merge whose owners are all gone.
func (l *loop) swap(a operator.Swap) string {
	first := a.Members[0]
	for _, m := range a.Members {
		if l.progress.deferred(m.Ref) {
			return "its position is being written"
		}
	}
	kind := record.KindName(first.Intent.Kind)
	part, err := operator.SwapOwnerless(l.m.cfg.Layout, l.unclaimed(a.Members), time.Now())
	if err != nil {
		l.failOperator(operator.Fail{Members: a.Members, Why: err.Error()})
		return ""
	}
	l.log.Info("no owner is left: the leader makes the spans", refField(first.Ref), zap.String("operator", first.Intent.Operator), zap.String("kind", kind))
	l.enqueue(write{ref: first.Ref, point: "maintainer/" + kind + "/swap", part: part, alone: true})
	return ""
}

// unclaimed are members that nobody acts on, with the highest positions that are known to be durable.
func (l *loop) unclaimed(members []operator.Member) []operator.Held {
	out := make([]operator.Held, len(members))
	for n, m := range members {
		out[n] = operator.Held{Span: m.Span, At: l.position(m.Ref)}
	}
	return out
}
