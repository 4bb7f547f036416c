package dispatcher

import (
	"context"
	"fmt"
	"strings"

	"go.uber.org/zap"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// asked takes a message of the leader. Nothing in it is trusted: a claim compares the leader's term and the record.
func (l *loop) asked(ctx context.Context, m *sessionv1.DispatchResponse) {
	if l.stopping {
		return
	}
	if m.GetTerm() < l.term {
		l.log.Info("message of a former leader dropped", zap.Int64("term", m.GetTerm()), zap.Int64("newest", l.term))
		return
	}
	l.term = m.GetTerm()
	for _, ask := range m.GetAsks() {
		l.ask(ctx, m.GetTerm(), ask)
	}
	for _, r := range m.GetConfirm() {
		l.confirm.add(operator.Ref{Keyspace: r.GetKeyspace(), ID: span.ID(r.GetSpan())})
	}
}

// member is one span of an ask.
type member struct {
	span operator.Span
	// from is the highest position that the leader knows to be durable.
	from Position
	// claim that the ask is about, 0 for none.
	claim int64
}

func (l *loop) ask(ctx context.Context, term int64, ask *sessionv1.Ask) {
	members, err := membersOf(ask)
	switch {
	case len(ask.GetMembers()) == 0:
		l.log.Warn("ask names no span", zap.String("operator", ask.GetOperator()))
		return
	case err != nil:
		l.refuse(refOf(ask, 0), ask, operator.ResultRefused, err.Error())
		return
	}
	o := order{workload: ask.GetWorkload(), reason: ask.GetReason(), settings: ask.GetSettings()}
	switch ask.GetAction() {
	case sessionv1.Ask_ACTION_CLOSE:
		if len(members) > 1 {
			l.askMerge(ctx, term, ask, o, members)
			return
		}
	case sessionv1.Ask_ACTION_CANCEL, sessionv1.Ask_ACTION_SUPERSEDE:
		l.askRevoke(ctx, term, ask, o, members)
		return
	default:
	}
	for _, m := range members {
		l.askOne(ctx, term, ask, input{order: o}, m)
	}
}

// askOne is an ask that concerns each of its spans alone.
func (l *loop) askOne(ctx context.Context, term int64, ask *sessionv1.Ask, in input, m member) {
	switch ask.GetAction() {
	case sessionv1.Ask_ACTION_OPEN:
		if _, ok := l.d.workloads[ask.GetWorkload()]; !ok {
			l.refuse(m.span.Ref, ask, operator.ResultOpenFailed, l.unknown(ask.GetWorkload()))
			return
		}
		in.event = operator.AskOpen{Span: m.span, From: m.from, Term: term, By: record.By(ask.GetBy())}
	case sessionv1.Ask_ACTION_CLOSE:
		in.event = operator.AskEnd{Span: m.span, From: m.from, Term: term}
	case sessionv1.Ask_ACTION_RELEASE:
		in.event = operator.AskRelease{Span: m.span}
	case sessionv1.Ask_ACTION_ABORT:
		in.event = operator.AskAbort{Span: m.span, Operator: ask.GetOperator(), Claim: m.claim}
	default:
		l.refuse(m.span.Ref, ask, operator.ResultRefused, fmt.Sprintf("this dispatcher cannot do %v", ask.GetAction()))
		return
	}
	l.deliver(ctx, m.span.Ref, in)
}

// askMerge goes to the group of the spans, which begins with it.
func (l *loop) askMerge(ctx context.Context, term int64, ask *sessionv1.Ask, o order, members []member) {
	if g := l.groupOf(members); g != nil {
		l.feedGroup(ctx, g, operator.AskMerge{Operator: ask.GetOperator(), Term: term})
		return
	}
	for _, m := range members {
		if e := l.entries[m.span.Ref]; e != nil && e.aborting {
			l.refuse(m.span.Ref, ask, operator.ResultRefused, "what ran of it before has not ended yet")
			return
		}
	}
	l.startGroup(ctx, term, o, members)
}

func (l *loop) groupOf(members []member) *group {
	for _, m := range members {
		if e := l.entries[m.span.Ref]; e != nil && e.group != nil {
			return e.group
		}
	}
	return nil
}

// askRevoke goes to whoever holds the claims that it is about: a group, or the one span that is claimed. The others are
// told to it, since the operator ends on all its spans at once.
func (l *loop) askRevoke(ctx context.Context, term int64, ask *sessionv1.Ask, o order, members []member) {
	ev, err := revokeOf(ask)
	if err != nil {
		l.refuse(members[0].span.Ref, ask, operator.ResultRefused, err.Error())
		return
	}
	ev.Term, ev.Of = term, members[0].span.ID
	var holder *entry
	for _, m := range members {
		ev.Members = append(ev.Members, m.span)
		if m.claim == 0 {
			continue
		}
		holder = l.entries[m.span.Ref]
		if holder == nil || holder.actor.Claim.Mod != m.claim {
			l.refuse(m.span.Ref, ask, operator.ResultRefused, "no such claim")
			return
		}
		holder.learn(o)
	}
	if holder == nil {
		l.refuse(members[0].span.Ref, ask, operator.ResultRefused, "no claim was named")
		return
	}
	l.feed(ctx, holder, input{event: ev})
}

func revokeOf(ask *sessionv1.Ask) (ev operator.AskRevoke, err error) {
	ev.Operator = ask.GetOperator()
	if ev.Cause, err = record.DecodeCause(ask.GetCause()); err != nil {
		return ev, fmt.Errorf("the cause in the ask: %w", err)
	}
	if ask.GetAction() != sessionv1.Ask_ACTION_SUPERSEDE {
		return ev, nil
	}
	i, err := record.DecodeIntent(ask.GetSuccessor())
	if err != nil {
		return ev, fmt.Errorf("the successor in the ask: %w", err)
	}
	ev.Successor = &i
	return ev, nil
}

// membersOf reads the spans of an ask. An abort needs no record: it is about a claim.
func membersOf(ask *sessionv1.Ask) ([]member, error) {
	out := make([]member, len(ask.GetMembers()))
	for n, m := range ask.GetMembers() {
		out[n] = member{span: operator.Span{Ref: refOf(ask, n), Mod: m.GetModRevision()}, from: positionOf(m), claim: m.GetClaim()}
		if ask.GetAction() == sessionv1.Ask_ACTION_ABORT {
			continue
		}
		s, err := record.DecodeSpan(m.GetRecord())
		if err != nil {
			return nil, fmt.Errorf("the record of %s in the ask: %w", m.GetSpan(), err)
		}
		out[n].span.Span = s
	}
	return out, nil
}

func refOf(ask *sessionv1.Ask, n int) operator.Ref {
	return operator.Ref{Keyspace: ask.GetKeyspace(), ID: span.ID(ask.GetMembers()[n].GetSpan())}
}

// refuse answers an ask that does not get as far as an actor.
func (l *loop) refuse(ref operator.Ref, ask *sessionv1.Ask, r operator.Result, why string) {
	l.log.Warn("ask refused", zap.String("keyspace", ref.Keyspace), zap.String("span", string(ref.ID)),
		zap.String("operator", ask.GetOperator()), zap.String("why", why))
	l.says.result(ref, operator.Say{Result: r, Operator: ask.GetOperator(), Err: why})
}

func (l *loop) unknown(workload string) string {
	return fmt.Sprintf("node %s does not run workload %q; it offers %s",
		l.env.Me.Node, workload, strings.Join(workloadNames(l.d.workloads), ", "))
}

func positionOf(m *sessionv1.Ask_Member) record.Position {
	if m.Checkpoint == nil {
		return record.Position{}
	}
	return record.At(m.GetCheckpoint())
}
