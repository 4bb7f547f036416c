package maintainer

import (
	"math"

	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/scheduler"
)

// unknownLoad is what the planners take for not reported.
const unknownLoad = -1

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
