package maintainer

import (
	"context"
	"errors"
	"sync"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
)

const (
	// revokedMemory is how long it is remembered, at most, what an actor was asked to end for a request that nobody waits
	// for any more: a request that is repeated meanwhile has to ask for the very same.
	revokedMemory = 10 * time.Minute
	// yieldFor is how long an operator that is to be ended early is left to whoever ends it.
	yieldFor = 500 * time.Millisecond
	// answerMargin is how much earlier than its caller a call gives up, so that its reason still arrives.
	answerMargin = 300 * time.Millisecond
)

// revocation is the early end of an operator, as one request asks for it: a cancel, or a remove that takes its place.
type revocation struct {
	action sessionv1.Ask_Action
	// operator that ends, "" for a placement.
	operator string
	// members carry it; the one to remove comes first. claims are those on them.
	members   []operator.Span
	claims    map[operator.Ref]operator.Claim
	cause     record.Cause
	successor *record.Intent

	// over is closed when the claims or records are not those any more; gone when nobody waits.
	over chan struct{}
	gone <-chan struct{}
	// mu guards said: why it has not ended yet.
	mu   sync.Mutex
	said string
}

// early is the transaction's content where nobody acts.
func (v *revocation) early() operator.EarlyEnd {
	e := operator.EarlyEnd{
		Outcome: record.OutcomeCancelled, Error: operator.EndText(v.cause), Cause: &v.cause, Successor: v.successor, Of: v.members[0].ID,
	}
	for _, m := range v.members {
		e.Members = append(e.Members, operator.Held{Span: m})
	}
	return e
}

// actor is who acts: all claims of an operator are of one session.
func (v *revocation) actor() operator.Claim {
	for _, m := range v.members {
		if c, ok := v.claims[m.Ref]; ok {
			return c
		}
	}
	return operator.Claim{}
}

func (v *revocation) say(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.said = text
}

func (v *revocation) why() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.said
}

// revoke has the actor of an operator asked to end it, until what the view shows is something else: then there is a new
// plan. Its outcome is unknown if it does not come to that in time.
func (c *control) revoke(ctx context.Context, t *term, v *revocation) error {
	wait, cancel := context.WithCancel(ctx)
	if end, ok := ctx.Deadline(); ok {
		wait, cancel = context.WithDeadline(ctx, end.Add(-min(answerMargin, time.Until(end)/2)))
	}
	defer cancel()
	v.over, v.gone = make(chan struct{}), wait.Done()
	if !t.revoke(v) {
		return fault.New(fault.NotLeader, "the leader was replaced during the call").Fix(repeat)
	}
	select {
	case <-v.over:
		return nil
	case <-wait.Done():
	}
	if t.over.Err() != nil || errors.Is(wait.Err(), context.Canceled) {
		return ctx.Err()
	}
	return fault.New(fault.Timeout, "%s has not given it up yet: %s", v.actor().Node, v.why()).On("operator", v.operator).
		Fix("repeat with the same --request-id; if it stays so, `spanward node evict %s`", v.actor().Node).Because(wait.Err())
}

// revoking is a revocation that goes on, with all who wait for it: one call, or others that repeat its request.
type revoking struct {
	*revocation
	waiters []*revocation
	since   time.Time
	// again is when the actor is asked next.
	again time.Time
	tries int
	// own: the leader itself wants it, for as long as claims and records are those.
	own bool
}

// revoke begins to ask. A request that is repeated joins what was asked for already, under the same ids.
func (l *loop) revoke(v *revocation) {
	v.say("it was asked to")
	r := l.revoking[v.cause.RequestID]
	if r == nil || !r.same(v) {
		r = &revoking{revocation: v, since: time.Now()}
		l.revoking[v.cause.RequestID] = r
	}
	r.waiters = append(r.waiters, v)
	r.again, r.tries = time.Time{}, 0
}

// same reports whether two revocations are about the same claims.
func (v *revocation) same(o *revocation) bool {
	if v.action != o.action || len(v.claims) != len(o.claims) {
		return false
	}
	for r, c := range v.claims {
		if o.claims[r].Mod != c.Mod {
			return false
		}
	}
	return true
}

