package main

import (
	"context"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
)

func (a *app) newNode() *cobra.Command {
	return group("node", "dispatchers", a.newNodeList(), a.newNodeShow(), a.newNodeCordon(), a.newNodeUncordon(), a.newNodeDrain(),
		a.newNodeWeight(), a.newNodeEvict())
}

func (a *app) newNodeList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "list dispatchers",
		Example: "  spanward node list\n  spanward node list -o wide",
		Args:    exactly(),
		RunE: a.online(func(ctx context.Context, c *cluster, _ []string) error {
			resp, err := c.Control().ListNodes(ctx, &controlv1.ListNodesRequest{})
			if err != nil {
				return err
			}
			return a.printer().Nodes(output.FromNodes(resp.GetNodes()))
		}),
	}
}

func (a *app) newNodeShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show NODE",
		Short:             "show one dispatcher",
		Example:           "  spanward node show n1",
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeArgs(a.nodeNames),
		RunE: a.online(func(ctx context.Context, c *cluster, args []string) error {
			if err := keys.CheckName("node", args[0]); err != nil {
				return err
			}
			resp, err := c.Control().ListNodes(ctx, &controlv1.ListNodesRequest{Name: args[0]})
			if err != nil {
				return err
			}
			if len(resp.GetNodes()) == 0 {
				return fault.New(fault.UnknownNode, "is not registered").On("node", args[0]).Fix("see `spanward node list`")
			}
			return a.printer().Node(output.FromNode(resp.GetNodes()[0]))
		}),
	}
}
