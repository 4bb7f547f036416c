package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
)

func (a *app) newOperator() *cobra.Command {
	cmd := group("operator", "changes that are in flight", a.newOperatorList(), a.newOperatorShow(),
		a.newOperatorCancel(), a.newOperatorWatch())
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
		Use:   "show ID",
		Short: "show one operator from its acceptance to its end",
		Long: `Show one operator, in flight or over, from its acceptance to its end: who asked for it, why, every stage with its node,
its span and how long it lasted or has lasted so far, the outcome, and what ended it if that was early. A merge also shows
the moves that bring its sources together.`,
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
