package main

import (
	"context"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

func (a *app) newSpanSplit() *cobra.Command {
	var f changeFlags
	var at []string
	cmd := &cobra.Command{
		Use:   "split KS SPAN --at KEY [KEY …]",
		Short: "make several spans of one",
		Long: `Make several spans of one, which are opened where it ran; nothing is copied. Each KEY is the first of a new span. With
--wait the command returns when all of them run.`,
		Example:           "  spanward span split orders 812-3.0 --at m --wait\n  spanward span split orders 812-3.0 --at g m 't\\xff'",
		Args:              atLeast("KS", "SPAN"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames, a.spanNames),
		RunE: a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
			return a.splitSpan(ctx, c, &f, args[0], args[1], at, args[2:])
		}),
	}
	f.register(cmd)
	cmd.Flags().StringArrayVar(&at, "at", nil, "key to split at (required); several may follow, or repeat it")
	_ = cmd.RegisterFlagCompletionFunc("at", cobra.NoFileCompletions)
	return cmd
}

// splitSpan takes what follows the names for further keys of --at.
func (a *app) splitSpan(ctx context.Context, c *cluster, f *changeFlags, ks, id string, at, more []string) error {
	if err := checkNames(ks, id); err != nil {
		return err
	}
	if len(at) == 0 {
		return fault.New(fault.InvalidArgument, "is missing").On("--at", "").Fix("name at least one key inside the range of the span; see `spanward span show %s %s`", ks, id)
	}
	req := &controlv1.SplitSpanRequest{RequestId: f.id(), Keyspace: ks, Span: id}
	for _, text := range append(at, more...) {
		key, err := span.ParseKey(text)
		if err != nil {
			return fault.ForField(err, "--at")
		}
		req.At = append(req.At, []byte(key))
	}
	resp, err := c.Control().SplitSpan(ctx, req)
	if err != nil {
		return err
	}
	return a.finish(ctx, c, f, resp.GetOperator(), func(op *controlv1.Operator) error {
		return a.waitPlaced(ctx, c, ks, op)
	})
}

func (a *app) newSpanMerge() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "merge KS SPAN SPAN [SPAN …]",
		Short: "make one span of several that are adjacent",
		Long: `Make one span of several that are adjacent, named in any order. They are brought onto the node that has most of them
first, one at a time. With --wait the command returns when the new span runs.`,
		Example:           "  spanward span merge orders 812-3.0 812-3.1 --wait",
		Args:              atLeast("KS", "SPAN", "SPAN"),
		ValidArgsFunction: a.completeMany(a.keyspaceNames, a.spanNames),
		RunE: a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
			if err := checkNames(args[0], args[1:]...); err != nil {
				return err
			}
			resp, err := c.Control().MergeSpans(ctx, &controlv1.MergeSpansRequest{RequestId: f.id(), Keyspace: args[0], Spans: args[1:]})
			if err != nil {
				return err
			}
			return a.finish(ctx, c, &f, resp.GetOperator(), func(op *controlv1.Operator) error {
				return a.waitPlaced(ctx, c, args[0], op)
			})
		}),
	}
	f.register(cmd)
	return cmd
}
