package maintainer

import (
	"context"
	"slices"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/view"
)

// SplitSpan is part of the control API.
func (c *control) SplitSpan(ctx context.Context, q *controlv1.SplitSpanRequest) (*controlv1.SplitSpanResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.SplitSpan, c.splitSpan)
}

func (c *control) splitSpan(ctx context.Context, t *term, q *controlv1.SplitSpanRequest) (*controlv1.SplitSpanResponse, error) {
	if err := c.awaitScheduler(ctx, q.GetKeyspace(), q.GetSpan()); err != nil {
		return nil, err
	}
	id, err := c.accept(ctx, t, "split", keyspaceLock(q.GetKeyspace()), q, once(func(s *view.State, who asker) (plan, error) {
		return c.planSplit(s, t, who, q)
	}))
	if err != nil {
		return nil, err
	}
	return &controlv1.SplitSpanResponse{Operator: c.operator(id)}, nil
}

func (c *control) planSplit(s *view.State, t *term, who asker, q *controlv1.SplitSpanRequest) (plan, error) {
	sp, err := idleSpan(s, q.GetKeyspace(), q.GetSpan(), record.KeyspaceRunning, record.KeyspacePaused)
	if err != nil {
		return plan{}, err
	}
	at, err := splitKeys(sp, q.GetAt())
	if err != nil {
		return plan{}, err
	}
	if err := c.checkGrowth(s, s.Keyspace(sp.Keyspace), len(at)); err != nil {
		return plan{}, err
	}
	i := who.intent(t.nextOperator(), record.KindSplit, time.Now())
	i.From, i.Spans, i.At = sp.Owner.Node, []string{string(sp.ID)}, at
	for n := range len(at) + 1 {
		i.Results = append(i.Results, string(spanID(i.Operator, n)))
	}
	return plan{operator: i.Operator, parts: []txn.Part{operator.Accept(c.layout, []operator.Span{*sp}, i)}}, nil
}

// splitKeys are the keys of a request in their order: the user need not sort them, but a key that is named twice is more
// likely a mistake than meant.
func splitKeys(sp *view.Span, in [][]byte) ([]string, error) {
	if len(in) >= operator.MaxChildren {
		return nil, fault.New(fault.InvalidArgument, "%d keys would make %d spans of one", len(in), len(in)+1).On("at", "").
			Fix("give at most %d keys, which make %d spans; then split those", operator.MaxChildren-1, operator.MaxChildren)
	}
	at := make([]string, len(in))
	for n, key := range in {
		at[n] = string(key)
	}
	slices.Sort(at)
	_, err := sp.Range.Split(at...)
	return at, err
}
