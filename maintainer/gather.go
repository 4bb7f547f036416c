package maintainer

import (
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// gather collects all records of the operator that the span belongs to, or of the span alone.
func (l *loop) gather(r operator.Ref) (operator.Records, bool) {
	first, ok := l.member(r)
	if !ok {
		return operator.Records{}, false
	}
	recs := operator.Records{Members: []operator.Member{first}, Keyspace: l.keyspaceState(r.Keyspace)}
	if i := first.Intent; i != nil {
		recs.Target = l.nodePresence(i.To)
		recs.Members = append(recs.Members, l.others(r, i)...)
	}
	return recs, true
}

// others are the further members of an operator that concerns several spans.
func (l *loop) others(r operator.Ref, i *record.Intent) []operator.Member {
	var out []operator.Member
	for _, id := range i.Spans {
		if span.ID(id) == r.ID || len(i.Spans) < 2 {
			continue
		}
		m, ok := l.member(operator.Ref{Keyspace: r.Keyspace, ID: span.ID(id)})
		if ok && m.Intent != nil && m.Intent.Operator == i.Operator {
			out = append(out, m)
		}
	}
	return out
}

// member is a span with what is known around it, false if there is neither a record nor a claim.
func (l *loop) member(r operator.Ref) (operator.Member, bool) {
	s, exists := l.state.Span(r)
	claim, claimed := l.state.Claim(r)
	if !exists && !claimed {
		return operator.Member{}, false
	}
	s.Ref = r
	m := operator.Member{Span: s}
	m.Owner = l.presence(r, operator.Identity{Node: s.Owner.Node, Session: s.Owner.Session})
	if claimed {
		m.Claim = &claim
		m.Actor = l.presence(r, operator.Identity{Node: claim.Node, Session: claim.Session})
		m.ActorSession = l.state.Session(claim.Node)
		return m, true
	}
	l.m.past.catchUp()
	if opener, ok := l.m.past.opener(r); ok {
		m.Opener = l.presence(r, opener)
	} else if s.Owner.Nobody() {
		m.Opener = l.lapse(r, l.m.past.unseenUntil(s))
	}
	if w := l.works[r]; w != nil {
		m.Missing = w.missing != 0 && s.Owner.Token == w.missing
	}
	return m, true
}

func (l *loop) keyspaceState(name string) record.KeyspaceState {
	return l.state.Keyspace(name).State
}

// nodePresence is that of a node in whatever session it has now.
func (l *loop) nodePresence(name string) operator.Presence {
	session := l.state.Session(name)
	if session == 0 {
		return operator.Over
	}
	return l.reach(session)
}

func (l *loop) reach(session int64) operator.Presence {
	if l.streams[session] == nil {
		return operator.Unreachable
	}
	return operator.Alive
}

// presence is what is known of a session. Where that will change by itself, the span is looked at again then.
func (l *loop) presence(r operator.Ref, who operator.Identity) operator.Presence {
	switch {
	case who.Session == 0:
		return operator.Over
	case l.state.Session(who.Node) == who.Session:
		return l.reach(who.Session)
	}
	return l.lapse(r, l.lapsesAt(who.Session))
}

// lapsesAt is when a session that is gone may no longer act.
func (l *loop) lapsesAt(session int64) time.Duration {
	loss := l.m.past.loss(session)
	if n := l.known.node(session); n.mayActUntil > 0 {
		loss.Known, loss.Declared = true, n.mayActUntil
	}
	return operator.LapsesAt(loss)
}

func (l *loop) lapse(r operator.Ref, at time.Duration) operator.Presence {
	left := at - l.m.clock()
	if left <= 0 {
		return operator.Over
	}
	l.wake(r, l.work(r), time.Now().Add(left))
	return operator.Lapsing
}
