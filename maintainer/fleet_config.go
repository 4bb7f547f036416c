package maintainer

import (
	"math"

	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/scheduler"
)

// unknownLoad is what the planners take for not reported.
const unknownLoad = -1

// balanceConfig is what nodes are levelled by.
func balanceConfig(v settings.Values) scheduler.BalanceConfig {
	return scheduler.BalanceConfig{
		CountTolerance: v.BalanceTolerance, LoadTolerance: v.BalanceLoadTolerance, Cooldown: v.BalanceCooldown,
		InFlight: v.BalanceInFlight, NodeInFlight: v.BalanceNodeInFlight, KeyspaceInFlight: v.BalanceKeyspaceInFlight,
	}
}

// reshapeConfig is what the spans of a keyspace are split and merged by, given the settings that count in it.
func reshapeConfig(v settings.Values) scheduler.ReshapeConfig {
	return scheduler.ReshapeConfig{
		SplitLoad: v.SplitLoad, SplitSize: v.SplitSize, SplitAfter: v.SplitAfter,
		MergeLoad: v.MergeLoad, MergeSize: v.MergeSize, MergeAfter: v.MergeAfter,
		MinAge: v.ReshapeMinAge, MaxSpans: v.MaxSpans,
	}
}

// loadOf is what a span has reported, by the measure of its keyspace.
func loadOf(k spanKnown, measure string) scheduler.Load {
	l := scheduler.Load{Load: unknownLoad, Size: numberHeard(k.size), SplitKeys: k.splitKeys}
	switch measure {
	case settings.MeasureLoad:
		l.Load = numberHeard(k.load)
	case settings.MeasureLag:
		if k.lagMS != nil {
			l.Load = max(0, float64(*k.lagMS))
		}
	case settings.MeasureSize:
		l.Load = l.Size
	}
	return l
}

// numberHeard is a number of a workload, which may send anything: what cannot be added up counts as not reported.
func numberHeard(x *float64) float64 {
	if x == nil || *x < 0 || math.IsNaN(*x) || math.IsInf(*x, 0) {
		return unknownLoad
	}
	return *x
}
