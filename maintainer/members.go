package maintainer

import (
	"fmt"
	"slices"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// homeOf is the span whose work an action belongs to. Next decides the same whichever member of an operator is looked at; each
// action is carried out where the member that it is about is looked at, or the first, if it is about all. Waiting is
// shown everywhere.
func homeOf(a operator.Action, at operator.Ref) operator.Ref {
	switch a := a.(type) {
	case operator.AskClose:
		return a.Spans[0]
	case operator.Place:
		return a.Span
	case operator.Reopen:
		return a.Span
	case operator.Release:
		return a.Span
	case operator.AcceptRemove:
		return a.Span
	case operator.Fail:
		return a.Members[0].Ref
	case operator.Swap:
		return a.Members[0].Ref
	case operator.Drop:
		return a.Span
	}
	return at
}

// noteMembers remembers with which spans a span shares its operator. When it no longer does, nothing that happens to it
// leads to the others, so they are looked at.
func (l *loop) noteMembers(w *work, m operator.Member) {
	var now []operator.Ref
	if m.Intent != nil && len(m.Intent.Spans) > 1 {
		for _, id := range m.Intent.Spans {
			now = append(now, operator.Ref{Keyspace: m.Keyspace, ID: span.ID(id)})
		}
	}
	if !slices.Equal(w.members, now) {
		l.lookAtMembers(w)
		w.members = now
	}
}

func (l *loop) lookAtMembers(w *work) {
	if w == nil {
		return
	}
	for _, r := range w.members {
		l.dirty.push(r)
	}
}

// hiddenRetry is how often it is looked whether a record of an operator can be read again.
const hiddenRetry = time.Second

// goOn carries out what follows from all records. It returns what there is to wait for.
func (l *loop) goOn(recs operator.Records, w *work, now time.Time) string {
	m := recs.Members[0]
	if l.yields(m, w, now) {
		return w.waiting
	}
	if id := l.hiddenMember(m); id != "" {
		l.wake(m.Ref, w, now.Add(hiddenRetry)) // nothing that becomes of it leads here
		return fmt.Sprintf("the record of span %s, of the same operator, cannot be read", id)
	}
	waiting := ""
	for _, a := range operator.Next(recs) {
		if text := l.carryOut(a, recs, w, now); text != "" {
			waiting = text
		}
	}
	return waiting
}

// hiddenMember is a span of the same operator whose record nobody can read, "" if there is none. It is still a member.
func (l *loop) hiddenMember(m operator.Member) string {
	return read(l.state, func(s *view.State) string {
		id, _ := unreadableMember(s, m.Keyspace, m.Intent)
		return id
	})
}

// askClose asks the owner of a span to act on its operator, or the owner of all sources of a merge. What takes the place of
// a span that is split or merged begins at a position that is known now, so none may be on its way to etcd.
func (l *loop) askClose(recs operator.Records, w *work, a operator.AskClose, now time.Time) string {
	m := recs.Members[0]
	k := ask{
		action: sessionv1.Ask_ACTION_CLOSE, node: a.Owner.Node, session: a.Owner.Session, by: m.Intent.By, why: m.Intent.Reason,
	}
	for _, r := range a.Spans[1:] {
		for _, p := range recs.Members {
			if p.Ref == r {
				k.peers = append(k.peers, p.Span)
			}
		}
	}
	fresh := w.ask == nil || w.ask.state == refused || !samePeers(w.ask.peers, k.peers)
	if fresh && (m.Intent.Kind == record.KindSplit || len(k.peers) > 0) {
		for _, r := range a.Spans {
			if l.progress.deferred(r) {
				return "its position is being written"
			}
		}
	}
	return l.askOwner(m, w, k, now)
}

func samePeers(a, b []operator.Span) bool {
	return slices.EqualFunc(a, b, func(x, y operator.Span) bool { return x.Ref == y.Ref && x.Mod == y.Mod })
}

// outdated reports whether a record of a further member is not the one that an ask was made on.
func (l *loop) outdated(k *ask) bool {
	for _, p := range k.peers {
		s, ok := l.state.Span(p.Ref)
		if _, claimed := l.state.Claim(p.Ref); !ok || claimed || s.Mod != p.Mod {
			return true
		}
	}
	return false
}

// placeMember places a span. A source that cannot be opened where a merge gathers ends the merge: at any other place it
// would be no nearer to its neighbours.
func (l *loop) placeMember(recs operator.Records, w *work, p operator.Place, now time.Time) string {
	m := recs.Members[0]
	if m.Intent != nil && m.Intent.Kind == record.KindMerge && w.failures >= elsewhereAfter && w.failedOn == p.Only {
		l.failOperator(operator.Fail{Members: recs.Members, Why: fmt.Sprintf(
			"source %s could not be opened on %s, where the others are, in %d tries: %s", m.ID, p.Only, w.failures, l.known.span(m.Ref).lastError)})
		return ""
	}
	return l.want(m, w, p, now)
}

// supersede has a remove take the place of an operator that nobody acts on, since its keyspace is being deleted.
func (l *loop) supersede(recs operator.Records, by *record.Intent, now time.Time) txn.Part {
	cause := record.Cause{By: by.By, Reason: by.Reason, Operator: by.Operator}
	return operator.End(l.m.cfg.Layout, operator.EarlyEnd{
		Members: l.unclaimed(recs.Members), Outcome: record.OutcomeCancelled, Error: operator.EndText(cause), Cause: &cause,
		Successor: by, Of: recs.Members[0].ID,
	}, now)
}
