package main

import (
	"context"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
)

func (a *app) newOperatorCancel() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "take an operator back that is not past its commit point",
		Long: `Take an operator back. Its spans go on as they were; what was closed is opened again, and with --wait the command
returns when it runs. Past its commit point an operator only goes forward: a move once its span is handed off, a split or merge
once the new spans are made, a remove once the span is gone. Then it is refused, with the reason.`,
		Example:           "  spanward operator cancel 812-3\n  spanward operator cancel 812-3 --wait --timeout 1m",
		Args:              exactly("ID"),
		ValidArgsFunction: a.completeArgs(a.operatorNames),
		RunE: a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
			return a.cancelOperator(ctx, c, &f, args[0])
		}),
	}
	f.register(cmd)
	return cmd
}

// cancelOperator prints the operator as it has ended. That it is cancelled is what was asked for, and no failure.
func (a *app) cancelOperator(ctx context.Context, c *cluster, f *changeFlags, id string) error {
	if err := keys.CheckName("operator", id); err != nil {
		return err
	}
	resp, err := c.Control().CancelOperator(ctx, &controlv1.CancelOperatorRequest{RequestId: f.id(), Id: id})
	if err != nil {
		return err
	}
	op := resp.GetOperator()
	if f.wait {
		if err := a.waitRunning(ctx, c, op.GetKeyspace(), op.GetSpans()); err != nil {
			return err
		}
	}
	return a.printer().Operator(output.FromOperator(op))
}
