package maintainer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// told is the way of an operator in one line: each step with its span, its node and how long it lasted.
func told(o *controlv1.Operator) string {
	var out []string
	for _, s := range o.GetSteps() {
		text := s.GetStage()
		if s.GetSpan() != "" {
			text += " " + s.GetSpan()
		}
		if s.GetNode() != "" {
			text += "@" + s.GetNode()
		}
		if s.DurationMs != nil {
			text += fmt.Sprintf(" %dms", s.GetDurationMs())
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// A merge is one operator to whoever looks, and its gathering moves are steps of it: in flight from the marks of all its
// spans and from the claims, afterwards from the history.
func TestAMergeIsShownWithItsMoves(t *testing.T) {
	sc := newScene(t)
	n1 := sc.node("n1", true)
	at := func(s int) time.Time { return sc.now.Add(time.Duration(s) * time.Second) }
	queued := record.Mark{Stage: record.StageQueued, At: at(0)}
	intent := &record.Intent{
		Operator: "5-1", Kind: record.KindMerge, By: record.ByUser, RequestID: "r", CreatedAt: at(0),
		Spans: []string{"a", "b"}, Results: []string{"5-1.0"}, Marks: []record.Mark{queued},
	}
	moved := intent
	for _, m := range []record.Mark{
		{Stage: record.StageClosing, At: at(1), Node: "n2", Span: "b"}, {Stage: record.StageHandedOff, At: at(3), Node: "n2", Span: "b"},
	} {
		moved = moved.Marked(m)
	}
	owner := record.Owner{Node: "n1", Session: n1, Token: 1}
	a := sc.span("a", record.Span{Range: span.Range{End: "m"}, Owner: owner, Intent: intent})
	b := sc.span("b", record.Span{Range: span.Range{Start: "m"}, Intent: moved})
	expect := func(o *controlv1.Operator, stage, want string) {
		t.Helper()
		if got := told(o); got != want || o.GetStage() != stage {
			t.Errorf("%s: %s\nwant %s: %s", o.GetStage(), got, stage, want)
		}
	}
	claim := record.Claim{Operator: "5-1", Kind: record.KindMerge, Stage: record.StageOpening, Node: "n1", Session: n1, At: at(4)}
	sc.claim(b, claim)
	gathering := "queued 1000ms, closing b@n2 2000ms, handed_off b@n2 1000ms, opening b@n1"
	expect(operatorByID(sc.s, "5-1"), "opening", gathering)
	expect(aged(operatorByID(sc.s, "5-1"), at(9)), "opening", gathering+" 5000ms")
	expect(aged(operatorByID(sc.s, "5-1"), at(0)), "opening", gathering+" 0ms") // a clock that is behind

	opened := moved.Marked(record.Mark{Stage: record.StageOpening, At: at(4), Node: "n1", Span: "b"})
	sc.span("b", record.Span{Range: span.Range{Start: "m"}, Owner: owner, Intent: opened})
	claim.Stage, claim.At = record.StageClosing, at(6)
	sc.claim(a, claim)
	sc.claim(b, claim)
	expect(operatorByID(sc.s, "5-1"), "closing", gathering+" 2000ms, closing@n1")

	over := *opened
	for _, id := range []span.ID{"a", "b"} {
		over = *over.Marked(record.Mark{Stage: record.StageClosing, At: at(6), Node: "n1", Span: id})
	}
	over = *over.Marked(record.Mark{Stage: record.StageFinished, At: at(8), Node: "n1"})
	h := record.History{Intent: over, Outcome: record.OutcomeCancelled, FinishedAt: at(8), Cause: &record.Cause{
		By: record.ByUser, Reason: "asked for by a user", RequestID: "rm", Operator: "5-2",
	}}
	for _, id := range []span.ID{"a", "b"} {
		sc.span(string(id), record.Span{Range: span.Range{Start: string(id)}})
	}
	sc.put(sc.l.History("ks", "5-1"), record.EncodeHistory(h))
	o := operatorByID(sc.s, "5-1")
	expect(o, "finished", gathering+" 2000ms, closing@n1 2000ms, finished@n1")
	if c := o.GetCause(); c.GetOperator() != "5-2" || c.GetRequestId() != "rm" || c.GetBy() != "user" || c.GetReason() == "" {
		t.Errorf("ended by %v", c)
	}
	if got := aged(o, at(99)); told(got) != told(o) {
		t.Errorf("what is over goes on: %s", told(got))
	}
}

// A single span's steps name it, in the order in which they were made even if the clocks differ.
func TestStepsOfOneSpanKeepTheirOrder(t *testing.T) {
	sc := newScene(t)
	sc.span("a", record.Span{Intent: &record.Intent{
		Operator: "5-1", Kind: record.KindMove, By: record.ByUser, CreatedAt: sc.now, Spans: []string{"a"}, HandedOff: true,
		Marks: []record.Mark{
			{Stage: record.StageQueued, At: sc.now},
			{Stage: record.StageClosing, At: sc.now.Add(-time.Second), Node: "n1"},
			{Stage: record.StageHandedOff, At: sc.now.Add(time.Second), Node: "n1"},
		},
	}})
	if got, want := told(operatorByID(sc.s, "5-1")), "queued a 0ms, closing a@n1 2000ms, handed_off a@n1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// The newest that match, the oldest of them first, whatever the keyspace.
func TestHistoryIsFiltered(t *testing.T) {
	sc := newScene(t)
	put := func(ks, id string, kind record.Kind, outcome record.Outcome, ago time.Duration, spans ...string) {
		sc.put(sc.l.History(ks, id), record.EncodeHistory(record.History{
			Intent:  record.Intent{Operator: id, Kind: kind, By: record.ByUser, Spans: spans},
			Outcome: outcome, FinishedAt: sc.now.Add(-ago),
		}))
	}
	put("ks", "1-1", record.KindMove, record.OutcomeDone, 5*time.Hour, "a")
	put("gone", "1-2", record.KindMove, record.OutcomeFailed, 4*time.Hour, "a")
	put("ks", "1-3", record.KindRemove, record.OutcomeDone, 3*time.Hour, "b")
	put("ks", "1-4", record.KindMove, record.OutcomeCancelled, 2*time.Hour, "a")
	put("gone", "1-5", record.KindMove, record.OutcomeDone, time.Hour, "c")
	for _, tc := range []struct {
		name  string
		f     filter
		limit int
		want  string
		more  bool
	}{
		{"all", filter{}, 10, "1-1 1-2 1-3 1-4 1-5", false},
		{"the newest", filter{}, 2, "1-4 1-5", true},
		{"as many as there are", filter{}, 5, "1-1 1-2 1-3 1-4 1-5", false},
		{"a keyspace", filter{keyspace: "ks"}, 10, "1-1 1-3 1-4", false},
		{"a keyspace that is no more", filter{keyspace: "gone"}, 1, "1-5", true},
		{"a span", filter{span: "a"}, 10, "1-1 1-2 1-4", false},
		{"the newest of a span", filter{span: "a", keyspace: "ks"}, 1, "1-4", true},
		{"a type", filter{kind: "remove"}, 10, "1-3", false},
		{"an outcome", filter{outcome: "failed"}, 10, "1-2", false},
		{"since", filter{since: sc.now.Add(-3 * time.Hour)}, 10, "1-3 1-4 1-5", false},
		{"nothing", filter{span: "z"}, 10, "", false},
	} {
		found, more := finished(sc.s, tc.f, tc.limit)
		var ids []string
		for _, h := range found {
			ids = append(ids, h.Intent.Operator)
		}
		if got := strings.Join(ids, " "); got != tc.want || more != tc.more {
			t.Errorf("%s: %q, more: %v; want %q, %v", tc.name, got, more, tc.want, tc.more)
		}
	}
	for _, q := range []*controlv1.ListOperatorsRequest{{Type: "bogus"}, {Outcome: "bogus"}, {Limit: -1}, {Limit: maxOperators + 1}} {
		if _, err := filterOf(q); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("%v: %v", q, err)
		}
	}
}

// A span tells where it came from; of one that is gone the error tells when, by what, and what there is instead.
func TestLineage(t *testing.T) {
	sc := newScene(t)
	made := func(op string, kind record.Kind, outcome record.Outcome, from []string, into ...string) {
		sc.put(sc.l.History("ks", op), record.EncodeHistory(record.History{
			Intent:  record.Intent{Operator: op, Kind: kind, By: record.ByUser, Spans: from, Results: into},
			Outcome: outcome, FinishedAt: sc.now,
		}))
	}
	made("1-1", record.KindSplit, record.OutcomeDone, []string{"old"}, "left", "right")
	made("1-2", record.KindMerge, record.OutcomeDone, []string{"left", "other"}, "merged")
	made("1-3", record.KindRemove, record.OutcomeDone, []string{"right"})
	made("1-4", record.KindRemove, record.OutcomeCancelled, []string{"old"})
	made("1-5", record.KindSplit, record.OutcomeDone, []string{"lost"}, "lost.0", "lost.1")
	many := make([]string, namedSuccessors+5)
	for i := range many {
		many[i] = fmt.Sprintf("1-6.%02d", i)
		sc.span(many[i], record.Span{Range: span.Range{Start: many[i], End: many[i] + "a"}})
	}
	made("1-6", record.KindSplit, record.OutcomeDone, []string{"wide"}, many...)
	sc.span("merged", record.Span{Range: span.Range{End: "1"}})
	sc.span("mine", record.Span{Range: span.Range{Start: "x"}, Parents: []string{"p1", "p2"}})
	at := " at " + sc.now.Format(time.RFC3339)
	for id, want := range map[string]string{
		"old":   "was split by operator 1-1" + at + ", and replaced by merged; name merged instead",
		"left":  "was merged by operator 1-2" + at + ", and replaced by merged; name merged instead",
		"right": "was removed by operator 1-3" + at + "; see",
		"lost":  "was split by operator 1-5" + at + ", and nothing that came of it is left",
		"wide":  "1-6.19 and 5 more; name one of them instead",
		"never": "does not exist",
	} {
		_, err := spanNamed(sc.s, "ks", id)
		if err == nil || !strings.Contains(err.Error(), want) || fault.ExitCode(err) != 3 {
			t.Errorf("%s: %v, want %q", id, err, want)
		}
	}
	for id, want := range map[string]string{"merged": "[left other] []", "mine": "[p1 p2] []", many[3]: "[wide] []"} {
		_, _, err := chosenSpans(sc.s, &controlv1.ListSpansRequest{Keyspace: "ks", Span: id})
		facts := spansIn(sc.s, "ks", &controlv1.ListSpansRequest{Span: id})
		if err != nil || len(facts) != 1 {
			t.Fatalf("%s: %v", id, err)
		}
		s := renderSpan(look(facts[0], sc.k, sc.now))
		if got := fmt.Sprint(s.GetParents(), s.GetChildren()); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	sc.put(sc.l.History("was", "2-1"), record.EncodeHistory(record.History{
		Intent: record.Intent{Operator: "2-1", Kind: record.KindKeyspace, By: record.ByUser}, Outcome: record.OutcomeDone, FinishedAt: sc.now,
	}))
	if _, err := keyspaceNamed(sc.s, "keyspace", "was"); err == nil || !strings.Contains(err.Error(), "was deleted by operator 2-1"+at) {
		t.Errorf("a keyspace that was deleted: %v", err)
	}
}
