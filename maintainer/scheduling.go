package maintainer

import (
	"context"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/scheduler"
)

// Scheduling is what the planners of a leader do, and what they see.
type Scheduling struct {
	// Planners are what `scheduler list` says.
	Planners []*controlv1.Scheduler
	// Nodes is what each node carries, once everything in flight is done.
	Nodes []Carried
	// SpanImbalance and LoadImbalance compare the fullest node with the mean of those that take spans, each for its weight:
	// 1 is even, 0 is unknown.
	SpanImbalance, LoadImbalance float64
}

// Carried is what one node carries. Load is the sum of what its spans have reported.
type Carried struct {
	Node  string
	Spans int
	Load  float64
}

// Scheduling is nil unless this process leads, and while its loop does not answer or has not looked at everything yet. It
// may be called at any time.
func (m *Maintainer) Scheduling() *Scheduling {
	t := m.current()
	if t == nil {
		return nil
	}
	type said struct {
		stats plannerStats
		out   *Scheduling
	}
	s := consult(context.Background(), t, func(l *loop) said { return said{l.plannerStats(), l.scheduling(time.Now())} })
	if s.out != nil {
		s.out.Planners = m.control.schedulers(s.stats)
	}
	return s.out
}

// scheduling is what the fleet tells of nodes, nil as long as not all spans were looked at. It costs a look at every node.
func (l *loop) scheduling(now time.Time) *Scheduling {
	if l.starting {
		return nil
	}
	l.refreshFleet(now)
	out := &Scheduling{}
	var spans, load evenness
	for _, n := range l.fleet.Nodes() {
		out.Nodes = append(out.Nodes, Carried{n.Name, n.Spans, n.Load})
		if l.takesSpans(n) {
			spans.add(float64(n.Spans), n.Weight)
			load.add(n.Load, n.Weight)
		}
	}
	out.SpanImbalance, out.LoadImbalance = spans.imbalance(), load.imbalance()
	return out
}

// takesSpans leaves out nodes that are not meant to carry anything. One that only balance does not trust yet is meant to.
func (l *loop) takesSpans(n scheduler.Node) bool {
	return n.Session != 0 && l.ineligible(n.Session, l.state.NodeConfig(n.Name), false) == ""
}

// evenness compares what nodes carry.
type evenness struct{ most, sum, weight float64 }

func (e *evenness) add(carried, weight float64) {
	if weight <= 0 {
		weight = usualWeight
	}
	e.most = max(e.most, carried/weight)
	e.sum, e.weight = e.sum+carried, e.weight+weight
}

// imbalance is 0 if nothing is carried.
func (e evenness) imbalance() float64 {
	if e.sum <= 0 {
		return 0
	}
	return e.most * e.weight / e.sum
}

// countPlacement counts an opening that is a step of no other operator.
func (l *loop) countPlacement(p want) {
	if p.span.Intent == nil {
		l.accepted[settings.PlannerPlacement]++
	}
}
