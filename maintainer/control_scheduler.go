package maintainer

import (
	"context"
	"strings"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/view"
)

// ListSchedulers is part of the control API.
func (c *control) ListSchedulers(ctx context.Context, q *controlv1.ListSchedulersRequest) (*controlv1.ListSchedulersResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.ListSchedulers, c.listSchedulers)
}

// SetScheduler is part of the control API.
func (c *control) SetScheduler(ctx context.Context, q *controlv1.SetSchedulerRequest) (*controlv1.SetSchedulerResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.SetScheduler, c.setScheduler)
}

// schedulerStats is what a term knows of its planners beyond the records.
type schedulerStats interface {
	// planned counts the spans that wait for a planner, and the operators of it that the term has accepted.
	planned(planner string) (waiting, accepted int64)
}

func (c *control) listSchedulers(ctx context.Context, t *term, _ *controlv1.ListSchedulersRequest) (*controlv1.ListSchedulersResponse, error) {
	return &controlv1.ListSchedulersResponse{Schedulers: c.schedulers(consult(ctx, t, (*loop).plannerStats))}, nil
}

// setScheduler pauses a planner, or lets it go on, by its setting: so it is paused whoever leads, and `config show` tells.
func (c *control) setScheduler(ctx context.Context, t *term, q *controlv1.SetSchedulerRequest) (*controlv1.SetSchedulerResponse, error) {
	at, err := plannerNamed(q.GetName())
	if err != nil {
		return nil, err
	}
	set := map[string]string{settings.PlannerSetting(q.GetName()): ""}
	if q.GetPaused() {
		set[settings.PlannerSetting(q.GetName())] = settings.PlannerPaused
	}
	_, err = c.accept(ctx, t, "config", configLock, q, once(func(s *view.State, who asker) (plan, error) {
		return c.planConfig(s, who, &controlv1.SetConfigRequest{Set: set})
	}))
	if err != nil {
		return nil, err
	}
	return &controlv1.SetSchedulerResponse{Scheduler: c.schedulers(consult(ctx, t, (*loop).plannerStats))[at]}, nil
}

// plannerNamed is the place of a planner in the list of all.
func plannerNamed(name string) (int, error) {
	var names []string
	for at, p := range settings.Planners {
		if p.Name == name {
			return at, nil
		}
		names = append(names, p.Name)
	}
	return 0, fault.New(fault.InvalidArgument, "is no planner").On("name", name).Fix("use one of %s", strings.Join(names, ", "))
}

// schedulers are all planners, in their order.
func (c *control) schedulers(stats schedulerStats) (out []*controlv1.Scheduler) {
	var v settings.Values
	var flying map[string]int64
	drained := 0
	c.view.Read(func(s *view.State) { v, flying, drained = c.tuning.in(s).Values, plannedInFlight(s), drainedNodes(s) })
	limits := map[string]int64{
		settings.PlannerDrain:   int64(v.DrainInFlight) * int64(max(1, drained)),
		settings.PlannerBalance: int64(v.BalanceInFlight),
		settings.PlannerSplit:   int64(v.ReshapeInFlight),
		settings.PlannerMerge:   int64(v.ReshapeInFlight),
	}
	for _, p := range settings.Planners {
		row := &controlv1.Scheduler{Name: p.Name, State: settings.PlannerOn, Help: p.Help, InFlight: flying[p.Name], Limit: limits[p.Name]}
		if v.Paused(p.Name) {
			row.State = settings.PlannerPaused
		}
		row.Waiting, row.Accepted = stats.planned(p.Name)
		out = append(out, row)
	}
	return out
}

// plannedInFlight counts the operators in flight by the planner that made them. Those of placement are openings: one that is
// a step of another operator is not its own.
func plannedInFlight(s *view.State) map[string]int64 {
	out := map[string]int64{}
	for sp := range s.WithIntent() {
		if sp.Intent.Spans == nil || sp.Intent.Spans[0] == string(sp.ID) { // of several spans it is one operator
			out[plannerOf(sp.Intent)]++
		}
	}
	for _, session := range s.Claimants() {
		for cl := range s.ClaimedBy(session) {
			if cl.Stage == record.StageOpening && cl.Operator == "" {
				out[settings.PlannerPlacement]++
			}
		}
	}
	return out
}

// plannerOf is the planner that an operator is of, "" for a user's.
func plannerOf(i *record.Intent) string {
	switch {
	case i.By == record.ByDrain:
		return settings.PlannerDrain
	case i.By == record.ByBalance:
		return settings.PlannerBalance
	case i.By == record.ByLoad && i.Kind == record.KindSplit:
		return settings.PlannerSplit
	case i.By == record.ByLoad && i.Kind == record.KindMerge:
		return settings.PlannerMerge
	}
	return ""
}

// drainedNodes counts the nodes that are being drained: each has a budget of its own.
func drainedNodes(s *view.State) (n int) {
	for node := range s.Nodes() {
		if cfg := s.NodeConfig(node.Name); cfg != nil && cfg.Drains(node.Session) {
			n++
		}
	}
	return n
}

// pausedIn are the planners that are paused. No flag pauses one, so the record alone says.
func pausedIn(stored *view.ClusterConfig) (names []string) {
	v, _, _ := settings.Resolve(settings.Layers{Cluster: stored.Settings})
	for _, p := range settings.Planners {
		if v.Paused(p.Name) {
			names = append(names, p.Name)
		}
	}
	return names
}

const problemPaused = "scheduler_paused"

// pausedProblems tell of planners that are paused, and what therefore does not happen.
func pausedProblems(names []string) (out []problem) {
	for _, p := range settings.Planners {
		for _, name := range names {
			if p.Name == name {
				out = append(out, problem{kind: problemPaused, message: p.Name + " is paused: nothing " + p.Help + "; `spanward scheduler resume " + p.Name + "`"})
			}
		}
	}
	return out
}
