package maintainer

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
)

const (
	// abortWait is how long an opening that was to be given up may take to end before it counts as stuck. A workload that
	// keeps to its contract needs a moment.
	abortWait = 10 * time.Second
	// perBusySpan is what a stage may take longer for each further span that its node acts on at the same time.
	perBusySpan = 20 * time.Millisecond
	// membersPerLimit is how many further spans of an operator double the limit: they are closed together, and the
	// slowest counts.
	membersPerLimit = 4
)

// allowed is how long a stage may take: base, and more with the size of the work. members are the spans of the operator,
// busy those that the acting node acts on at the same time, this one included.
func allowed(base time.Duration, members, busy int) time.Duration {
	return base + base*time.Duration(max(0, members-1))/membersPerLimit + perBusySpan*time.Duration(max(0, busy-1))
}

// stageID tells stages of a span apart. Of an ask that nobody has carried out claim is 0.
type stageID struct {
	claim, mod int64
	action     sessionv1.Ask_Action
	who        operator.Identity
}

// timedStage is what somebody does with a span, or was asked to do, since this leader has known of it. Deadlines are counted
// on the leader's own clock and begin anew with each leader: what another host has written down may be from a clock that
// goes wrong.
type timedStage struct {
	stageID
	began time.Time
	// moved is when the node last reported that an initial copy has got further, copied how far.
	moved  time.Time
	copied int64
	// busy is the largest number of spans that the node acted on meanwhile.
	busy int
	// late: the deadline has passed; stuck: nothing can be done about it from here.
	late, stuck bool
	// abortAt is when the node was first asked to give the opening up, again when it is asked the next time. told: it has
	// answered.
	abortAt, again time.Time
	tries          int
	told           bool
}

// underway is the stage that a span is in, false if nothing is asked, claimed, or to be asked of somebody who is not there
// to be asked: that he does not answer is no reason to wait for him without an end.
func (l *loop) underway(recs operator.Records, w *work, now time.Time) (stageID, bool) {
	m := recs.Members[0]
	switch {
	case m.Claim != nil && m.Actor.Present():
		return stageID{claim: m.Claim.Mod, who: operator.Identity{Node: m.Claim.Node, Session: m.Claim.Session}}, true
	case m.Claim == nil && w.ask != nil:
		return stageID{mod: w.ask.mod, action: w.ask.action, who: w.ask.who()}, true
	case m.Claim != nil || m.Intent == nil:
		return stageID{}, false
	case m.Owner == operator.Unreachable:
		return stageID{mod: m.Mod, action: sessionv1.Ask_ACTION_CLOSE, who: operator.Identity{Node: m.Span.Owner.Node, Session: m.Span.Owner.Session}}, true
	case m.Intent.To != "" && !m.Owner.Present() && recs.Target == operator.Unreachable && !now.Before(w.retryAt):
		return stageID{mod: m.Mod, action: sessionv1.Ask_ACTION_OPEN, who: operator.Identity{Node: m.Intent.To, Session: l.state.Session(m.Intent.To)}}, true
	}
	return stageID{}, false
}

// keepTime holds what goes on with a span against its deadline, and sees to it that the span is looked at then.
func (l *loop) keepTime(recs operator.Records, w *work, now time.Time) {
	m, members := recs.Members[0], len(recs.Members)
	id, ok := l.underway(recs, w, now)
	if id != w.stage.stageID {
		l.endStage(m.Ref, w)
		w.stage = timedStage{stageID: id, began: now}
	}
	if !ok {
		return
	}
	s := &w.stage
	s.busy = max(s.busy, l.state.Acts(s.who.Session)+len(l.asked[s.who.Session]))
	base := l.baseLimit(m.Keyspace, opens(m, s))
	due := later(s.began, s.moved).Add(allowed(base, members, s.busy))
	if now.Before(due) && s.abortAt.IsZero() {
		s.late = false
		l.unstick(m.Ref, s)
		l.wake(m.Ref, w, due)
		return
	}
	if !s.late {
		s.late = true
		l.m.stats.late.Add(1)
	}
	l.tooLate(m, w, now)
}

// tooLate does what can be done. Nothing but its actor can end a stage safely, and only an opening that nobody has
// claimed can go elsewhere.
func (l *loop) tooLate(m operator.Member, w *work, now time.Time) {
	s := &w.stage
	switch {
	case m.Claim != nil && m.Claim.Stage == record.StageOpening && m.Actor == operator.Alive:
		l.abortLate(m, w, now)
	case m.Claim == nil && s.action == sessionv1.Ask_ACTION_OPEN && !m.Owner.Present():
		l.unanswered(m, w, now)
	default:
		l.getStuck(m, w)
	}
}

// opens reports whether the stage is an opening, else it is a closing.
func opens(m operator.Member, s *timedStage) bool {
	if m.Claim != nil {
		return m.Claim.Stage == record.StageOpening
	}
	return s.action == sessionv1.Ask_ACTION_OPEN
}

// abortLate asks the actor of an opening to give it up, again and again until the claim is gone. Should that take too
// long, too, the opening is stuck; the asks go on.
func (l *loop) abortLate(m operator.Member, w *work, now time.Time) {
	s := &w.stage
	if s.abortAt.IsZero() {
		s.abortAt = now
		l.log.Warn("an opening takes too long and is to be given up", refField(m.Ref), zap.String("operator", m.Claim.Operator),
			zap.String("node", s.who.Node), zap.Duration("after", now.Sub(s.began)))
	}
	if !now.Before(s.again) {
		s.again = now.Add(backoff(l.tuned.AskRetry, l.tuned.AskRetryMax, s.tries))
		s.tries++
		l.m.stats.aborts.Add(1)
		l.queueAbort(m)
	}
	if stuckAt := s.abortAt.Add(abortWait); now.Before(stuckAt) {
		l.wake(m.Ref, w, stuckAt)
	} else {
		l.getStuck(m, w)
	}
	l.wake(m.Ref, w, s.again)
}

