package maintainer

import (
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
)

// balance accepts moves that make nodes carry alike, then splits and merges by load: the least urgent of what a leader does.
// It waits like free placement for nodes to connect to a new leader, and for many that vanished at once: nobody knows what
// the others carry then. And it waits until everything that has changed was looked at, and nothing that could go anywhere waits
// for room: what nobody owns yet levels nodes without a move.
func (l *loop) balance(now time.Time) {
	if l.starting || !l.settled.IsZero() || l.dirty.len() > 0 || l.placing() {
		return
	}
	l.refreshFleet(now)
	if l.hold.active {
		return
	}
	if !l.tuned.Paused(settings.PlannerBalance) {
		for _, mv := range l.fleet.Balance(now) {
			l.acceptBalance(mv, now)
		}
	}
	l.reshape(now)
}

// balanceNap shortens a nap to when balance may find something though nothing changes.
func (l *loop) balanceNap(now time.Time, nap time.Duration) time.Duration {
	if l.starting || !l.settled.IsZero() || l.hold.active {
		return nap
	}
	next := l.fleet.again
	if at, ok := l.fleet.NextBalance(now); ok && !l.tuned.Paused(settings.PlannerBalance) {
		next = earliest(next, at)
	}
	if at, ok := l.fleet.NextReshape(now); ok {
		next = earliest(next, at)
	}
	if next.IsZero() {
		return nap
	}
	return min(nap, max(shortestPlanNap, next.Sub(now)))
}

// shortestPlanNap keeps plans that cannot be carried out from being made again and again without a pause.
const shortestPlanNap = 20 * time.Millisecond

// acceptBalance makes a move an operator, if the records are still as the plan took them.
func (l *loop) acceptBalance(mv scheduler.Move, now time.Time) {
	spans, ok := l.free(mv.Ref.Keyspace, mv.Ref)
	if !ok || spans[0].Owner.Node != mv.From {
		l.dirty.push(mv.Ref)
		return
	}
	i := l.intent(record.KindMove, record.ByBalance, mv.Reason, spans, now)
	i.To = mv.To
	l.acceptPlanned(spans, i, "maintainer/balance/accept", nil)
}

// free reads spans again, since the compares of an operator are made of the records: false if by now something is in flight
// on one of them, or it is not there.
func (l *loop) free(keyspace string, refs ...operator.Ref) ([]operator.Span, bool) {
	if l.keyspaceState(keyspace) != record.KeyspaceRunning {
		return nil, false
	}
	var out []operator.Span
	for _, r := range refs {
		s, ok := l.state.Span(r)
		if _, claimed := l.state.Claim(r); !ok || claimed || s.Intent != nil || s.Owner.Nobody() || l.work(r).writing {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

// intent is an operator that the leader itself wants, about spans in the order of their ranges.
func (l *loop) intent(kind record.Kind, by record.By, reason string, spans []operator.Span, now time.Time) *record.Intent {
	i := &record.Intent{
		Operator: l.t.nextOperator(), Kind: kind, By: by, Reason: reason, CreatedAt: now,
		From: spans[0].Owner.Node, Marks: []record.Mark{{Stage: record.StageQueued, At: now}},
	}
	for _, s := range spans {
		i.Spans = append(i.Spans, string(s.ID))
	}
	return i
}

// acceptPlanned writes an operator into the records of its spans. From here on it is carried out like any other, whoever
// leads. Nothing else is decided about any of them before the answer; answered, if there is one, hears of it.
func (l *loop) acceptPlanned(spans []operator.Span, i *record.Intent, point string, answered func(txn.Result)) {
	first := spans[0].Ref
	for _, s := range spans {
		l.work(s.Ref).writing = true
		l.stay(s.Ref)
		l.head(s.Ref, headingOf(i, l.counted[s.Ref]), false)
	}
	l.writes = append(l.writes, write{
		ref: first, point: point, part: operator.Accept(l.m.cfg.Layout, spans, i), alone: len(spans) > 1,
		done: func(res txn.Result, err error) {
			if err == nil && res.Outcome == txn.Done {
				l.accepted[plannerOf(i)]++
			}
			for _, s := range spans {
				l.wrote(s.Ref, res, err)
			}
			if answered != nil {
				answered(res)
			}
		},
	})
}
