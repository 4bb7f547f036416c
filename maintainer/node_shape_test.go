package maintainer

import (
	"context"
	"slices"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// shapes reports whether an ask ends in a swap, or ends an operator early.
func shapes(a *sessionv1.Ask) bool {
	switch a.GetAction() {
	case sessionv1.Ask_ACTION_CANCEL, sessionv1.Ask_ACTION_SUPERSEDE:
		return true
	case sessionv1.Ask_ACTION_CLOSE:
	default:
		return false
	}
	s, err := record.DecodeSpan(a.GetMembers()[0].GetRecord())
	return err == nil && s.Intent != nil && s.Intent.Kind == record.KindSplit || len(a.GetMembers()) > 1
}

// shape carries such an ask out.
func (n *node) shape(ctx context.Context, a *sessionv1.Ask) sessionv1.StageResult_Result {
	if a.GetAction() != sessionv1.Ask_ACTION_CLOSE {
		return n.endEarly(ctx, a)
	}
	held, ok := n.claims(ctx, a)
	if !ok {
		return sessionv1.StageResult_RESULT_REFUSED
	}
	n.swap(ctx, held)
	return sessionv1.StageResult_RESULT_DONE
}

// claims takes all members of an ask to close, and gets no further.
func (n *node) claims(ctx context.Context, a *sessionv1.Ask) ([]operator.Held, bool) {
	spans := n.members(a)
	claims := make([]operator.Claim, len(spans))
	for i, s := range spans {
		claims[i].Claim = record.Claim{
			Operator: s.Intent.Operator, Kind: s.Intent.Kind, Stage: record.StageClosing, Node: n.name, Session: n.session,
			At: time.Now(), Term: n.w.term(), By: s.Intent.By,
		}
	}
	res := n.run(ctx, n.underTerm(), []txn.Part{operator.ClaimAll(n.w.layout, spans, claims)})
	if len(res) == 0 || res[0].Outcome != txn.Done {
		return nil, false
	}
	held := make([]operator.Held, len(spans))
	for i, s := range spans {
		claims[i].Mod = res[0].Revision
		held[i] = operator.Held{Span: s, Claim: &claims[i], At: positionIn(a.GetMembers()[i])}
	}
	return held, true
}

// swap makes the children and opens them.
func (n *node) swap(ctx context.Context, held []operator.Held) {
	now := time.Now()
	part, err := operator.SwapClaimed(n.w.layout, held, now)
	if err != nil {
		n.w.t.Error(err)
		return
	}
	res := n.run(ctx, []txn.Cmp{operator.Acting(n.w.layout, n.me())}, []txn.Part{part})
	if len(res) == 0 || res[0].Outcome != txn.Done {
		n.w.t.Errorf("swap: %+v", res)
		return
	}
	spans := make([]operator.Span, len(held))
	at := make([]record.Position, len(held))
	for i, h := range held {
		spans[i], at[i] = h.Span, h.At
		n.drop(h.Ref)
	}
	children, err := operator.Children(spans, at, now)
	if err != nil {
		n.w.t.Error(err)
	}
	for _, c := range children {
		c.Mod = res[0].Revision
		n.commit(ctx, c, operator.Claim{Claim: operator.ChildClaim(held[0].Claim.Claim, now), Mod: c.Mod})
	}
}

// endEarly does what an actor does when it is asked to cancel or supersede: what was closing is opened again, or removed.
func (n *node) endEarly(ctx context.Context, a *sessionv1.Ask) sessionv1.StageResult_Result {
	cause, err := record.DecodeCause(a.GetCause())
	if err != nil {
		n.w.t.Errorf("cause: %v", err)
	}
	now := time.Now()
	e := operator.EarlyEnd{Me: n.me(), Outcome: record.OutcomeCancelled, Error: operator.EndText(cause), Cause: &cause}
	if a.GetAction() == sessionv1.Ask_ACTION_SUPERSEDE {
		i, err := record.DecodeIntent(a.GetSuccessor())
		if err != nil {
			n.w.t.Errorf("successor: %v", err)
		}
		e.Successor, e.Of = &i, span.ID(a.GetMembers()[0].GetSpan())
	}
	for i, s := range n.members(a) {
		h := operator.Held{Span: s}
		if mod := a.GetMembers()[i].GetClaim(); mod != 0 {
			c := n.w.claim(s.Ref)
			if c == nil || c.Mod != mod {
				return sessionv1.StageResult_RESULT_REFUSED
			}
			h.Claim = c
		}
		e.Members = append(e.Members, h)
	}
	res := n.run(ctx, n.underTerm(), []txn.Part{operator.End(n.w.layout, e, now)})
	if len(res) == 0 || res[0].Outcome != txn.Done {
		return sessionv1.StageResult_RESULT_REFUSED
	}
	for _, h := range e.Members {
		if h.Claim == nil || h.Claim.Stage == record.StageOpening {
			continue
		}
		s, c := h.Span, operator.Claim{Claim: e.Reclaim(h, now), Mod: res[0].Revision}
		s.Mod, s.Intent = res[0].Revision, nil
		if e.Successor != nil && s.ID == e.Of {
			s.Intent = e.Successor
			n.drop(s.Ref)
			n.run(ctx, nil, []txn.Part{operator.Remove(n.w.layout, s, c, now)})
			continue
		}
		n.commit(ctx, s, c)
	}
	return sessionv1.StageResult_RESULT_REVOKED
}

func (n *node) commit(ctx context.Context, s operator.Span, c operator.Claim) {
	token := operator.Token(0, c.Mod)
	n.mu.Lock()
	n.running[s.Ref] = token
	n.mu.Unlock()
	o := record.Owner{Node: n.name, Session: n.session, Token: token}
	n.run(ctx, []txn.Cmp{operator.Acting(n.w.layout, n.me())}, []txn.Part{operator.Commit(n.w.layout, s, c, o, s.Checkpoint, time.Now())})
}

func (n *node) drop(r operator.Ref) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.running, r)
}

