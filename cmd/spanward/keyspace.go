package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
)

func (a *app) newKeyspace() *cobra.Command {
	cmd := group("keyspace", "sets of spans that are kept covered",
		a.newKeyspaceCreate(), a.newKeyspaceList(), a.newKeyspaceShow(), a.newKeyspaceSet(),
		a.newKeyspaceState("pause", "close all spans of a keyspace and keep them", "paused"),
		a.newKeyspaceState("resume", "open the spans of a paused keyspace again", "running"),
		a.newKeyspaceState("delete", "remove a keyspace with all its spans", ""),
	)
	cmd.Aliases = []string{"ks"}
	return cmd
}

func (a *app) newKeyspaceList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "list keyspaces",
		Example: "  spanward keyspace list\n  spanward keyspace list -o json",
		Args:    exactly(),
		RunE: a.online(func(ctx context.Context, c *cluster, _ []string) error {
			resp, err := c.Control().ListKeyspaces(ctx, &controlv1.ListKeyspacesRequest{})
			if err != nil {
				return err
			}
			return a.printer().Keyspaces(output.FromKeyspaces(resp.GetKeyspaces()))
		}),
	}
}

func (a *app) newKeyspaceShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show KS",
		Short:             "show one keyspace",
		Example:           "  spanward keyspace show orders",
		Args:              exactly("KS"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames),
		RunE: a.online(func(ctx context.Context, c *cluster, args []string) error {
			k, err := c.keyspace(ctx, args[0])
			if err != nil {
				return err
			}
			return a.printer().Keyspace(output.FromKeyspace(k))
		}),
	}
}

// keyspace asks for one keyspace.
func (c *cluster) keyspace(ctx context.Context, name string) (*controlv1.Keyspace, error) {
	if err := keys.CheckName("keyspace", name); err != nil {
		return nil, err
	}
	resp, err := c.Control().ListKeyspaces(ctx, &controlv1.ListKeyspacesRequest{Name: name})
	if err != nil {
		return nil, err
	}
	if len(resp.GetKeyspaces()) == 0 {
		return nil, fault.New(fault.UnknownKeyspace, "does not exist").On("keyspace", name).Fix("see `spanward keyspace list`")
	}
	return resp.GetKeyspaces()[0], nil
}

func (a *app) newKeyspaceSet() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:               "set KS k=v…",
		Short:             "change settings of a keyspace",
		Long:              "Change settings of a keyspace. Those that are not named stay.\n\n" + placeHelp,
		Example:           "  spanward keyspace set orders dest-compact=1h\n  spanward keyspace set orders place.require=zone=a place.prefer=",
		ValidArgsFunction: a.completeArgs(a.keyspaceNames),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return exactly("KS", "k=v")(cmd, args)
			}
			return nil
		},
		RunE: a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
			set, err := keyValues("setting", args[1:])
			if err != nil {
				return err
			}
			if err := checkNames(args[0]); err != nil {
				return err
			}
			resp, err := c.Control().SetKeyspace(ctx, &controlv1.SetKeyspaceRequest{RequestId: f.id(), Name: args[0], Set: set})
			if err != nil {
				return err
			}
			return a.printer().Keyspace(output.FromKeyspace(resp.GetKeyspace()))
		}),
	}
	f.register(cmd)
	return cmd
}

// newKeyspaceState makes pause, resume and delete; goal is the state of all spans in the end, "" for none left.
func (a *app) newKeyspaceState(verb, short, goal string) *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:               verb + " KS",
		Short:             short,
		Example:           "  spanward keyspace " + verb + " orders --wait",
		Args:              exactly("KS"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames),
		RunE: a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
			if err := checkNames(args[0]); err != nil {
				return err
			}
			resp, err := c.Control().ChangeKeyspaceState(ctx, &controlv1.ChangeKeyspaceStateRequest{
				RequestId: f.id(), Name: args[0], Verb: verb,
			})
			if err != nil {
				return err
			}
			return a.finishKeyspace(ctx, c, &f, resp.GetKeyspace(), resp.GetOperator(), goal)
		}),
	}
	f.register(cmd)
	return cmd
}

// finishKeyspace prints a keyspace, with --wait once it and all its spans are in the state that was asked for, and the
// operator that brings them there, if there is one, is over.
func (a *app) finishKeyspace(ctx context.Context, c *cluster, f *changeFlags, k *controlv1.Keyspace, op *controlv1.Operator, goal string) error {
	if f.wait {
		var err error
		if k, err = a.waitKeyspace(ctx, c, k, op, goal); err != nil {
			return err
		}
	}
	return a.printer().Keyspace(output.FromKeyspace(k))
}

func (a *app) waitKeyspace(ctx context.Context, c *cluster, k *controlv1.Keyspace, op *controlv1.Operator, goal string) (*controlv1.Keyspace, error) {
	began := time.Now()
	err := a.poll(ctx, func() (bool, string, error) {
		over, err := operatorOver(ctx, c, op, began)
		if err != nil {
			return false, "", err
		}
		now, err := c.keyspace(ctx, k.GetName())
		if goal == "" && fault.Is(err, fault.UnknownKeyspace) {
			k.Spans, k.Ranges, k.ExpectedSpans = nil, nil, nil // what it had when it was last seen
			return over, k.GetName() + " is gone", nil
		}
		if err != nil {
			return false, "", err
		}
		k = now
		shape := output.FromKeyspace(k)
		done := over && goal != "" && k.GetState() == goal && k.GetSpans()[goal] == k.GetSpans()["total"]
		return done, fmt.Sprintf("%s %s, spans %s", shape.Name, shape.State, shape.SpansText()), nil
	})
	return k, err
}

// operatorOver reports whether an operator is done; a bad end is an error. None at all is over.
func operatorOver(ctx context.Context, c *cluster, op *controlv1.Operator, accepted time.Time) (bool, error) {
	if op.GetId() == "" {
		return true, nil
	}
	resp, err := c.Control().ListOperators(ctx, &controlv1.ListOperatorsRequest{Id: op.GetId()})
	if fault.Is(err, fault.UnknownOperator) && time.Since(accepted) < unseen {
		return false, nil
	}
	if err != nil || len(resp.GetOperators()) == 0 {
		return false, err
	}
	now := resp.GetOperators()[0]
	return now.GetOutcome() != "", badEnd(now)
}
