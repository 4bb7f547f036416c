package maintainer

import (
	"context"
	"slices"
	"strings"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/view"
)

// CancelOperator is part of the control API.
func (c *control) CancelOperator(ctx context.Context, q *controlv1.CancelOperatorRequest) (*controlv1.CancelOperatorResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.CancelOperator, c.cancelOperator)
}

// cancelOperator takes an operator back. It answers when that is in etcd: where nobody acts the leader writes it, else
// whoever acts does, asked by the leader.
func (c *control) cancelOperator(ctx context.Context, t *term, q *controlv1.CancelOperatorRequest) (*controlv1.CancelOperatorResponse, error) {
	if err := keys.CheckName("operator", q.GetId()); err != nil {
		return nil, err
	}
	id, err := c.accept(ctx, t, "cancel", "", q, once(func(s *view.State, who asker) (plan, error) {
		return c.planCancel(s, who, q.GetId())
	}))
	if err != nil {
		return nil, err
	}
	return &controlv1.CancelOperatorResponse{Operator: c.operator(id)}, nil
}

func (c *control) planCancel(s *view.State, who asker, id string) (plan, error) {
	members := s.OfOperator(id)
	if len(members) == 0 {
		return c.planCancelKeyspace(s, who, id)
	}
	v := endOf(s, members)
	if err := checkCancel(s, members); err != nil {
		return plan{}, err
	}
	v.action, v.cause = sessionv1.Ask_ACTION_CANCEL, who.cause("")
	return c.planEnd(id, v), nil
}

// checkCancel refuses what cannot be taken back any more, or would begin anew at once.
func checkCancel(s *view.State, members []*view.Span) error {
	i := members[0].Intent
	late := func(format string, args ...any) *fault.Error {
		return fault.New(fault.Refused, format, args...).On("operator", i.Operator)
	}
	ks := s.Keyspace(members[0].Keyspace)
	switch {
	case i.HandedOff:
		return late("is past its commit point: %s has handed the span off", orSomebody(i.From)).
			Fix("wait until it is over, then move the span back; see `spanward operator show %s`", i.Operator)
	case i.Kind == record.KindRemove && ks != nil && ks.State == record.KeyspaceDeleting:
		return late("is part of the deletion of keyspace %s, which goes on", ks.Name).Fix("create the keyspace again when it is gone")
	}
	return checkReadable(s, members[0])
}

// checkReadable refuses to end an operator of which a span has a record that nobody can read: it could be left there.
func checkReadable(s *view.State, member *view.Span) error {
	if id, q := unreadableMember(s, member.Keyspace, member.Intent); q != nil {
		return unreadable("span", id, q)
	}
	return nil
}

func unreadableMember(s *view.State, keyspace string, i *record.Intent) (string, *view.Quarantine) {
	if i == nil || len(i.Spans) < 2 {
		return "", nil
	}
	q := quarantined(s, func(p keys.Parsed) bool {
		return p.Kind == keys.Span && p.Keyspace == keyspace && slices.Contains(i.Spans, string(p.Span))
	})
	if q == nil {
		return "", nil
	}
	return string(q.Parsed.Span), q
}

// planCancelKeyspace cancels an operator that is about a whole keyspace, or says why there is nothing to be cancelled.
func (c *control) planCancelKeyspace(s *view.State, who asker, id string) (plan, error) {
	if h := s.Finished(id); h != nil {
		return plan{}, isOver(h)
	}
	for ks := range s.Keyspaces() {
		i := ofKeyspace(ks)
		if i == nil || i.Operator != id {
			continue
		}
		refused := fault.New(fault.Refused, "is the %s of keyspace %s, which cannot be taken back", keyspaceVerbs[ks.State], ks.Name).On("operator", id)
		switch ks.State {
		case record.KeyspacePaused:
			return c.cancelPause(ks, who), nil
		case record.KeyspaceCreating:
			return plan{}, refused.Fix("give it up with `spanward keyspace delete %s`", ks.Name)
		default:
			return plan{}, refused.Fix("create the keyspace again when it is gone")
		}
	}
	return plan{}, unknownOperator(id)
}

// keyspaceVerbs are what the operators in flight of keyspaces do.
var keyspaceVerbs = map[record.KeyspaceState]string{
	record.KeyspaceCreating: "creation", record.KeyspaceDeleting: "deletion", record.KeyspacePaused: "pause",
}

// cancelPause lets the keyspace run on. What was closed already is placed again.
func (c *control) cancelPause(ks *view.Keyspace, who asker) plan {
	cause := who.cause("")
	h := operator.FinishKeyspace(*ks, record.OutcomeCancelled, operator.EndText(cause), time.Now())
	h.Cause = &cause
	next := ks.Keyspace
	next.State, next.Pending = record.KeyspaceRunning, nil
	next.RangeGeneration++
	return plan{operator: h.Intent.Operator, parts: []txn.Part{operator.SetKeyspace(c.layout, *ks, next, &h)}}
}

// isOver tells how an operator has ended.
func isOver(h *view.History) error {
	f := fault.New(fault.Refused, "is over: it is %s", record.OutcomeName(h.Outcome)).On("operator", h.Intent.Operator).
		Fix("nothing is left to be cancelled; see `spanward operator show %s`", h.Intent.Operator)
	if why := strings.TrimPrefix(h.Error, record.OutcomeName(h.Outcome)+": "); why != "" {
		f.Message += " (" + why + ")"
	}
	return f
}

// cause is a request that ends an operator early; successor is the operator that takes its place, "" for a cancel.
func (who asker) cause(successor string) record.Cause {
	return record.Cause{By: record.ByUser, Reason: "asked by a user", RequestID: who.id, Body: who.body, Operator: successor}
}

// endOf collects what ends with an operator: its members, and the claims on them.
func endOf(s *view.State, members []*view.Span) *revocation {
	v := &revocation{claims: map[operator.Ref]operator.Claim{}}
	if i := members[0].Intent; i != nil {
		v.operator = i.Operator
	}
	for _, m := range members {
		v.members = append(v.members, *m)
		if c := s.Claim(m.Ref); c != nil {
			v.claims[m.Ref] = c.Claim
		}
	}
	return v
}

// planEnd ends an operator early: at once, or by whoever acts for it.
func (c *control) planEnd(id string, v *revocation) plan {
	if len(v.claims) > 0 {
		return plan{operator: id, revoke: v}
	}
	return plan{operator: id, parts: []txn.Part{operator.End(c.layout, v.early(), time.Now())}}
}