// members are the spans of an ask, as the leader knows them.
func (n *node) members(a *sessionv1.Ask) []operator.Span {
	var out []operator.Span
	for _, m := range a.GetMembers() {
		rec, err := record.DecodeSpan(m.GetRecord())
		if err != nil {
			n.w.t.Errorf("ask: %v", err)
		}
		ref := operator.Ref{Keyspace: a.GetKeyspace(), ID: span.ID(m.GetSpan())}
		out = append(out, operator.Span{Ref: ref, Span: rec, Mod: m.GetModRevision()})
	}
	return out
}

func (n *node) underTerm() []txn.Cmp {
	return []txn.Cmp{operator.Leading(n.w.layout, n.w.term()), operator.Acting(n.w.layout, n.me())}
}

// asked are the asks of one action that came here, in their order.
func (n *node) asked(action sessionv1.Ask_Action) []*sessionv1.Ask {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []*sessionv1.Ask
	for _, asks := range n.openings {
		for _, a := range asks {
			if a.GetAction() == action && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

func positionIn(m *sessionv1.Ask_Member) record.Position {
	return record.Position{Known: m.Checkpoint != nil, At: m.GetCheckpoint()}
}

// holdClosing claims what it is asked to close and stops there; everything else it does.
func (n *node) holdClosing() {
	n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
		if a.GetAction() != sessionv1.Ask_ACTION_CLOSE {
			return sessionv1.StageResult_RESULT_CLAIMED
		}
		if _, ok := n.claims(context.Background(), a); !ok {
			return sessionv1.StageResult_RESULT_REFUSED
		}
		return sessionv1.StageResult_RESULT_UNSPECIFIED
	})
}

// refuses makes the node refuse asks of an action.
func (n *node) refuses(action sessionv1.Ask_Action) {
	n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
		if a.GetAction() == action {
			return sessionv1.StageResult_RESULT_REFUSED
		}
		return sessionv1.StageResult_RESULT_CLAIMED // it carries it out
	})
}

// term is the one that lasts.
func (w *world) term() int64 { return w.get(w.layout.Leader()).Kvs[0].ModRevision }

// claim on a span, nil for none.
func (w *world) claim(r operator.Ref) *operator.Claim {
	w.t.Helper()
	resp := w.get(w.layout.Operator(r.Keyspace, r.ID))
	if len(resp.Kvs) == 0 {
		return nil
	}
	c, err := record.DecodeClaim(resp.Kvs[0].Value)
	if err != nil {
		w.t.Fatal(err)
	}
	return &operator.Claim{Claim: c, Mod: resp.Kvs[0].ModRevision}
}