// release has those that wait make a new plan, and leaves the operator to them for a moment: should its actor have died, it
// ends as they have asked instead of going on.
func (l *loop) release(r *revoking, now time.Time) {
	r.forgetGone()
	for _, v := range r.waiters {
		close(v.over)
	}
	if len(r.waiters) > 0 && r.operator != "" {
		l.yielding[r.operator] = now.Add(yieldFor)
	}
}

// yields reports whether an operator is left to somebody who ends it, and looks again after that.
func (l *loop) yields(m operator.Member, w *work, now time.Time) bool {
	until, ok := l.yielding[operatorOf(m)]
	if !ok || !now.Before(until) {
		return false
	}
	l.wake(m.Ref, w, until)
	return true
}

// goOnRevoking asks actors again, and ends what has been overtaken.
func (l *loop) goOnRevoking(now time.Time) {
	for id, until := range l.yielding {
		if !now.Before(until) {
			delete(l.yielding, id)
		}
	}
	for id, r := range l.revoking {
		if l.overtaken(r.revocation) {
			l.release(r, now)
			delete(l.revoking, id)
			continue
		}
		r.forgetGone()
		switch {
		case !r.asks() && now.Sub(r.since) > revokedMemory:
			delete(l.revoking, id)
		case r.asks() && !now.Before(r.again):
			l.askToRevoke(r, now)
		}
	}
}

// revokeNap shortens a nap to when an actor is asked again. One without a stream is asked once that is there.
func (l *loop) revokeNap(now time.Time, nap time.Duration) time.Duration {
	for _, r := range l.revoking {
		if r.asks() && r.again.After(now) {
			nap = min(nap, r.again.Sub(now))
		}
	}
	return nap
}

func (r *revoking) forgetGone() {
	kept := r.waiters[:0]
	for _, v := range r.waiters {
		select {
		case <-v.gone:
		default:
			kept = append(kept, v)
		}
	}
	r.waiters = kept
}

func (r *revoking) tell(text string) {
	for _, v := range r.waiters {
		v.say(text)
	}
}

// overtaken reports whether a claim or a record is not the one that was read.
func (l *loop) overtaken(v *revocation) bool {
	for _, m := range v.members {
		if s, ok := l.state.Span(m.Ref); !ok || s.Mod != m.Mod {
			return true
		}
		if c, _ := l.state.Claim(m.Ref); c.Mod != v.claims[m.Ref].Mod {
			return true
		}
	}
	return false
}

func (l *loop) askToRevoke(r *revoking, now time.Time) {
	session := r.actor().Session
	if l.streams[session] == nil {
		r.tell("it does not answer the leader")
		return
	}
	r.again = now.Add(backoff(l.tuned.AskRetry, l.tuned.AskRetryMax, r.tries))
	r.tries++
	a := &sessionv1.Ask{
		Keyspace: r.members[0].Keyspace, Action: r.action, Operator: r.operator,
		By: int32(r.cause.By), Reason: operator.EndText(r.cause), Cause: record.EncodeCause(r.cause),
	}
	if r.successor != nil {
		a.Successor = record.EncodeIntent(*r.successor)
	}
	for _, m := range r.members {
		member := l.askMember(m, r.action)
		member.Claim = r.claims[m.Ref].Mod
		a.Members = append(a.Members, member)
	}
	l.queue(session, a)
}

// revokeAnswered takes what an actor has said about an operator that it was to end. Whether it has ended is in the records;
// a refusal may only mean that it is in the middle of a transaction, so it is asked again soon.
func (l *loop) revokeAnswered(r operator.Ref, res *sessionv1.StageResult) {
	if res.GetResult() != sessionv1.StageResult_RESULT_REFUSED {
		return
	}
	for _, v := range l.revoking {
		if _, claimed := v.claims[r]; claimed && v.operator == res.GetOperator() {
			v.tell(res.GetError())
			v.again = time.Now().Add(backoff(refusedRetry, l.tuned.AskRetryMax, v.tries))
		}
	}
}

// openingRevoked: an opening that was given up for that is no reason to keep the span from being opened.
func (l *loop) openingRevoked(r operator.Ref) {
	if w := l.works[r]; w != nil && w.failures == 0 {
		w.retryAt, w.failedOn = time.Time{}, ""
	}
	l.dirty.push(r)
}
