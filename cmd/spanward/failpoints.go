package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/spanward/spanward/internal/failpoint"
)

func (a *app) newFailpoints() *cobra.Command {
	return &cobra.Command{
		Use:   "failpoints",
		Short: "list the places at which a build with -tags failpoint can be stopped",
		Long: `List the places at which a build with -tags failpoint can be stopped, delayed or killed.

SPANWARD_FAILPOINTS="name=[N*]exit|sleep:DUR|hold:FILE;…" acts at hit N of a name; hold waits while FILE exists.`,
		Example: "  spanward failpoints\n  SPANWARD_FAILPOINTS='dispatcher/move/handoff/after=exit' spanward dispatcher …",
		Args:    exactly(),
		RunE: a.action(func(context.Context, []string) error {
			return a.printer().Names("failpoints", failpoint.Names())
		}),
	}
}

// failpoints are what the environment asks for; a build without them refuses.
func (a *app) failpoints() (*failpoint.Set, error) {
	return failpoint.FromEnv(func(name string) string {
		value, ok := a.env(name)
		if !ok {
			return ""
		}
		return value
	})
}
