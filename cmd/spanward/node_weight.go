package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/scheduler"
)

func (a *app) newNodeWeight() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "weight NODE WEIGHT",
		Short: "say how much a dispatcher is to carry, compared with others",
		Long: `Say how much a dispatcher is to carry, compared with others: one of weight 2 gets twice as many spans, and twice as much load,
as one of weight 1, which each has until something else is said. WEIGHT is a number from 0.01 to 100; 1 takes it back.

New spans are placed by it from now on, and balance moves what runs, unless it is paused. What a node may have at most is its
--capacity, whatever its weight. The weight is recorded, and holds for the node of that name, also after a restart.`,
		Example:           "  spanward node weight n1 2\n  spanward node weight n1 0.5\n  spanward node weight n1 1",
		Args:              exactly("NODE", "WEIGHT"),
		ValidArgsFunction: a.completeArgs(a.nodeNames),
		RunE: a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
			w, err := weightOf(args[0], args[1])
			if err != nil {
				return err
			}
			resp, err := c.Control().SetNodeWeight(ctx, &controlv1.SetNodeWeightRequest{RequestId: f.id(), Name: args[0], Weight: w})
			if err != nil {
				return err
			}
			return a.printer().Node(output.FromNode(resp.GetNode()))
		}),
	}
	f.register(cmd)
	return cmd
}

// weightOf reads what a user has typed.
func weightOf(node, text string) (float64, error) {
	if err := keys.CheckName("node", node); err != nil {
		return 0, err
	}
	w, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fault.New(fault.InvalidArgument, "is no number").On("weight", text).
			Fix("give a number from %g to %d, such as 0.5 or 2", scheduler.LeastWeight, scheduler.MostWeight)
	}
	return w, scheduler.CheckWeight(w)
}
