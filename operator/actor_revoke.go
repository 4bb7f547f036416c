package operator

import "github.com/spanward/spanward/internal/record"

// askRevoke cancels or supersedes the operator that the span is claimed for. What is being closed for a remove that
// takes over goes on closing; other closings are interrupted, since the span is opened again, and so are openings.
func (a Actor) askRevoke(env Env, ev AskRevoke) (Actor, []Effect) {
	if why := a.irrevocable(ev); why != "" {
		return a, []Effect{Say{Result: ResultRefused, Operator: ev.Operator, Holder: a.Claim.Operator, Err: why}}
	}
	if a.Revoke != nil {
		if !a.Sent && a.Phase != Revoking && supersedes(*a.Revoke, ev) {
			a.Revoke = &ev
		}
		return a, nil // the answer is on its way
	}
	a.Revoke = &ev
	switch {
	case a.Phase == Opening:
		a.Doomed = true
		return a, []Effect{GiveUp{}}
	case ev.Successor != nil && ev.Of == a.Span.ID:
		a.Sent = true
		return a.sendRevoke(env, Closing)
	}
	return a, []Effect{Interrupt{}}
}

func (a Actor) irrevocable(ev AskRevoke) string {
	switch {
	case a.Phase != Opening && a.Phase != Closing, a.Claim.Operator != ev.Operator:
		return "it is not being acted on in a way that can be taken back"
	case a.Revoke != nil && !sameEnd(*a.Revoke, ev) && (a.Sent || !supersedes(*a.Revoke, ev)):
		return "it is being ended for another reason"
	case a.Phase == Opening && a.Doomed && a.Revoke == nil:
		return "the opening is being given up"
	case a.Span.Intent != nil && a.Span.Intent.HandedOff && ev.Successor == nil:
		return "it is past its commit point"
	}
	return ""
}

func sameEnd(a, b AskRevoke) bool {
	return a.Cause.RequestID == b.Cause.RequestID && a.Cause.Operator == b.Cause.Operator && a.Of == b.Of
}

// supersedes reports whether b, of a newer leader, takes the place of a, whose transaction would be refused. It has to want
// the same of the instances.
func supersedes(a, b AskRevoke) bool {
	return b.Term > a.Term && a.Of == b.Of && (a.Successor == nil) == (b.Successor == nil)
}

// early is the end that was asked for.
func (a Actor) early(env Env) EarlyEnd {
	r := a.Revoke
	e := EarlyEnd{
		Me: env.Me, Outcome: record.OutcomeCancelled, Error: EndText(r.Cause), Cause: &r.Cause, Successor: r.Successor, Of: r.Of,
		Members: []Held{{Span: a.Span, Claim: &a.Claim, At: a.From}},
	}
	for _, m := range r.Members {
		if m.ID != a.Span.ID {
			e.Members = append(e.Members, Held{Span: m})
		}
	}
	return e
}

// EndText says why an operator ended early.
func EndText(c record.Cause) string {
	if c.Operator != "" {
		return "superseded by remove " + c.Operator
	}
	if c.Reason == "" {
		return "cancelled"
	}
	return "cancelled: " + c.Reason
}

// sendRevoke is sent under the term of the leader that asked: what a former one wanted is void.
func (a Actor) sendRevoke(env Env, p Phase) (Actor, []Effect) {
	a.Instance = a.Instance && p == Closing
	a.Phase = p
	return a, []Effect{Send{
		Part: End(env.Layout, a.early(env), env.Now), Term: a.Revoke.Term,
		Key: env.Layout.Span(a.Span.Keyspace, a.Span.ID),
	}}
}

// revoked goes on after the operator was ended: as an opening that has to begin, as a closing for the remove, or not at
// all, since nothing runs and nobody owns the span.
func (a Actor) revoked(env Env, ev Answer) (Actor, []Effect) {
	switch {
	case a.Revoke == nil, a.Phase == Closing && !a.Sent:
		return a, nil
	case !ev.Done:
		return a.notRevoked(env)
	}
	said := Say{Result: ResultRevoked, Operator: a.Claim.Operator}
	if a.Claim.Stage == record.StageOpening {
		return Actor{}, []Effect{said, Forget{}}
	}
	a, fx := a.reclaimed(env, a.early(env), ev.Mod)
	return a, append([]Effect{said}, fx...)
}

// reclaimed goes on under what the claim for a closing was turned into, at revision mod.
func (a Actor) reclaimed(env Env, e EarlyEnd, mod int64) (Actor, []Effect) {
	a.Claim = Claim{Claim: e.Reclaim(Held{Span: a.Span, Claim: &a.Claim}, env.Now), Mod: mod}
	a.Span.Mod, a.Span.Checkpoint, a.Span.Intent = mod, a.Span.Checkpoint.Max(a.From), nil
	a.Revoke, a.Sent = nil, false
	switch {
	case e.Successor == nil || e.Of != a.Span.ID:
		return a.openAgain(env)
	case a.Instance:
		a.Phase, a.Span.Intent = Closing, e.Successor
		return a, nil
	}
	a.Span.Intent = e.Successor
	return a.end(env)
}

// openAgain begins the opening that a closing was turned into.
func (a Actor) openAgain(env Env) (Actor, []Effect) {
	a.Instance = false
	if a.Doomed {
		return a.giveClaimUp(env)
	}
	a.Why = "" // of the instance that was cut off
	a.Phase, a.Token = Opening, Token(env.Generation, a.Claim.Mod)
	return a, []Effect{Open{a.Token, a.From}}
}

// undo gives up what was interrupted, which is not the same as really closed.
func (a Actor) undo(env Env) (Actor, []Effect) {
	a.Phase, a.Instance = Aborting, false
	return a, []Effect{a.sendRecord(env, Undo(env.Layout, a.Span, a.Claim))}
}

// notRevoked: the leader was replaced, records were changed by hand, or another member of the operator has moved on. A
// closing goes on as it was; what was interrupted gives its claim up.
func (a Actor) notRevoked(env Env) (Actor, []Effect) {
	said := Say{Result: ResultRefused, Operator: a.Claim.Operator, Err: "its records or the leader were replaced meanwhile"}
	closing := a.Phase == Closing
	a.Revoke, a.Sent = nil, false
	var fx []Effect
	switch {
	case closing && a.Instance:
	case closing:
		a, fx = a.end(env)
	case a.Claim.Stage == record.StageOpening:
		a, fx = a.giveClaimUp(env)
	default:
		a, fx = a.undo(env)
	}
	return a, append([]Effect{said}, fx...)
}
