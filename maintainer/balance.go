package maintainer

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/view"
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
	splits, merges := l.fleet.SplitsAndMerges(now)
	for _, s := range splits {
		l.acceptSplit(s, now)
	}
	for _, m := range merges {
		l.acceptMerge(m, now)
	}
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
	l.acceptPlanned(spans, i, "maintainer/balance/accept")
}

func (l *loop) acceptSplit(s scheduler.Split, now time.Time) {
	spans, ok := l.free(s.Ref.Keyspace, s.Ref)
	if !ok {
		l.dirty.push(s.Ref)
		return
	}
	if _, err := spans[0].Range.Split(s.At...); err != nil {
		l.log.Warn("a workload proposes keys that its span cannot be split at", refField(s.Ref), zap.Error(err))
		l.dirty.push(s.Ref)
		return
	}
	i := l.intent(record.KindSplit, record.ByLoad, s.Reason, spans, now)
	i.At = s.At
	for n := range len(s.At) + 1 {
		i.Results = append(i.Results, string(spanID(i.Operator, n)))
	}
	l.acceptPlanned(spans, i, "maintainer/load/accept")
}

func (l *loop) acceptMerge(m scheduler.Merge, now time.Time) {
	refs := make([]operator.Ref, len(m.Spans))
	for n, id := range m.Spans {
		refs[n] = operator.Ref{Keyspace: m.Keyspace, ID: id}
	}
	spans, ok := l.free(m.Keyspace, refs...)
	if ok {
		slices.SortFunc(spans, func(a, b operator.Span) int { return a.Range.Compare(b.Range) })
		ok = read(l.state, func(s *view.State) error { return adjacent(s, spans) }) == nil
	}
	if !ok {
		for _, r := range refs {
			l.dirty.push(r)
		}
		return
	}
	i := l.intent(record.KindMerge, record.ByLoad, m.Reason, spans, now)
	i.From = ""
	i.Results = []string{string(spanID(i.Operator, 0))}
	l.acceptPlanned(spans, i, "maintainer/load/accept")
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
// leads. Nothing else is decided about any of them before the answer.
func (l *loop) acceptPlanned(spans []operator.Span, i *record.Intent, point string) {
	first := spans[0].Ref
	for _, s := range spans {
		l.work(s.Ref).writing = true
		l.stay(s.Ref)
		l.head(s.Ref, headingOf(i, l.counted[s.Ref]), false)
	}
	l.accepted[plannerOf(i)]++
	l.writes = append(l.writes, write{
		ref: first, point: point, part: operator.Accept(l.m.cfg.Layout, spans, i), alone: len(spans) > 1,
		done: func(res txn.Result, err error) {
			for _, s := range spans {
				l.wrote(s.Ref, res, err)
			}
		},
	})
}