// wasLate reports, once, whether the session has given an opening up because it was asked to.
func (l *loop) wasLate(w *work, session int64) bool {
	switch {
	case !w.stage.abortAt.IsZero() && w.stage.who.Session == session && !w.stage.told:
		w.stage.told = true
	case w.aborted.Session == session:
		w.aborted = operator.Identity{}
	default:
		return false
	}
	return true
}

// queueAbort names the claim, so that no other opening is ended by an ask that comes late.
func (l *loop) queueAbort(m operator.Member) {
	l.out[m.Claim.Session] = append(l.out[m.Claim.Session], &sessionv1.Ask{
		Keyspace: m.Keyspace, Action: sessionv1.Ask_ACTION_ABORT, Operator: m.Claim.Operator,
		Members: []*sessionv1.Ask_Member{{Span: string(m.ID), ModRevision: m.Mod, Claim: m.Claim.Mod}},
		By:      int32(m.Claim.By), Reason: "it takes too long",
	})
}

// unanswered puts an opening that was asked for in vain off, and somewhere else if there is another node. Should the node
// come to it after all, whoever claims first opens the span.
func (l *loop) unanswered(m operator.Member, w *work, now time.Time) {
	s := w.stage
	l.deaf[s.who.Session] = now.Add(deafFor)
	l.fleet.stale = true
	l.dropAsk(m.Ref, w)
	l.count(m.Ref, operator.Identity{})
	l.failedOpening(m.Ref, w, s.who.Node, 0, fmt.Sprintf("%s has not begun it within %v", s.who.Node, now.Sub(s.began).Round(time.Second)))
	l.endStage(m.Ref, w)
}

// deafFor is how long a node that has let the deadline of an opening pass, and answered nothing since, gets no further
// ones that could go elsewhere.
const deafFor = 30 * time.Second

func (l *loop) isDeaf(session int64) bool {
	_, deaf := l.deaf[session]
	return deaf
}

// tryTheDeaf gives nodes that did not answer another chance.
func (l *loop) tryTheDeaf(now time.Time) {
	for session, until := range l.deaf {
		if !now.Before(until) {
			l.hears(session)
		}
	}
}

// hears: a node that did not answer does, or has another chance. What waits for it is looked at.
func (l *loop) hears(session int64) {
	if l.isDeaf(session) {
		delete(l.deaf, session)
		l.roomier, l.fleet.stale = true, true
	}
}

// getStuck says that nothing but the node itself, or an administrator, can end the stage. It takes room from no other
// span: what is stuck no longer counts as in flight.
func (l *loop) getStuck(m operator.Member, w *work) {
	if w.ask != nil && w.ask.state == asked {
		l.answered(m.Ref, w, taken) // also of an ask that followed upon a refusal
	}
	if w.stage.stuck {
		return
	}
	w.stage.stuck = true
	l.lookAtMembers(w)
	l.head(m.Ref, l.drains.moves.headings[m.Ref], true)
	k := stuckKnown{claim: w.stage.claim, node: w.stage.who.Node, since: w.stage.began, doing: doing(m, w)}
	if m.Intent != nil {
		k.purpose = " for " + record.KindName(m.Intent.Kind) + " " + m.Intent.Operator
	}
	l.known.update(m.Ref, func(s *spanKnown) { s.stuck = &k })
	l.log.Error("stage is stuck: it goes on when its node ends it or is evicted", refField(m.Ref), zap.String("operator", operatorOf(m)),
		zap.String("node", k.node), zap.String("stage", k.doing), zap.Time("since", k.since))
}

func operatorOf(m operator.Member) string {
	if m.Intent == nil {
		return ""
	}
	return m.Intent.Operator
}

// doing is the stage, as it is shown.
func doing(m operator.Member, w *work) string {
	switch {
	case m.Claim != nil:
		return record.StageName(m.Claim.Stage)
	case w.ask == nil:
		return "not there to be asked to close"
	case opens(m, &w.stage):
		return "asked to open"
	}
	return "asked to close"
}

// endStage: whatever went on is over, or has given way to something else.
func (l *loop) endStage(r operator.Ref, w *work) {
	s := w.stage
	w.stage = timedStage{}
	if !s.abortAt.IsZero() && !s.told {
		w.aborted = s.who // it will say so; the records are often faster
	}
	l.unstick(r, &s)
}

// unstick: the stage is over, or may take longer than it might before.
func (l *loop) unstick(r operator.Ref, s *timedStage) {
	if !s.stuck {
		return
	}
	s.stuck = false
	l.lookAtMembers(l.works[r])
	l.known.update(r, func(k *spanKnown) { k.stuck = nil })
	l.log.Info("stage is no longer stuck", refField(r), zap.String("node", s.who.Node), zap.Duration("after", time.Since(s.began)))
}

// progressed: an initial copy that gets further has its whole time again.
func (l *loop) progressed(r operator.Ref, session int64, copied int64, now time.Time) {
	w := l.works[r]
	if w == nil || w.stage.who.Session != session || copied <= w.stage.copied {
		return
	}
	w.stage.copied, w.stage.moved = copied, now
}

// stuckKnown is a stage of which nobody knows when it ends.
type stuckKnown struct {
	claim                int64
	node, doing, purpose string
	since                time.Time
}

func (k *stuckKnown) text() string {
	return fmt.Sprintf("%s is %s it%s since %s, longer than that may take; it goes on when that ends, or after `spanward node evict %s`",
		k.node, k.doing, k.purpose, k.since.UTC().Format(time.RFC3339), k.node)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
