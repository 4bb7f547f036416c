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
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// MergeSpans is part of the control API.
func (c *control) MergeSpans(ctx context.Context, q *controlv1.MergeSpansRequest) (*controlv1.MergeSpansResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.MergeSpans, c.mergeSpans)
}

func (c *control) mergeSpans(ctx context.Context, t *term, q *controlv1.MergeSpansRequest) (*controlv1.MergeSpansResponse, error) {
	if err := c.awaitScheduler(ctx, q.GetKeyspace(), q.GetSpans()...); err != nil {
		return nil, err
	}
	id, err := c.accept(ctx, t, "merge", "", q, once(func(s *view.State, who asker) (plan, error) {
		return c.planMerge(s, t, who, q)
	}))
	if err != nil {
		return nil, err
	}
	return &controlv1.MergeSpansResponse{Operator: c.operator(id)}, nil
}

// planMerge puts one intent into all sources, or into none.
func (c *control) planMerge(s *view.State, t *term, who asker, q *controlv1.MergeSpansRequest) (plan, error) {
	sources, err := mergeSources(s, q.GetKeyspace(), q.GetSpans())
	if err != nil {
		return plan{}, err
	}
	i := who.intent(t.nextOperator(), record.KindMerge, time.Now())
	for _, sp := range sources {
		i.Spans = append(i.Spans, string(sp.ID))
	}
	i.Results = []string{string(spanID(i.Operator, 0))}
	return plan{operator: i.Operator, parts: []txn.Part{operator.Accept(c.layout, sources, i)}}, nil
}

// mergeSources are the spans of a request in the order of their ranges.
func mergeSources(s *view.State, keyspace string, ids []string) ([]operator.Span, error) {
	if _, err := keyspaceNamed(s, "keyspace", keyspace); err != nil {
		return nil, err
	}
	if n := len(ids); n < 2 || n > operator.MaxSources {
		return nil, fault.New(fault.InvalidArgument, "%d spans cannot be merged into one", n).On("span", "").
			Fix("name 2 to %d that are adjacent; see `spanward span list %s`", operator.MaxSources, keyspace)
	}
	sources := make([]operator.Span, 0, len(ids))
	for n, id := range ids {
		if slices.Contains(ids[:n], id) {
			return nil, fault.New(fault.InvalidArgument, "is named twice").On("span", id).Fix("name every span once")
		}
		sp, err := idleSpan(s, keyspace, id, record.KeyspaceRunning, record.KeyspacePaused)
		if err != nil {
			return nil, err
		}
		sources = append(sources, *sp)
	}
	slices.SortFunc(sources, func(a, b operator.Span) int { return a.Range.Compare(b.Range) })
	return sources, adjacent(s, sources)
}

// adjacent refuses sources with a hole between two of them, and says what is in it.
func adjacent(s *view.State, sources []operator.Span) error {
	for n, sp := range sources[1:] {
		before := sources[n]
		if before.Range.End == sp.Range.Start {
			continue
		}
		hole := span.Range{Start: before.Range.End, End: sp.Range.Start}
		f := fault.New(fault.Refused, "%s is not adjacent to span %s (%s): between them is %s", sp.Range, before.ID, before.Range, hole).
			On("span", string(sp.ID))
		for between := range s.Overlapping(sp.Keyspace, hole) {
			return f.Fix("merge span %s (%s), too, or only spans that touch", between.ID, between.Range)
		}
		return f.Fix("no span covers that: add it with `spanward span add`, or merge only spans that touch")
	}
	return nil
}
