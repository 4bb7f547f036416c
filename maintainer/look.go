package maintainer

import (
	"fmt"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

// resultWait is how long a span that a living node gave up is left alone for the node to say why. Without it the
// records, which are often faster, would send the span right back.
const resultWait = 300 * time.Millisecond

// look decides what follows for one span and carries it out.
func (l *loop) look(r operator.Ref, now time.Time) {
	w := l.works[r]
	if w != nil && (w.writing || w.after > l.state.Revision()) {
		return // the answer, or the change itself, leads here again
	}
	recs, ok := l.gather(r)
	if !ok {
		l.lookAtMembers(w)
		l.forget(r)
		return
	}
	w = l.work(r)
	m := recs.Members[0]
	l.noteMembers(w, m)
	l.observe(r, w, m, now)
	if recs.Keyspace == record.KeyspacePaused && m.Claim == nil && m.Span.Owner.Nobody() {
		w.retryAt, w.holdFor, w.failedOn = time.Time{}, operator.Identity{}, "" // it was closed because it was asked to be
	}
	waiting := w.waiting
	if !l.giveWay(recs, now) {
		waiting = l.goOn(recs, w, now)
	}
	l.noteLeaving(m, w, recs.Keyspace)
	l.keepTime(recs, w, now)
	l.noteFleet(m, w, now)
	l.wait(r, w, waiting)
	l.retire(r, w, m)
}

// retire forgets that there is work where there is none.
func (l *loop) retire(r operator.Ref, w *work, m operator.Member) {
	w.acting = m.Claim
	idle := w.ask == nil && m.Claim == nil && w.failures == 0 && w.retryAt.IsZero() && w.missing == 0 &&
		w.wakeAt.IsZero() && w.waiting == "" && !w.writing
	if idle && m.Owner.Present() && m.Intent == nil {
		delete(l.works, r)
	}
}

// observe brings what is under way in line with the records.
func (l *loop) observe(r operator.Ref, w *work, m operator.Member, now time.Time) {
	was, acting := l.counted[r], w.acting
	if acting == nil && w.ask != nil && w.ask.action == sessionv1.Ask_ACTION_OPEN {
		was = operator.Identity{} // it was only going to weigh there
	}
	if w.ask != nil && (m.Claim != nil || m.Mod != w.ask.mod || l.streams[w.ask.session] == nil || l.outdated(w.ask)) {
		l.dropAsk(r, w)
	}
	l.count(r, weighsOn(m, w))
	l.head(r, headingOf(m.Intent, l.counted[r]), w.stage.stuck)
	if m.Claim != nil || m.Span.Owner.Token != w.missing {
		w.missing = 0
	}
	switch {
	case m.Claim != nil:
	case !m.Span.Owner.Nobody():
		if m.Span.Owner.Token != w.broken {
			l.recovered(r, w)
		}
	case acting == nil && m.Intent != nil && m.Intent.HandedOff && was.Node == m.Intent.From:
		// It was claimed and handed off between two looks, as asked.
	case acting != nil && acting.Stage == record.StageOpening, acting == nil && was.Session != 0:
		l.givenUp(w, was, now)
	}
}

// recovered: the span runs, whatever went wrong before.
func (l *loop) recovered(r operator.Ref, w *work) {
	w.retryAt, w.holdFor, w.failedOn, w.broken = time.Time{}, operator.Identity{}, "", 0
	w.aborted = operator.Identity{}
	if w.failures == 0 {
		return
	}
	w.failures = 0
	l.known.update(r, func(k *spanKnown) { k.lastError, k.failures, k.retryAt = "", 0, time.Time{} })
	l.known.solve("failing", r.Keyspace, string(r.ID), "")
}

// weighsOn is the session that carries the span, or will in a moment.
func weighsOn(m operator.Member, w *work) operator.Identity {
	switch {
	case m.Claim != nil && m.Claim.Stage == record.StageOpening:
		return operator.Identity{Node: m.Claim.Node, Session: m.Claim.Session}
	case w.ask.opening():
		return w.ask.who()
	}
	return operator.Identity{Node: m.Span.Owner.Node, Session: m.Span.Owner.Session}
}

// givenUp: the session has opened the span in vain, or given it back on its own. If it lives it will say why in a
// moment.
func (l *loop) givenUp(w *work, who operator.Identity, now time.Time) {
	if l.state.Session(who.Node) != who.Session {
		return
	}
	w.failedOn = who.Node
	if at := now.Add(resultWait); w.retryAt.Before(at) {
		w.retryAt, w.holdFor = at, who
	}
}

// carryOut does what Next has decided. It returns what there is to wait for.
func (l *loop) carryOut(a operator.Action, recs operator.Records, w *work, now time.Time) string {
	m := recs.Members[0]
	if home := homeOf(a, m.Ref); home != m.Ref {
		l.dirty.push(home)
		return fmt.Sprintf("span %s goes first", home.ID)
	}
	switch a := a.(type) {
	case operator.AskClose:
		return l.askClose(recs, w, a, now)
	case operator.Place:
		return l.placeMember(recs, w, a, now)
	case operator.Reopen:
		return l.reopen(m, w, a, now)
	case operator.Release:
		return l.askRelease(m, w, a, now)
	case operator.AcceptRemove:
		l.acceptRemove(recs)
	case operator.Fail:
		l.failOperator(a)
	case operator.Swap:
		return l.swap(a)
	case operator.Drop:
		l.m.past.claimGone(a.Span, operator.Identity{Node: a.Claim.Node, Session: a.Claim.Session})
		l.enqueue(write{
			ref: a.Span, point: "maintainer/any/orphan",
			part: operator.DropClaim(l.m.cfg.Layout, a.Span, a.Claim, a.Present),
		})
	case operator.Wait:
		return waitingFor(a)
	}
	return ""
}

func waitingFor(a operator.Wait) string {
	switch a.For {
	case operator.ForActor:
		return "" // the claim itself is shown
	case operator.ForLapse:
		return fmt.Sprintf("%s is gone but may still act for a moment", orSomebody(a.Node))
	case operator.ForStream:
		return fmt.Sprintf("%s does not answer the leader", a.Node)
	case operator.ForKeyspace:
		return "the keyspace is not running"
	}
	return ""
}

func orSomebody(node string) string {
	if node == "" {
		return "the node that opened it"
	}
	return node
}

// wait shows what the span waits for.
func (l *loop) wait(r operator.Ref, w *work, text string) { l.waitBarred(r, w, text, false) }

// waitBarred tells in addition whether it is the rules of its keyspace that keep the span from being placed.
func (l *loop) waitBarred(r operator.Ref, w *work, text string, barred bool) {
	if w.waiting == text {
		return
	}
	w.waiting = text
	l.known.update(r, func(k *spanKnown) {
		switch k.waiting = text; {
		case !barred:
			k.barredSince = time.Time{}
		case k.barredSince.IsZero():
			k.barredSince = time.Now()
		}
	})
}

// wrote takes the answer of a write about a span.
func (l *loop) wrote(r operator.Ref, res txn.Result, err error) {
	w := l.work(r)
	w.writing = false
	if err == nil && res.Outcome == txn.Done {
		w.after = res.Revision
		if res.Earlier || l.state.Revision() >= res.Revision {
			w.after = 0
			l.dirty.push(r)
		}
		return
	}
	// The view will show why, or has shown it already; else the same is tried again after a moment.
	l.wake(r, w, time.Now().Add(l.tuned.AskRetry))
}
