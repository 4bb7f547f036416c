package settings

import "github.com/spanward/spanward/scheduler"

// The planners of the scheduler, by the names that people pause them by.
const (
	PlannerPlacement = "placement"
	PlannerDrain     = "drain"
	PlannerBalance   = "balance"
	PlannerSplit     = "split"
	PlannerMerge     = "merge"

	plannerCount = 5
)

// What a planner may be set to.
const (
	PlannerOn     = "on"
	PlannerPaused = "paused"
)

// plannerPrefix goes before the name of a planner in that of its setting.
const plannerPrefix = "scheduler."

// Planner is a part of the scheduler that can be paused.
type Planner struct{ Name, Help string }

// Planners are all of them, what goes first in front.
var Planners = [plannerCount]Planner{
	{PlannerPlacement, "opens spans that nobody owns, among them those of nodes that are lost"},
	{PlannerDrain, "moves spans off nodes that are drained"},
	{PlannerBalance, "moves spans so that nodes carry alike, and back to where the rules of their keyspace want them"},
	{PlannerSplit, "splits spans whose load or size stays high"},
	{PlannerMerge, "merges neighbours whose load stays low"},
}

// PlannerSetting is the name of the setting that a planner is paused by.
func PlannerSetting(name string) string { return plannerPrefix + name }

// Paused reports whether a planner, by its name, is paused.
func (v Values) Paused(name string) bool {
	for i, p := range Planners {
		if p.Name == name {
			return v.Planners[i] == PlannerPaused
		}
	}
	return false
}

func planners() (out []Setting) {
	for i, p := range Planners {
		out = append(out, Setting{
			Name: PlannerSetting(p.Name), Scope: Cluster,
			quantity: choice(func(v *Values) *string { return &v.Planners[i] }, PlannerOn, PlannerPaused),
			Help:     "the planner that " + p.Help + "; see `spanward scheduler list`",
		})
	}
	return out
}

// Balance is what nodes are levelled by.
func (v Values) Balance() scheduler.BalanceConfig {
	return scheduler.BalanceConfig{
		CountTolerance: v.BalanceTolerance, LoadTolerance: v.BalanceLoadTolerance, Cooldown: v.BalanceCooldown,
		InFlight: v.BalanceInFlight, NodeInFlight: v.BalanceNodeInFlight, KeyspaceInFlight: v.BalanceKeyspaceInFlight,
	}
}

// Reshape is what the spans of a keyspace are split and merged by, of the values that count in it. Whether these planners are
// paused is another question.
func (v Values) Reshape() scheduler.ReshapeConfig {
	return scheduler.ReshapeConfig{
		SplitLoad: v.SplitLoad, SplitSize: v.SplitSize, SplitAfter: v.SplitAfter,
		MergeLoad: v.MergeLoad, MergeSize: v.MergeSize, MergeAfter: v.MergeAfter,
		MinAge: v.ReshapeMinAge, MaxSpans: v.MaxSpans,
	}
}
