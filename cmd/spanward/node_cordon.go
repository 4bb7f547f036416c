package main

import (
	"context"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
)

func (a *app) newNodeCordon() *cobra.Command {
	return a.newNodeSwitch(&cobra.Command{
		Use:   "cordon NODE",
		Short: "keep new spans away from a dispatcher",
		Long: `Keep new spans away from a dispatcher. Those that it has stay, and operators that it is part of go on. The decision is
recorded, and holds for the node of that name until it is uncordoned, also after a restart.`,
		Example: "  spanward node cordon n1",
	}, func(ctx context.Context, c *cluster, request, name string) (*controlv1.Node, error) {
		resp, err := c.Control().CordonNode(ctx, &controlv1.CordonNodeRequest{RequestId: request, Name: name})
		return resp.GetNode(), err
	})
}

func (a *app) newNodeUncordon() *cobra.Command {
	return a.newNodeSwitch(&cobra.Command{
		Use:   "uncordon NODE",
		Short: "end a cordon or a drain of a dispatcher",
		Long: `End a cordon or a drain of a dispatcher: it takes new spans again. Moves that the drain has begun go on, and what has
left the node does not come back by itself.`,
		Example: "  spanward node uncordon n1",
	}, func(ctx context.Context, c *cluster, request, name string) (*controlv1.Node, error) {
		resp, err := c.Control().UncordonNode(ctx, &controlv1.UncordonNodeRequest{RequestId: request, Name: name})
		return resp.GetNode(), err
	})
}

// newNodeSwitch completes a command that records something about a node. There is nothing to wait for, and --wait is
// taken like everywhere.
func (a *app) newNodeSwitch(
	cmd *cobra.Command, do func(ctx context.Context, c *cluster, request, name string) (*controlv1.Node, error),
) *cobra.Command {
	var f changeFlags
	cmd.Args = exactly("NODE")
	cmd.ValidArgsFunction = a.completeArgs(a.nodeNames)
	cmd.RunE = a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
		if err := keys.CheckName("node", args[0]); err != nil {
			return err
		}
		n, err := do(ctx, c, f.id(), args[0])
		if err != nil {
			return err
		}
		return a.printer().Node(output.FromNode(n))
	})
	f.register(cmd)
	return cmd
}
