package main

import (
	"context"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/span"
)

func (a *app) newStatus() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "show who leads, how all is, and what is wrong",
		Example: "  spanward status\n  spanward status -o json | jq .problems",
		Args:    exactly(),
		RunE: a.online(func(ctx context.Context, c *cluster, _ []string) error {
			resp, err := c.Control().GetStatus(ctx, &controlv1.GetStatusRequest{})
			if err != nil {
				return err
			}
			return a.printer().Status(output.FromStatus(resp))
		}),
	}
}

func (a *app) newLookup() *cobra.Command {
	return &cobra.Command{
		Use:   "lookup KS KEY",
		Short: "show who owns a key",
		Long: `Show who owns a key.

Exit code 1: no span covers the key. Exit code 4: nobody owns its span at the moment.`,
		Example:           `  spanward lookup orders 'customer/17\x00'`,
		Args:              exactly("KS", "KEY"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames),
		RunE: a.online(func(ctx context.Context, c *cluster, args []string) error {
			return a.lookup(ctx, c, args[0], args[1])
		}),
	}
}

func (a *app) lookup(ctx context.Context, c *cluster, ks, text string) error {
	if err := keys.CheckName("keyspace", ks); err != nil {
		return err
	}
	key, err := span.ParseKey(text)
	if err != nil {
		return fault.ForField(err, "key")
	}
	owner, err := c.Lookup(ctx, ks, key)
	if owner.Span == "" {
		return err
	}
	answer := output.Lookup{
		Keyspace: ks, Key: output.Key(key), Span: output.Text(owner.Span), Node: output.Text(owner.Node), Address: output.Text(owner.Address), State: owner.State,
	}
	if owner.Token != 0 {
		answer.Token = &owner.Token
	}
	if bad := a.printer().Lookup(answer); bad != nil {
		return bad
	}
	return err
}
