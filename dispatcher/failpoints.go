package dispatcher

import (
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
)

// failpoints is a pair of names: before something is sent or called, and after its definite answer, before that
// takes effect here.
type failpoints struct{ before, after string }

func failpointsOf(operator, step string) failpoints {
	name := "dispatcher/" + operator + "/" + step
	return failpoints{name + "/before", name + "/after"}
}

// transactionOf names the transaction that an actor has just asked for.
func transactionOf(a operator.Actor) failpoints {
	switch a.Phase {
	case operator.Claiming:
		return failpointsOf("placement", "claim")
	case operator.Committing:
		return failpointsOf("placement", "commit")
	case operator.Aborting:
		return failpointsOf("placement", "abort")
	case operator.ClaimingClose:
		return failpointsOf(record.KindName(a.Claim.Kind), "claim")
	case operator.Ending:
		return failpointsOf(record.KindName(a.Claim.Kind), endings[a.Claim.Kind])
	case operator.Closing, operator.Revoking:
		return failpointsOf("any", "revoke-operator")
	default:
		return failpointsOf("any", "handback")
	}
}

// endings names what each kind of operator does with a span that was closed for it. A merge hands sources off that are to be
// gathered elsewhere.
var endings = map[record.Kind]string{
	record.KindRemove: "delete", record.KindMove: "handoff", record.KindSplit: "swap", record.KindMerge: "handoff",
}

// transactionOfGroup names the transaction that a merger has just asked for.
func transactionOfGroup(m operator.Merger) failpoints {
	switch m.Phase {
	case operator.MergeClaiming:
		return failpointsOf("merge", "claim")
	case operator.MergeSwapping:
		return failpointsOf("merge", "swap")
	default:
		return failpointsOf("any", "revoke-operator")
	}
}

// opening names the call of Workload.Open.
func opening() failpoints { return failpointsOf("placement", "open") }

// closingOf names the call of Instance.Close or CloserAt.CloseAt.
func closingOf(a operator.Actor) failpoints {
	if a.Phase == operator.Closing || a.Phase == operator.Merging {
		return failpointsOf(record.KindName(a.Claim.Kind), "close")
	}
	return failpoints{} // without an operator the hand-back that follows is named
}

// reportOf names a message to the leader.
func reportOf(r *sessionv1.Report) failpoints {
	if len(r.GetResults()) > 0 {
		return failpointsOf("placement", "report")
	}
	return failpointsOf("any", "report")
}
