package maintainer

import (
	"context"
	"fmt"
	"slices"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/view"
)

// removeSpan takes the place of whatever holds the span. Where nobody acts the leader writes that, together with the end
// of the operator before; else whoever acts does, asked by the leader.
func (c *control) removeSpan(ctx context.Context, t *term, q *controlv1.RemoveSpanRequest) (*controlv1.RemoveSpanResponse, error) {
	id, err := c.accept(ctx, t, "remove", "", q, once(func(s *view.State, who asker) (plan, error) {
		return c.planRemove(s, t, who, q)
	}))
	if err != nil {
		return nil, err
	}
	return &controlv1.RemoveSpanResponse{Operator: c.operator(id)}, nil
}

func (c *control) planRemove(s *view.State, t *term, who asker, q *controlv1.RemoveSpanRequest) (plan, error) {
	ks, err := keyspaceNamed(s, "keyspace", q.GetKeyspace())
	if err != nil {
		return plan{}, err
	}
	sp, err := spanNamed(s, ks.Name, q.GetSpan())
	if err != nil {
		return plan{}, err
	}
	if i := sp.Intent; i != nil && i.Kind == record.KindRemove {
		return plan{}, busyWith(sp)
	}
	if err := checkState(ks, record.KeyspaceRunning, record.KeyspacePaused); err != nil {
		return plan{}, err
	}
	if sp.Intent == nil && s.Claim(sp.Ref) == nil {
		return c.planOn(t, sp, who, record.KindRemove, ""), nil
	}
	if err := checkReadable(s, sp); err != nil {
		return plan{}, err
	}
	return c.planSupersede(s, t, sp, who), nil
}

func (c *control) planSupersede(s *view.State, t *term, sp *view.Span, who asker) plan {
	i := who.intent(t.nextOperator(), record.KindRemove, time.Now())
	i.From, i.Spans = sp.Owner.Node, []string{string(sp.ID)}
	members := []*view.Span{sp}
	if sp.Intent != nil {
		members = append(members, peersOf(sp, s.OfOperator(sp.Intent.Operator))...)
	}
	v := endOf(s, members)
	v.action, v.cause, v.successor = sessionv1.Ask_ACTION_SUPERSEDE, who.cause(i.Operator), i
	return c.planEnd(i.Operator, v)
}

// peersOf are the members of an operator but one.
func peersOf(sp *view.Span, members []*view.Span) []*view.Span {
	return slices.DeleteFunc(members, func(m *view.Span) bool { return m.Ref == sp.Ref })
}

// busyWith is the refusal of a change to a span that an operator holds.
func busyWith(sp *view.Span) error {
	i := sp.Intent
	busy := fault.New(fault.SpanBusy, "is held by operator %s, a %s%s", i.Operator, record.KindName(i.Kind), target(i.To)).
		On("span", string(sp.ID)).Fix("wait until that is over, or `spanward operator cancel %s`; see `spanward operator show %s`", i.Operator, i.Operator)
	if i.Kind == record.KindRemove {
		busy.Message = fmt.Sprintf("is already being removed by operator %s", i.Operator)
		return busy.Fix("see `spanward operator show %s`", i.Operator)
	}
	return busy
}
