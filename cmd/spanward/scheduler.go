package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/internal/settings"
)

func (a *app) newScheduler() *cobra.Command {
	return group("scheduler", "the planners that decide what runs where", a.newSchedulerList(), a.newSchedulerPause(), a.newSchedulerResume())
}

func (a *app) newSchedulerList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "list planners, whether they are paused, and how busy they are",
		Long: `List planners, what goes first in front: whether each is paused, how many operators of it are in flight and the most that may be,
how many spans wait for it, and how many operators it has made since the leader leads.`,
		Example: "  spanward scheduler list\n  spanward scheduler list -o json",
		Args:    exactly(),
		RunE: a.online(func(ctx context.Context, c *cluster, _ []string) error {
			resp, err := c.Control().ListSchedulers(ctx, &controlv1.ListSchedulersRequest{})
			if err != nil {
				return err
			}
			return a.printer().Schedulers(output.FromSchedulers(resp.GetSchedulers()))
		}),
	}
}

func (a *app) newSchedulerPause() *cobra.Command {
	return a.newSchedulerSwitch(&cobra.Command{
		Use:   "pause NAME",
		Short: "let a planner begin nothing new",
		Long: `Let a planner begin nothing new; operators of it that are in flight go on. It is recorded, so it outlives leaders, and it is shown
by ` + "`spanward status`" + ` until the planner is resumed. What users ask for is carried out all the same.

While placement is paused nobody opens spans that have no owner, also not those of nodes that are lost.`,
		Example: "  spanward scheduler pause balance\n  spanward scheduler resume balance",
	}, true)
}

func (a *app) newSchedulerResume() *cobra.Command {
	return a.newSchedulerSwitch(&cobra.Command{
		Use:     "resume NAME",
		Short:   "let a paused planner go on",
		Example: "  spanward scheduler resume balance",
	}, false)
}

// newSchedulerSwitch completes a command that pauses a planner or lets it go on. There is nothing to wait for, and --wait is
// taken like everywhere.
func (a *app) newSchedulerSwitch(cmd *cobra.Command, pause bool) *cobra.Command {
	var f changeFlags
	cmd.Args = exactly("NAME")
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return planners(), cobra.ShellCompDirectiveNoFileComp
	}
	cmd.RunE = a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
		return a.setScheduler(ctx, c, &controlv1.SetSchedulerRequest{RequestId: f.id(), Name: args[0], Paused: pause})
	})
	f.register(cmd)
	return cmd
}

func (a *app) setScheduler(ctx context.Context, c *cluster, req *controlv1.SetSchedulerRequest) error {
	if !slices.Contains(planners(), req.GetName()) {
		return fault.New(fault.InvalidArgument, "is no planner").On("scheduler", req.GetName()).Fix("name one of %s", strings.Join(planners(), ", "))
	}
	resp, err := c.Control().SetScheduler(ctx, req)
	if err != nil {
		return err
	}
	if req.GetPaused() && req.GetName() == settings.PlannerPlacement {
		a.note("while placement is paused the spans of nodes that are lost stay without an owner: `spanward scheduler resume placement`")
	}
	return a.printer().Scheduler(output.FromScheduler(resp.GetScheduler()))
}

func planners() []string {
	return namesOf(settings.Planners[:], func(p settings.Planner) string { return p.Name })
}
