package operator_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
)

func describe(s operator.Send) string {
	var b []string
	for _, op := range s.Part.Then {
		verb := "put"
		if op.Delete {
			verb = "delete"
		}
		if op.Leased {
			verb = "put leased"
		}
		b = append(b, verb+" "+strings.TrimPrefix(op.Key, "/spanward/c/"))
	}
	return strings.Join(b, ", ")
}

func say(s operator.Say) string {
	names := []string{"", "claimed", "done", "refused", "open failed", "close failed", "aborted", "revoked"}
	t := names[s.Result]
	if s.Operator != "" {
		t += " operator=" + s.Operator
	}
	if s.Holder != "" {
		t += " holder=" + s.Holder
	}
	if s.Err != "" {
		t += ": " + s.Err
	}
	return t
}

func action(a operator.Action) string {
	switch a := a.(type) {
	case operator.AskClose:
		if len(a.Spans) > 1 {
			return fmt.Sprintf("ask %s to merge %d spans", a.Owner.Node, len(a.Spans))
		}
		return "ask " + a.Owner.Node + " to close"
	case operator.Swap:
		return fmt.Sprintf("swap %d ownerless", len(a.Members))
	case operator.Reopen:
		return "ask " + a.Owner.Node + " to open again"
	case operator.Place:
		to := "any node"
		if a.Only != "" {
			to = a.Only
		}
		return fmt.Sprintf("place on %s (%s): %s", to, record.ByName(a.By), a.Why)
	case operator.Release:
		return "ask " + a.Owner.Node + " to release"
	case operator.AcceptRemove:
		return "accept a remove"
	case operator.Fail:
		return "fail: " + a.Why
	case operator.Drop:
		return "drop the claim of " + a.Claim.Node
	case operator.Wait:
		return fmt.Sprintf("wait for %s %s", []string{"", "actor", "lapse", "stream", "keyspace"}[a.For], a.Node)
	}
	return "?"
}

// show prints the stored records of one span.
func (w *world) show(r operator.Ref) {
	s, ok := w.span(r)
	if !ok {
		w.logf("span: none")
	} else {
		w.logf("span: owner=%s intent=%s handed_off=%t checkpoint=%v", s.Owner.Node, intentName(s), s.Intent != nil && s.Intent.HandedOff, s.Checkpoint)
	}
	if c := w.claim(r); c != nil {
		w.logf("claim: %s by %s", record.StageName(c.Stage), c.Node)
	}
	hs := w.history()
	for _, id := range slices.Sorted(maps.Keys(hs)) {
		w.logf("history: %s %s", id, record.OutcomeName(hs[id]))
	}
}

func intentName(s operator.Span) string {
	if s.Intent == nil {
		return "none"
	}
	return record.KindName(s.Intent.Kind)
}

// showAll prints all spans, and how operators have ended.
func (w *world) showAll() {
	for _, s := range w.all() {
		claim := ""
		if c := w.claim(s.Ref); c != nil {
			claim = fmt.Sprintf(" claim=%s:%s", c.Node, record.StageName(c.Stage))
		}
		w.logf("%s %v owner=%s checkpoint=%v intent=%s%s", s.ID, s.Range, s.Owner.Node, s.Checkpoint, intentName(s), claim)
	}
	w.eachHistory(func(h record.History) {
		w.logf("history: %s %s %s %s", h.Intent.Operator, record.KindName(h.Intent.Kind), record.OutcomeName(h.Outcome), h.Error)
	})
}
