package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
)

// completeTimeout bounds what a user waits for after pressing the tab key.
const completeTimeout = time.Second

// names asks the cluster for what an argument may be, given those before it.
type names func(ctx context.Context, c *cluster, before []string) ([]string, error)

// completeArgs completes each argument with the names of its kind.
func (a *app) completeArgs(kinds ...names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(kinds) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.complete(cmd, kinds[len(args)], args), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeMany is completeArgs for commands that take any number of the last kind.
func (a *app) completeMany(kinds ...names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		kind := kinds[min(len(args), len(kinds)-1)]
		left := slices.DeleteFunc(a.complete(cmd, kind, args), func(name string) bool { return slices.Contains(args, name) })
		return left, cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) completeFlag(kind names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.complete(cmd, kind, args), cobra.ShellCompDirectiveNoFileComp
	}
}

// complete offers nothing rather than an error: there is nowhere to print one.
func (a *app) complete(cmd *cobra.Command, kind names, args []string) []string {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	if err := a.readEnvironment(cmd); err != nil {
		return nil
	}
	c, err := a.connect(ctx, a)
	if err != nil {
		return nil
	}
	defer c.close()
	found, err := kind(ctx, c, args)
	if err != nil {
		return nil
	}
	return found
}

func (a *app) keyspaceNames(ctx context.Context, c *cluster, _ []string) ([]string, error) {
	resp, err := c.Control().ListKeyspaces(ctx, &controlv1.ListKeyspacesRequest{})
	return namesOf(resp.GetKeyspaces(), (*controlv1.Keyspace).GetName), err
}

func (a *app) nodeNames(ctx context.Context, c *cluster, _ []string) ([]string, error) {
	resp, err := c.Control().ListNodes(ctx, &controlv1.ListNodesRequest{})
	return namesOf(resp.GetNodes(), (*controlv1.Node).GetName), err
}

func (a *app) operatorNames(ctx context.Context, c *cluster, _ []string) ([]string, error) {
	resp, err := c.Control().ListOperators(ctx, &controlv1.ListOperatorsRequest{})
	return namesOf(resp.GetOperators(), (*controlv1.Operator).GetId), err
}

func (a *app) spanNames(ctx context.Context, c *cluster, before []string) ([]string, error) {
	spans, err := c.ListSpans(ctx, &controlv1.ListSpansRequest{Keyspace: before[0]})
	return namesOf(spans, (*controlv1.Span).GetId), err
}

func namesOf[T any](in []T, name func(T) string) []string {
	out := make([]string, 0, len(in))
	for _, x := range in {
		out = append(out, name(x))
	}
	return out
}
