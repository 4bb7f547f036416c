package operator

import (
	"github.com/spanward/spanward/internal/record"
)

func (a Actor) answer(env Env, ev Answer) (Actor, []Effect) {
	switch a.Phase {
	case Claiming:
		return a.claimedOpening(env, ev)
	case Committing:
		return a.committed(env, ev)
	case Aborting:
		return a.aborted(env, ev)
	case ClaimingClose:
		return a.claimedClosing(env, ev)
	case Ending:
		return a.ended(env, ev)
	case Returning:
		return a.returned(env, ev)
	case Closing, Revoking:
		return a.revoked(env, ev)
	default:
		return a, nil
	}
}

func (a Actor) claimedOpening(env Env, ev Answer) (Actor, []Effect) {
	if !ev.Done {
		return Actor{}, []Effect{a.refused(ev), Forget{}}
	}
	a.Claim.Mod = ev.Mod
	if a.Doomed {
		return a.giveClaimUp(env)
	}
	a.Phase, a.Token = Opening, Token(env.Generation, ev.Mod)
	return a, []Effect{Say{Result: ResultClaimed, Operator: a.Claim.Operator}, Open{a.Token, a.From}}
}

func (a Actor) opened(env Env) (Actor, []Effect) {
	if a.Phase != Opening {
		return a, nil
	}
	if a.Doomed {
		a, fx := a.giveClaimUp(env)
		return a, append([]Effect{Abort{}}, fx...)
	}
	a.Phase, a.Instance = Committing, true
	return a, []Effect{a.sendRecord(env, Commit(env.Layout, a.Span, a.Claim, a.owner(env), a.From, env.Now))}
}

func (a Actor) owner(env Env) record.Owner {
	return record.Owner{Node: env.Me.Node, Session: env.Me.Session, Token: a.Token}
}

func (a Actor) openFailed(env Env, ev OpenFailed) (Actor, []Effect) {
	if a.Phase != Opening {
		return a, nil
	}
	if !a.Doomed {
		a.Why = ev.Err
	}
	return a.giveClaimUp(env)
}

// giveClaimUp: nothing runs; the claim goes, and with it the ownership of a record that still names this session.
func (a Actor) giveClaimUp(env Env) (Actor, []Effect) {
	if a.Revoke != nil {
		return a.sendRevoke(env, Revoking)
	}
	a.Phase, a.Instance = Aborting, false
	return a, []Effect{a.sendRecord(env, AbortOpening(env.Layout, a.Span, a.Claim, env.Me))}
}

func (a Actor) committed(env Env, ev Answer) (Actor, []Effect) {
	if !ev.Done {
		// The claim or the record was changed under the opening. What runs is not known to etcd and must end.
		a, fx := a.dropClaim(env)
		return a, append([]Effect{Abort{}}, fx...)
	}
	op := a.Claim.Operator
	a.Span = a.ownedRecord(env, ev)
	a.Phase, a.Claim = Running, Claim{}
	fx := []Effect{Say{Result: ResultDone, Operator: op}}
	if !a.Doomed {
		return a, fx
	}
	a, more := a.stop()
	return a, append(fx, more...)
}

// ownedRecord is the record after the commit. If the commit was only recognised later, the record may carry more
// than the commit wrote: an operator that the leader has accepted since. Then what was read counts.
func (a Actor) ownedRecord(env Env, ev Answer) Span {
	if ev.Found != nil {
		return *ev.Found
	}
	s := a.Span
	s.Span, s.Mod = committed(a.Span, a.Claim, a.owner(env), a.From), ev.Mod
	return s
}

// dropClaim is the way out of a refused step: the claim, if it is still there, goes; nothing else is touched.
func (a Actor) dropClaim(env Env) (Actor, []Effect) {
	if a.Why == "" {
		a.Why = "its record or claim was changed by somebody else"
	}
	return a.letGo(env)
}

// letGo drops the claim where nothing went wrong.
func (a Actor) letGo(env Env) (Actor, []Effect) {
	a.Phase, a.Instance = Aborting, false
	return a, []Effect{a.sendRecord(env, DropOwn(env.Layout, a.Span, a.Claim))}
}

