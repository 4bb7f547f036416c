package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
)

func (a *app) newOperator() *cobra.Command {
	cmd := group("operator", "changes that are in flight", a.newOperatorList(), a.newOperatorShow(), a.newOperatorWatch())
	cmd.Aliases = []string{"op"}
	return cmd
}

func (a *app) newOperatorList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "list operators in flight; `spanward history` has those that are over",
		Example: "  spanward operator list\n  spanward operator list -o json",
		Args:    exactly(),
		RunE: a.online(func(ctx context.Context, c *cluster, _ []string) error {
			resp, err := c.Control().ListOperators(ctx, &controlv1.ListOperatorsRequest{})
			if err != nil {
				return err
			}
			return a.printer().Operators(output.FromOperators(resp.GetOperators()))
		}),
	}
}

func (a *app) newOperatorShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show ID",
		Short:             "show one operator, in flight or over",
		Example:           "  spanward operator show 812-3",
		Args:              exactly("ID"),
		ValidArgsFunction: a.completeArgs(a.operatorNames),
		RunE: a.online(func(ctx context.Context, c *cluster, args []string) error {
			if err := keys.CheckName("operator", args[0]); err != nil {
				return err
			}
			resp, err := c.Control().ListOperators(ctx, &controlv1.ListOperatorsRequest{Id: args[0]})
			if err != nil {
				return err
			}
			if len(resp.GetOperators()) == 0 {
				return fault.New(fault.UnknownOperator, "is not known, or no longer").On("operator", args[0]).
					Fix("see `spanward operator list` and `spanward history`")
			}
			return a.printer().Operator(output.FromOperator(resp.GetOperators()[0]))
		}),
	}
}

func (a *app) newOperatorWatch() *cobra.Command {
	return &cobra.Command{
		Use:     "watch",
		Short:   "print operators in flight, and every change of an operator from then on",
		Example: "  spanward operator watch\n  spanward operator watch -o json | jq .stage",
		Args:    exactly(),
		RunE: a.online(func(ctx context.Context, c *cluster, _ []string) error {
			told := map[string]string{}
			err := c.WatchOperators(ctx, &controlv1.WatchOperatorsRequest{}, func(op *controlv1.Operator) error {
				o := output.FromOperator(op)
				text := output.OperatorText(o)
				about := strings.Join(append([]string{string(o.ID), o.Type, o.Keyspace}, o.Spans...), " ") // a placement has no id
				if told[about] == text {
					return nil // said again by the next maintainer
				}
				if told[about] = text; o.Outcome != "" {
					delete(told, about)
				}
				return a.printer().OperatorLine(o)
			})
			if errors.Is(err, context.Canceled) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil // that is how a watch ends
			}
			return err
		}),
	}
}

type historyFlags struct{ span, kind, since, outcome string }

func (a *app) newHistory() *cobra.Command {
	var f historyFlags
	cmd := &cobra.Command{
		Use:               "history [KS]",
		Short:             "list operators that are over",
		Example:           "  spanward history orders --type move --since 1h\n  spanward history --outcome failed -o json",
		Args:              between(0, "KS"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames),
		RunE: a.online(func(ctx context.Context, c *cluster, args []string) error {
			req, err := f.request(args)
			if err != nil {
				return err
			}
			resp, err := c.Control().ListOperators(ctx, req)
			if err != nil {
				return err
			}
			return a.printer().Operators(output.FromOperators(resp.GetOperators()))
		}),
	}
	cmd.Flags().StringVar(&f.span, "span", "", "only operators of this span")
	cmd.Flags().StringVar(&f.kind, "type", "", "only this type: add, remove, move, split, merge, keyspace")
	cmd.Flags().StringVar(&f.since, "since", "", "only what ended since then: a duration (1h) or a time (RFC 3339)")
	cmd.Flags().StringVar(&f.outcome, "outcome", "", "only this outcome: done, failed, cancelled")
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(
		[]string{"add", "remove", "move", "split", "merge", "keyspace"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions(
		[]string{"done", "failed", "cancelled"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f historyFlags) request(args []string) (*controlv1.ListOperatorsRequest, error) {
	req := &controlv1.ListOperatorsRequest{Finished: true, Span: f.span, Type: f.kind, Outcome: f.outcome}
	if len(args) > 0 {
		req.Keyspace = args[0]
		if err := keys.CheckName("keyspace", args[0]); err != nil {
			return nil, err
		}
	}
	if f.span != "" {
		if err := keys.CheckName("--span", f.span); err != nil {
			return nil, err
		}
	}
	if f.kind != "" {
		if _, err := record.ParseKind(f.kind); err != nil {
			return nil, fault.New(fault.InvalidArgument, "is no type of operator").On("--type", f.kind).
				Fix("use add, remove, move, split, merge or keyspace")
		}
	}
	if f.outcome != "" {
		if _, err := record.ParseOutcome(f.outcome); err != nil {
			return nil, fault.New(fault.InvalidArgument, "is no outcome").On("--outcome", f.outcome).Fix("use done, failed or cancelled")
		}
	}
	since, err := parseSince(f.since, time.Now())
	req.Since = since
	return req, err
}

// parseSince reads a moment, or how long it is ago.
func parseSince(text string, now time.Time) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return timestamppb.New(now.Add(-d)), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return nil, fault.New(fault.InvalidArgument, "is neither a duration nor a time").On("--since", text).
			Fix("write 90s, 15m, 2h or 2006-01-02T15:04:05Z")
	}
	return timestamppb.New(t), nil
}
