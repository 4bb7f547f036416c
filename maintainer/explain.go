package maintainer

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
)

// consultWait bounds how long somebody who wants to see something waits for what the loop has to say about it.
const consultWait = 2 * time.Second

// consult has the loop say something, "" or zero if it does not in time: what is only shown is not worth a long wait.
func consult[T any](ctx context.Context, t *term, ask func(*loop) T) (out T) {
	said := make(chan T, 1)
	if !t.ask(func(l *loop) { said <- ask(l) }) {
		return out
	}
	late := time.NewTimer(consultWait)
	defer late.Stop()
	select {
	case out = <-said:
	case <-late.C:
	case <-ctx.Done():
	case <-t.over.Done():
	}
	return out
}

// explain says what the leader would do next with a span, or why nothing.
func (l *loop) explain(r operator.Ref, now time.Time) string {
	s, ok := l.state.Span(r)
	w := l.works[r]
	switch {
	case !ok:
		return ""
	case s.Intent != nil:
		return fmt.Sprintf("operator %s goes on; see `spanward operator show %s`", s.Intent.Operator, s.Intent.Operator)
	case w != nil && !w.retryAt.IsZero() && now.Before(w.retryAt) && w.failures > 0:
		return fmt.Sprintf("it is opened again in %s", w.retryAt.Sub(now).Round(time.Second))
	case s.Owner.Nobody() || l.state.Session(s.Owner.Node) != s.Owner.Session:
		return "it is opened as soon as a node can take it"
	case l.drains.nodes[s.Owner.Session] != nil:
		return "it is moved, since its node is drained" + l.pausedNote(settings.PlannerDrain)
	}
	l.refreshFleet(now)
	return l.fleet.Explain(r, now) + l.pausedNote(settings.PlannerBalance)
}

// pausedNote says of a planner that it is paused, "" if it is not.
func (l *loop) pausedNote(planner string) string {
	if l.tuned.Paused(planner) {
		return fmt.Sprintf("; %s is paused", planner)
	}
	return ""
}

// plannerStats is what the loop knows of its planners beyond the records.
type plannerStats struct {
	waiting, accepted map[string]int64
}

func (p plannerStats) planned(planner string) (waiting, accepted int64) {
	return p.waiting[planner], p.accepted[planner]
}

func (l *loop) plannerStats() plannerStats {
	waiting := map[string]int64{settings.PlannerPlacement: int64(len(l.unplaced))}
	for in, q := range l.crowded {
		if in.class == scheduler.ClassFailover || in.class == scheduler.ClassUser {
			waiting[settings.PlannerPlacement] += int64(q.len())
		}
	}
	for _, d := range l.drains.nodes {
		n := len(d.ruled)
		for _, refs := range d.ready {
			n += len(refs)
		}
		waiting[settings.PlannerDrain] += int64(n)
	}
	return plannerStats{waiting: waiting, accepted: maps.Clone(l.accepted)}
}