func (a Actor) aborted(env Env, ev Answer) (Actor, []Effect) {
	if !ev.Done && ev.Held != nil && ev.Held.Mod == a.Claim.Mod {
		return a.letGo(env)
	}
	say := Say{Result: ResultAborted, Operator: a.Claim.Operator}
	if a.Why != "" {
		say.Result, say.Err = ResultOpenFailed, a.Why
	}
	return Actor{}, []Effect{say, Forget{}}
}

func (a Actor) claimedClosing(env Env, ev Answer) (Actor, []Effect) {
	switch {
	case ev.Done && a.Instance:
		a.Claim.Mod, a.Phase, a.Doomed = ev.Mod, Closing, false
		return a, []Effect{Say{Result: ResultClaimed, Operator: a.Claim.Operator}, Close{}}
	case ev.Done:
		a.Claim.Mod, a.Phase = ev.Mod, Closing
		return a.closed(env, Closed{})
	}
	say := a.refused(ev)
	if ev.Found != nil && env.Me.Owns(ev.Found.Span) {
		a.Span = *ev.Found
	}
	a.Claim = Claim{}
	if !a.Instance {
		return Actor{}, []Effect{say, Forget{}}
	}
	a.Phase = Running
	if !a.Doomed {
		return a, []Effect{say}
	}
	a, fx := a.stop()
	return a, append([]Effect{say}, fx...)
}

func (a Actor) refused(ev Answer) Say {
	s := Say{Result: ResultRefused, Operator: a.Claim.Operator, Err: "the plan is out of date"}
	if ev.Held != nil {
		s.Holder, s.Err = ev.Held.Operator, "the span is being acted on"
	}
	return s
}

func (a Actor) closed(env Env, ev Closed) (Actor, []Effect) {
	a.From = a.From.Max(ev.At)
	a.Tries = 0
	switch a.Phase {
	case Closing:
		a.Instance = false
		switch {
		case a.Sent: // the answer says what for it was closed
			return a, nil
		case a.Revoke != nil:
			return a.sendRevoke(env, Revoking)
		}
		return a.end(env)
	case Stopping:
		a.Phase, a.Instance = Returning, false
		return a, []Effect{a.sendRecord(env, HandBack(env.Layout, a.Span, a.From))}
	default:
		return a, nil
	}
}

// end sends the transaction that the span was closed for.
func (a Actor) end(env Env) (Actor, []Effect) {
	a.Phase = Ending
	switch a.Claim.Kind {
	case record.KindRemove:
		return a, []Effect{a.sendRecord(env, Remove(env.Layout, a.Span, a.Claim, env.Now))}
	case record.KindSplit:
		return a.split(env)
	default:
		return a, []Effect{a.sendRecord(env, HandOff(env.Layout, a.Span, a.Claim, a.From, env.Now))}
	}
}

// closeFailed: a closing that fails is tried again for as long as the session lasts, since nothing else is safe.
func (a Actor) closeFailed(ev CloseFailed) (Actor, []Effect) {
	if a.Phase != Closing && a.Phase != Stopping {
		return a, nil
	}
	a.Tries++
	if a.Revoke != nil && !a.Sent {
		return a, nil // it was interrupted, which ends by itself
	}
	fx := []Effect{Close{Try: a.Tries}}
	if a.Phase == Closing {
		fx = append([]Effect{Say{Result: ResultCloseFailed, Operator: a.Claim.Operator, Err: ev.Err}}, fx...)
	}
	return a, fx
}

func (a Actor) ended(env Env, ev Answer) (Actor, []Effect) {
	if !ev.Done {
		return a.dropClaim(env)
	}
	fx := []Effect{Say{Result: ResultDone, Operator: a.Claim.Operator}, Forget{}}
	if a.Claim.Kind == record.KindSplit {
		fx = append(fx, become([]Held{a.held()}, a.SwapAt, ev.Mod))
	}
	return Actor{}, fx
}

func (a Actor) returned(env Env, ev Answer) (Actor, []Effect) {
	if !ev.Done && ev.Held == nil && ev.Found != nil && env.Me.Owns(ev.Found.Span) {
		// The leader has accepted an operator meanwhile: the same span, closed as it is, goes back under the new record.
		a.Span = *ev.Found
		return a, []Effect{a.sendRecord(env, HandBack(env.Layout, a.Span, a.From))}
	}
	if a.Why == "" {
		return Actor{}, []Effect{Forget{}}
	}
	return Actor{}, []Effect{Say{Result: ResultOpenFailed, Err: a.Why}, Forget{}}
}
