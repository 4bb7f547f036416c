package maintainer

import (
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// tuneFleet has the fleet go by the settings that count.
func (l *loop) tuneFleet() {
	l.fleet.stale = true
	l.fleet.Configure(l.tuned.Balance(), l.tuned.ReshapeInFlight)
	for _, name := range read(l.state, (*view.State).Names) {
		l.tuneKeyspace(name)
	}
}

// tuneKeyspace does so for what a keyspace may have of its own.
func (l *loop) tuneKeyspace(name string) {
	ks := l.state.Keyspace(name)
	if ks.Mod == 0 {
		delete(l.fleet.measures, name)
		l.fleet.SetKeyspace(name, scheduler.ReshapeConfig{})
		return
	}
	v := l.tuned.Of(ks.Settings)
	c := v.Reshape()
	if l.tuned.Paused(settings.PlannerSplit) {
		c.SplitLoad, c.SplitSize = 0, 0
	}
	if l.tuned.Paused(settings.PlannerMerge) {
		c.MergeLoad, c.MergeSize = 0, 0
	}
	l.fleet.SetKeyspace(name, c)
	if l.fleet.measures[name] == v.LoadMeasure {
		return
	}
	l.fleet.measures[name] = v.LoadMeasure
	now := time.Now()
	for _, r := range l.state.Spans(name) {
		l.tellLoad(r, now)
	}
}

// movedLately are the spans that were moved within a time, as far as the history remembers: a new leader leaves them where
// they are for as long as the one before would have.
func movedLately(s *view.State, within time.Duration, now time.Time) map[operator.Ref]time.Time {
	out := map[operator.Ref]time.Time{}
	for _, name := range s.Names() {
		for h := range s.HistoriesBack(name) {
			if now.Sub(h.FinishedAt) > within {
				break
			}
			if h.Intent.Kind != record.KindMove || h.Outcome != record.OutcomeDone {
				continue
			}
			for _, id := range h.Intent.Spans {
				r := operator.Ref{Keyspace: name, ID: span.ID(id)}
				if out[r].Before(h.FinishedAt) {
					out[r] = h.FinishedAt
				}
			}
		}
	}
	return out
}
