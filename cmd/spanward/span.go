package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/span"
)

func (a *app) newSpan() *cobra.Command {
	return group("span", "key ranges, and where they are worked on",
		a.newSpanList(), a.newSpanShow(), a.newSpanAdd(), a.newSpanRemove(), a.newSpanMove(),
		a.newSpanSplit(), a.newSpanMerge())
}

func (a *app) newSpanList() *cobra.Command {
	return &cobra.Command{
		Use:               "list [KS]",
		Short:             "list spans, of one keyspace or of all",
		Example:           "  spanward span list\n  spanward span list orders -o wide",
		Args:              between(0, "KS"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames),
		RunE: a.online(func(ctx context.Context, c *cluster, args []string) error {
			req := &controlv1.ListSpansRequest{}
			if len(args) > 0 {
				req.Keyspace = args[0]
				if err := keys.CheckName("keyspace", req.Keyspace); err != nil {
					return err
				}
			}
			spans, err := c.ListSpans(ctx, req)
			if err != nil {
				return err
			}
			return a.printer().Spans(output.FromSpans(spans))
		}),
	}
}

func (a *app) newSpanShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show KS SPAN",
		Short:             "show one span",
		Example:           "  spanward span show orders 812-3.0",
		Args:              exactly("KS", "SPAN"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames, a.spanNames),
		RunE: a.online(func(ctx context.Context, c *cluster, args []string) error {
			s, err := c.span(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			return a.printer().Span(output.FromSpan(s))
		}),
	}
}

// span asks for one span.
func (c *cluster) span(ctx context.Context, ks, id string) (*controlv1.Span, error) {
	if err := checkNames(ks, id); err != nil {
		return nil, err
	}
	spans, err := c.ListSpans(ctx, &controlv1.ListSpansRequest{Keyspace: ks, Span: id})
	if err != nil {
		return nil, err
	}
	if len(spans) == 0 {
		return nil, fault.New(fault.UnknownSpan, "does not exist").On("span", id).Fix("see `spanward span list %s`", ks)
	}
	return spans[0], nil
}

// checkNames refuses what cannot be a name without asking anybody.
func checkNames(ks string, ids ...string) error {
	if err := keys.CheckName("keyspace", ks); err != nil {
		return err
	}
	for _, id := range ids {
		if err := keys.CheckName("span", id); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) newSpanAdd() *cobra.Command {
	var f changeFlags
	var text string
	cmd := &cobra.Command{
		Use:               "add KS --range START:END",
		Short:             "add a span to a keyspace",
		Example:           `  spanward span add orders --range 'a:b\xff' --wait`,
		Args:              exactly("KS"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames),
		RunE: a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
			return a.addSpan(ctx, c, &f, args[0], text)
		}),
	}
	f.register(cmd)
	cmd.Flags().StringVar(&text, "range", "", "range of the span (required)")
	return cmd
}

func (a *app) addSpan(ctx context.Context, c *cluster, f *changeFlags, ks, text string) error {
	if text == "" {
		return fault.New(fault.InvalidArgument, "is missing").On("--range", "").Fix("give the range as START:END; : is everything")
	}
	r, err := span.ParseRange(text)
	if err != nil {
		return fault.ForField(err, "--range")
	}
	if err := checkNames(ks); err != nil {
		return err
	}
	resp, err := c.Control().AddSpan(ctx, &controlv1.AddSpanRequest{RequestId: f.id(), Keyspace: ks, Range: wireRange(r)})
	if err != nil {
		return err
	}
	return a.finish(ctx, c, f, resp.GetOperator(), func(op *controlv1.Operator) error {
		return a.waitPlaced(ctx, c, ks, op)
	})
}

// waitPlaced returns when the spans that an operator has made run: the operator is over before that.
func (a *app) waitPlaced(ctx context.Context, c *cluster, ks string, op *controlv1.Operator) error {
	ids := op.GetResults()
	if len(ids) == 0 {
		ids = op.GetSpans()
	}
	return a.waitRunning(ctx, c, ks, ids)
}

// waitRunning returns when spans run, or are closed because their keyspace is paused.
func (a *app) waitRunning(ctx context.Context, c *cluster, ks string, ids []string) error {
	for _, id := range ids {
		err := a.poll(ctx, func() (bool, string, error) {
			s, err := c.span(ctx, ks, id)
			if err != nil {
				return false, "", err
			}
			settled := s.GetState() == "running" || s.GetState() == "paused"
			return settled, placing(s), nil
		})
		if fault.Is(err, fault.UnknownSpan) {
			continue // removed in the meantime
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func placing(s *controlv1.Span) string {
	text := fmt.Sprintf("span %s %s", s.GetId(), s.GetState())
	for _, more := range []string{s.GetWhy(), s.GetLastError()} {
		if more != "" {
			text += ": " + more
		}
	}
	return text
}

func (a *app) newSpanRemove() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:               "remove KS SPAN",
		Short:             "close a span and take its range out of the keyspace",
		Example:           "  spanward span remove orders 812-3.0 --wait",
		Args:              exactly("KS", "SPAN"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames, a.spanNames),
		RunE: a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
			if err := checkNames(args[0], args[1]); err != nil {
				return err
			}
			resp, err := c.Control().RemoveSpan(ctx, &controlv1.RemoveSpanRequest{RequestId: f.id(), Keyspace: args[0], Span: args[1]})
			if err != nil {
				return err
			}
			return a.finish(ctx, c, &f, resp.GetOperator(), nil)
		}),
	}
	f.register(cmd)
	return cmd
}

func (a *app) newSpanMove() *cobra.Command {
	var f changeFlags
	var to string
	cmd := &cobra.Command{
		Use:               "move KS SPAN --to NODE",
		Short:             "close a span where it is and open it on another node",
		Example:           "  spanward span move orders 812-3.0 --to n2 --wait",
		Args:              exactly("KS", "SPAN"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames, a.spanNames),
		RunE: a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
			if err := checkNames(args[0], args[1]); err != nil {
				return err
			}
			if to == "" {
				return fault.New(fault.InvalidArgument, "is missing").On("--to", "").Fix("name a node; see `spanward node list`")
			}
			if err := keys.CheckName("--to", to); err != nil {
				return err
			}
			resp, err := c.Control().MoveSpan(ctx, &controlv1.MoveSpanRequest{RequestId: f.id(), Keyspace: args[0], Span: args[1], To: to})
			if err != nil {
				return err
			}
			return a.finish(ctx, c, &f, resp.GetOperator(), nil)
		}),
	}
	f.register(cmd)
	cmd.Flags().StringVar(&to, "to", "", "node that takes the span (required)")
	_ = cmd.RegisterFlagCompletionFunc("to", a.completeFlag(a.nodeNames))
	return cmd
}
