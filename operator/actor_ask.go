package operator

import (
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
)

func (a Actor) askOpen(env Env, ev AskOpen) (Actor, []Effect) {
	op := operatorOf(ev.Span)
	switch {
	case a.Phase == Running && a.Span.ID == ev.Span.ID:
		return a, []Effect{Say{Result: ResultDone, Operator: op}}
	case a.Phase != Idle:
		return a, []Effect{a.duplicate(op, record.StageOpening)}
	}
	a = Actor{Phase: Claiming, Span: ev.Span, From: ev.From, Claim: claimFor(env, ev.Span, record.StageOpening, ev.Term)}
	a.Claim.By = ev.By
	return a, []Effect{a.sendClaim(env, ev.Term)}
}

func (a Actor) askEnd(env Env, ev AskEnd) (Actor, []Effect) {
	op := operatorOf(ev.Span)
	switch {
	case a.Phase != Idle && a.Phase != Running:
		return a, []Effect{a.duplicate(op, record.StageClosing)}
	case op == "" || !env.Me.Owns(ev.Span.Span):
		return a, []Effect{Say{Result: ResultRefused, Operator: op, Err: "the record names no operator for this session"}}
	case a.Phase == Idle && ev.Span.Intent.Kind == record.KindRemove:
		// What ended here without being closed is fenced by a new opening before its range is free.
		return a, []Effect{Say{Result: ResultMissing, Operator: op, Err: "the span does not run here"}}
	}
	a.Phase, a.Tries, a.Why = ClaimingClose, 0, ""
	a.From = a.From.Max(ev.From)
	a.Span, a.Claim = ev.Span, claimFor(env, ev.Span, record.StageClosing, ev.Term)
	return a, []Effect{a.sendClaim(env, ev.Term)}
}

// askRelease: what this opening of the span runs is closed and handed back. The record may be younger than the one that
// the opening has made, if an operator was accepted and ended since. Where nothing runs, the record goes back at once.
func (a Actor) askRelease(env Env, ev AskRelease) (Actor, []Effect) {
	taken := Say{Result: ResultClaimed}
	switch {
	case a.Phase == Stopping || a.Phase == Returning:
		return a, []Effect{taken}
	case a.Phase != Idle && a.Phase != Running:
		return a, []Effect{Say{Result: ResultRefused, Holder: a.Claim.Operator, Err: "the span is being acted on"}}
	case !env.Me.Owns(ev.Span.Span) || ev.Span.Intent != nil || ev.Span.Mod < a.Span.Mod:
		return a, []Effect{Say{Result: ResultRefused, Err: "the record does not name this session, or is out of date"}}
	}
	a.Span = ev.Span
	if a.Phase == Idle {
		a.Phase = Returning
		return a, []Effect{taken, a.sendRecord(env, HandBack(env.Layout, a.Span, record.Position{}))}
	}
	a, fx := a.stop()
	return a, append([]Effect{taken}, fx...)
}

// duplicate answers an ask for a span that is being acted on: the same operator gets its stage, another one what
// holds the span.
func (a Actor) duplicate(op string, stage record.Stage) Effect {
	if a.Claim.Operator == op && a.Claim.Stage == stage {
		return Say{Result: ResultClaimed, Operator: op}
	}
	return Say{Result: ResultRefused, Operator: op, Holder: a.Claim.Operator, Err: "the span is being acted on"}
}

// askAbort: the claim's revision tells the opening that the leader means from every other one, also where there is no
// operator, or where the same one opens the span a second time.
//
// A claim that an idle actor has put is one for nobody: its first sending was refused, since somebody else held the span,
// and a second one landed after that claim had vanished with its session, which leaves the record as it was. A claim that
// came with its record is a child's, and whoever has sent the swap will inherit it once he has the answer.
func (a Actor) askAbort(env Env, ev AskAbort) (Actor, []Effect) {
	if a.Phase == Idle && ev.Span.Mod != 0 && ev.Span.Mod < ev.Claim {
		a.Phase, a.Span = Aborting, ev.Span
		a.Claim = Claim{Claim: record.Claim{Operator: ev.Operator}, Mod: ev.Claim}
		return a, []Effect{a.sendRecord(env, DropOwn(env.Layout, a.Span, a.Claim))}
	}
	if a.Phase != Opening || a.Claim.Mod != ev.Claim {
		return a, []Effect{Say{Result: ResultRefused, Operator: ev.Operator, Err: "no such opening"}}
	}
	a.Doomed = true
	return a, []Effect{GiveUp{}}
}

// stop ends whatever the actor does, as soon as that is safe. A step that has begun to close goes on to its end.
func (a Actor) stop() (Actor, []Effect) {
	switch a.Phase {
	case Running:
		a.Phase, a.Tries = Stopping, 0
		return a, []Effect{Close{}}
	case Opening:
		a.Doomed = true
		return a, []Effect{GiveUp{}}
	case Claiming, Committing, ClaimingClose, Closing, Revoking:
		a.Doomed = true
		return a, nil
	default:
		return a, nil
	}
}

// broken: the instance has failed by itself.
func (a Actor) broken(ev Broken) (Actor, []Effect) {
	if !a.Instance {
		return a, nil
	}
	a.Why = ev.Err
	return a.stop()
}

// disowned: what runs is nobody's any more, and perhaps somebody else's already, so it ends at once. Where a
// transaction is in flight its answer decides, and what was committed after the read is newer than the read.
func (a Actor) disowned(ev Disowned) (Actor, []Effect) {
	if a.Phase != Running || a.Span.Mod > ev.Revision {
		return a, nil
	}
	return Actor{}, []Effect{Abort{}, Forget{}}
}

func claimFor(env Env, s Span, stage record.Stage, term int64) Claim {
	c := record.Claim{
		Stage: stage, Node: env.Me.Node, Session: env.Me.Session,
		At: env.Now, Term: term, By: record.ByPlacement,
	}
	if s.Intent != nil {
		c.Operator, c.Kind, c.By = s.Intent.Operator, s.Intent.Kind, s.Intent.By
	}
	return Claim{Claim: c}
}

func (a Actor) sendClaim(env Env, term int64) Effect {
	return Send{
		Part: ClaimSpan(env.Layout, a.Span, a.Claim.Claim),
		Term: term,
		Key:  env.Layout.Operator(a.Span.Keyspace, a.Span.ID),
	}
}

func (a Actor) sendRecord(env Env, p txn.Part) Effect {
	return Send{Part: p, Key: env.Layout.Span(a.Span.Keyspace, a.Span.ID)}
}

func operatorOf(s Span) string {
	if s.Intent == nil {
		return ""
	}
	return s.Intent.Operator
}
