package maintainer

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
)

// giveWay ends an operator of balance, or of a split or merge for load, that stands in the way of a failover or a drain of the
// same span. Past its commit point it is finished instead. It reports whether the operator is not to be carried on now.
func (l *loop) giveWay(recs operator.Records, now time.Time) bool {
	m := recs.Members[0]
	if m.Intent == nil || m.Intent.HandedOff || scheduler.ClassOf(m.Intent.By) < scheduler.ClassBalance {
		return false
	}
	by, why := l.outranked(recs)
	if by == 0 || l.hiddenMember(m) != "" {
		return false // what is left of it in a record that nobody can read would begin again
	}
	if first := slices.MinFunc(recs.Members, func(a, b operator.Member) int { return compareIDs(a.Ref, b.Ref) }); first.Ref != m.Ref {
		l.dirty.push(first.Ref)
		return true
	}
	cause := record.Cause{By: by, Reason: why}
	if acting := slices.ContainsFunc(recs.Members, func(m operator.Member) bool { return m.Claim != nil }); acting {
		l.haveGivenUp(recs, cause)
		return false // until its actor has given it up, or can not any more, it goes on
	}
	l.log.Info("an operator gives way", zap.String("operator", m.Intent.Operator), refField(m.Ref), zap.String("why", why))
	l.enqueue(write{ref: m.Ref, point: "maintainer/any/giveway", part: operator.End(l.m.cfg.Layout, operator.EarlyEnd{
		Members: l.unclaimed(recs.Members), Outcome: record.OutcomeCancelled, Error: operator.EndText(cause), Cause: &cause,
	}, now)})
	return true
}

// outranked says what is more urgent for the spans of an operator than the operator is, 0 for nothing.
func (l *loop) outranked(recs operator.Records) (record.By, string) {
	i := recs.Members[0].Intent
	if i.Kind == record.KindMove {
		return l.targetLost(i.To)
	}
	for _, m := range recs.Members {
		owner := m.Span.Owner
		switch {
		case l.drains.nodes[owner.Session] != nil:
			return record.ByDrain, fmt.Sprintf("node %s of span %s is drained", owner.Node, m.ID)
		case i.Kind == record.KindMerge && m.Claim == nil && !owner.Nobody() && (m.Owner == operator.Over || m.Owner == operator.Lapsing):
			return record.ByFailover, fmt.Sprintf("span %s has lost its node", m.ID)
		}
	}
	return 0, ""
}

// targetLost says why a node should not be moved to any more.
func (l *loop) targetLost(node string) (record.By, string) {
	session, cfg := l.state.Session(node), l.state.NodeConfig(node)
	switch {
	case session == 0:
		return record.ByFailover, node + ", where it was to go, is gone"
	case cfg.Evicted == session:
		return record.ByFailover, node + ", where it was to go, is evicted"
	case cfg.Drains(session):
		return record.ByDrain, node + ", where it was to go, is drained"
	case cfg.Cordoned:
		return record.ByDrain, node + ", where it was to go, is cordoned"
	}
	return 0, ""
}

// haveGivenUp asks whoever acts for an operator to take it back. That it cannot any more shows in the records.
func (l *loop) haveGivenUp(recs operator.Records, cause record.Cause) {
	key := givenUpKey(recs.Members[0].Intent.Operator)
	if _, asked := l.revoking[key]; asked {
		return
	}
	v := &revocation{
		action: sessionv1.Ask_ACTION_CANCEL, operator: recs.Members[0].Intent.Operator, claims: map[operator.Ref]operator.Claim{}, cause: cause,
	}
	for _, m := range recs.Members {
		v.members = append(v.members, m.Span)
		if m.Claim != nil {
			v.claims[m.Ref] = *m.Claim
		}
	}
	l.revoking[key] = &revoking{revocation: v, since: time.Now(), own: true}
}

// givenUpKey stands for the id of a request, which nobody has made.
func givenUpKey(operator string) string { return ownRevocation + operator }

// ownRevocation begins no request id: those have no blanks.
const ownRevocation = "gives way: "

func (r *revoking) asks() bool { return r.own || len(r.waiters) > 0 }
