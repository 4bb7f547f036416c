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
		for _, member := range ask.GetMembers() {
			l.ask(ctx, m.GetTerm(), ask, member)
		}
	}
	for _, r := range m.GetConfirm() {
		l.confirm.add(operator.Ref{Keyspace: r.GetKeyspace(), ID: span.ID(r.GetSpan())})
	}
}

func (l *loop) ask(ctx context.Context, term int64, ask *sessionv1.Ask, m *sessionv1.Ask_Member) {
	ref := operator.Ref{Keyspace: ask.GetKeyspace(), ID: span.ID(m.GetSpan())}
	in := input{order: order{workload: ask.GetWorkload(), reason: ask.GetReason(), settings: ask.GetSettings()}}
	if ask.GetAction() == sessionv1.Ask_ACTION_ABORT {
		in.event = operator.AskAbort{Operator: ask.GetOperator(), Claim: m.GetClaim()}
		l.deliver(ctx, ref, in)
		return
	}
	s, err := record.DecodeSpan(m.GetRecord())
	if err != nil {
		l.refuse(ref, ask, operator.ResultRefused, fmt.Sprintf("the record in the ask: %v", err))
		return
	}
	sp := operator.Span{Ref: ref, Span: s, Mod: m.GetModRevision()}
	switch ask.GetAction() {
	case sessionv1.Ask_ACTION_OPEN:
		if _, ok := l.d.workloads[ask.GetWorkload()]; !ok {
			l.refuse(ref, ask, operator.ResultOpenFailed, l.unknown(ask.GetWorkload()))
			return
		}
		in.event = operator.AskOpen{Span: sp, From: positionOf(m), Term: term, By: record.By(ask.GetBy())}
	case sessionv1.Ask_ACTION_CLOSE:
		in.event = operator.AskEnd{Span: sp, Term: term}
	case sessionv1.Ask_ACTION_RELEASE:
		in.event = operator.AskRelease{Span: sp}
	default:
		l.refuse(ref, ask, operator.ResultRefused, fmt.Sprintf("this dispatcher cannot do %v", ask.GetAction()))
		return
	}
	l.deliver(ctx, ref, in)
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
