package maintainer

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

func (w *world) apply(at, id string, ops ...*controlv1.PlannedOperator) ([]*controlv1.ApplyPlanResponse_Result, error) {
	w.t.Helper()
	resp, err := w.invoke(at, &controlv1.ApplyPlanRequest{RequestId: id, Operators: ops})
	return resp.(*controlv1.ApplyPlanResponse).GetResults(), err
}

func (w *world) mustApply(at, id string, ops ...*controlv1.PlannedOperator) []*controlv1.ApplyPlanResponse_Result {
	w.t.Helper()
	results, err := w.apply(at, id, ops...)
	if err != nil || len(results) != len(ops) {
		w.t.Fatalf("%d results of %d operators: %v", len(results), len(ops), err)
	}
	return results
}

// plannedMove is an operator as a plan has it, of the record as it is now.
func (w *world) plannedMove(r operator.Ref, to string) *controlv1.PlannedOperator {
	s := w.span(r)
	return &controlv1.PlannedOperator{
		Type: "move", Keyspace: r.Keyspace, Spans: []*controlv1.PlannedSpan{{Id: string(r.ID), Revision: s.Mod}}, From: s.Owner.Node, To: to,
		By: "balance", Reason: "for a test",
	}
}

func acceptedOf(results []*controlv1.ApplyPlanResponse_Result) (ids []string) {
	for _, r := range results {
		if r.GetOperator() != nil {
			ids = append(ids, r.GetOperator().GetId())
		}
	}
	return ids
}

// A plan is carried out as it says, by a user, with the reasons of the plan; afterwards the same plan is empty. Repeated at
// another maintainer and at the next leader it is the same operators, and nothing more happens.
func TestAPlanIsAppliedOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		m1, _ := w.calm(30, "n1", "n2", "n3")
		m2 := w.maintainer("m2")
		time.Sleep(time.Second)
		p := w.mustPlan(&controlv1.PlanRequest{Drain: []string{"n1"}})
		want := map[string]string{}
		for _, o := range p.GetOperators() {
			want[o.GetSpans()[0].GetId()] = o.GetTo()
		}
		first := w.mustApply("m1", "of-a-plan", p.GetOperators()...)
		if n := len(acceptedOf(first)); n != 30 {
			t.Fatalf("%d accepted: %v", n, first)
		}
		for i, r := range first {
			o := r.GetOperator()
			if o.GetBy() != "user" || o.GetReason() != "plan: node n1 is drained" || o.GetRequestId() != fmt.Sprintf("of-a-plan/%d", i) ||
				o.GetSpans()[0] != p.GetOperators()[i].GetSpans()[0].GetId() || o.GetTo() != p.GetOperators()[i].GetTo() {
				t.Errorf("%v", o)
			}
		}
		w.eventually("moved", time.Minute, func() string {
			if o := w.owners("ks"); o["n1"] != 0 || len(w.inFlight()) > 0 {
				return fmt.Sprint(o)
			}
			return ""
		})
		for id, to := range want {
			if s := w.span(operator.Ref{Keyspace: "ks", ID: span.ID(id)}); s.Owner.Node != to {
				t.Errorf("%s is on %s, want %s", id, s.Owner.Node, to)
			}
		}
		before := w.everything()
		again := func(at string) {
			t.Helper()
			second := w.mustApply(at, "of-a-plan", p.GetOperators()...)
			if fmt.Sprint(acceptedOf(second)) != fmt.Sprint(acceptedOf(first)) {
				t.Errorf("%v, and was %v", acceptedOf(second), acceptedOf(first))
			}
			if _, err := w.apply(at, "of-a-plan", p.GetOperators()[1:]...); !fault.Is(err, fault.RequestConflict) {
				t.Errorf("another plan under the same id: %v", err)
			}
		}
		again("m2")
		for key, mod := range w.everything() {
			if before[key] != mod && key != w.layout.Leader() {
				t.Errorf("%s was written", key)
			}
		}
		m1.quit()
		w.leads(m2, 10*time.Second)
		again("m2")
		// With another id, the plan is outdated.
		for _, r := range w.mustApply("m2", "anew", p.GetOperators()...) {
			if r.GetOperator() != nil || r.GetReason() != string(fault.PlanOutdated) {
				t.Errorf("%v", r)
			}
		}
	})
}

// Each operator stands for itself: what has changed since, what does not fit and what is busy is refused with a reason, and the
// rest goes on. Splits and merges are held to what users' own are.
func TestOperatorsOfAPlanAreRefusedOneByOne(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.calm(12, "n1", "n2", "n3")
		w.mustSet("m1", "ks", "max-spans=13")
		w.configureNode("m1", "n3", true)
		plan := func(kind string, at string, of ...int) *controlv1.PlannedOperator {
			o := &controlv1.PlannedOperator{Type: kind, Keyspace: "ks", Reason: "for a test"}
			for _, n := range of {
				o.Spans = append(o.Spans, &controlv1.PlannedSpan{Id: string(refs[n].ID), Revision: w.span(refs[n]).Mod})
			}
			if at != "" {
				o.At = [][]byte{[]byte(at)}
			}
			return o
		}
		changed, lost := w.plannedMove(refs[0], "n2"), w.plannedMove(refs[1], "n2")
		s := w.span(refs[0]).Span
		s.Parents = []string{"1-1.77"}
		w.putSpan(refs[0], s)
		lost.Spans[0].Id = "9-9.9"
		elsewhere := w.plannedMove(refs[1], "n2")
		elsewhere.From = "n2"
		w.nodes[0].answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if a.GetMembers()[0].GetSpan() == string(refs[2].ID) {
				return sessionv1.StageResult_RESULT_UNSPECIFIED
			}
			return sessionv1.StageResult_RESULT_CLAIMED
		})
		if _, err := w.invoke("m1", &controlv1.MoveSpanRequest{Keyspace: "ks", Span: string(refs[2].ID), To: "n2"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		ops := []struct {
			o      *controlv1.PlannedOperator
			reason fault.Reason
			says   string
		}{
			{changed, fault.PlanOutdated, "has changed since the plan was made"},
			{lost, fault.UnknownSpan, "9-9.9"},
			{elsewhere, fault.PlanOutdated, "the plan has it on n2, and it is on n1"},
			{w.plannedMove(refs[2], "n2"), fault.SpanBusy, "is held by operator"},
			{w.plannedMove(refs[3], "n3"), fault.NodeNotReady, "is cordoned"},
			{w.plannedMove(refs[4], "n7"), fault.UnknownNode, "n7"},
			{plan("split", "x", 5), fault.InvalidKey, ""},
			{plan("merge", "", 6, 8), fault.Refused, "is not adjacent"},
			{w.plannedMove(refs[7], "n2"), "", ""},
			{plan("split", "0000095", 9), "", ""},
			{plan("merge", "", 11, 10), "", ""},
		}
		var in []*controlv1.PlannedOperator
		for _, o := range ops {
			in = append(in, o.o)
		}
		for i, r := range w.mustApply("m1", "mixed", in...) {
			want := ops[i]
			switch {
			case want.reason == "" && r.GetOperator().GetReason() == "plan: for a test" && r.GetReason() == "" && r.GetRefused() == "":
			case want.reason != "" && r.GetOperator() == nil && r.GetReason() == string(want.reason) && strings.Contains(r.GetRefused(), want.says) &&
				r.GetRemedy() != "" && !strings.Contains(r.GetRefused(), r.GetRemedy()):
			default:
				t.Errorf("%d: %v, want %q …%s…", i, r, want.reason, want.says)
			}
		}
		w.eventually("done", time.Minute, func() string {
			if len(w.ranges("ks")) != 12 || w.span(refs[7]).Owner.Node != "n2" { // one more by the split, one less by the merge
				return fmt.Sprint(len(w.ranges("ks")), w.span(refs[7]))
			}
			return ""
		})
		fresh := make([]*controlv1.PlannedOperator, 0, 9)
		fresh = append(fresh, w.plannedMove(refs[0], "n2"))
		fresh = append(fresh, in[1:9]...)
		begun := &atomic.Int64{}
		m.at(func(name string) error {
			if name == "maintainer/move/accept/before" {
				begun.Add(1)
			}
			return nil
		})
		if _, err := w.apply("m1", "mixed", fresh...); !fault.Is(err, fault.RequestConflict) || begun.Load() > 0 {
			t.Errorf("another plan under the same id: %v, %d operators begun", err, begun.Load())
		}
		w.mustSet("m1", "ks", "max-spans=12")
		full := w.mustApply("m1", "full", plan("split", "0000065", 6))
		if full[0].GetReason() != string(fault.Refused) || !strings.Contains(full[0].GetRefused(), "max-spans is 12") {
			t.Errorf("%v", full)
		}
	})
}

// What is no plan is refused as a whole, and nothing of it is done.
func TestWhatIsNoPlanIsRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.calm(3, "n1", "n2")
		good := w.plannedMove(refs[0], "n2")
		with := func(change func(*controlv1.PlannedOperator)) []*controlv1.PlannedOperator {
			bad := w.plannedMove(refs[1], "n2")
			change(bad)
			return []*controlv1.PlannedOperator{good, bad}
		}
		var many []*controlv1.PlannedOperator
		for n := range maxApplied + 1 {
			o := proto.CloneOf(good)
			o.Spans[0].Id = fmt.Sprint("1-1.", n)
			many = append(many, o)
		}
		before := w.everything()
		for name, tt := range map[string]struct {
			id   string
			ops  []*controlv1.PlannedOperator
			says string
		}{
			"too many":   {"a", many, "send at most 500"},
			"type":       {"a", with(func(o *controlv1.PlannedOperator) { o.Type = "remove" }), `is of type "remove"`},
			"no spans":   {"a", with(func(o *controlv1.PlannedOperator) { o.Spans = nil }), "a move of 0 spans"},
			"two spans":  {"a", with(func(o *controlv1.PlannedOperator) { o.Spans = append(o.Spans, o.Spans...) }), "a move of 2 spans"},
			"twice":      {"a", []*controlv1.PlannedOperator{good, good}, "is named twice"},
			"reason":     {"a", with(func(o *controlv1.PlannedOperator) { o.Reason = strings.Repeat("x", maxReason+1) }), "a reason of 1001 bytes"},
			"unprinted":  {"a", with(func(o *controlv1.PlannedOperator) { o.Reason = "\x1b[2J" }), "cannot be printed"},
			"request id": {strings.Repeat("x", maxRequestID-1), with(func(*controlv1.PlannedOperator) {}), "has 129 bytes"},
		} {
			if _, err := w.apply("m1", tt.id, tt.ops...); !fault.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v, want …%s…", name, err, tt.says)
			}
		}
		for key, mod := range w.everything() {
			if before[key] != mod && key != w.layout.Leader() {
				t.Errorf("%s was written", key)
			}
		}
		if got := w.mustApply("m1", "nothing"); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}

// The leader dies between two operators of a plan. The call goes on at the next leader, or is repeated there, and each operator
// is accepted once.
func TestAPlanSurvivesTheLeader(t *testing.T) {
	inWorld(t, func(w *world) {
		m1, _ := w.calm(40, "n1", "n2")
		m2 := w.maintainer("m2")
		time.Sleep(2 * time.Second)
		p := w.mustPlan(&controlv1.PlanRequest{Drain: []string{"n1"}})
		hits := &atomic.Int64{}
		m1.at(func(name string) error {
			if name != "maintainer/move/accept/after" {
				return nil
			}
			if hits.Add(1) == 7 {
				m1.kill(false)
				return errKilled
			}
			return nil
		})
		results, err := w.apply("m2", "of-a-plan", p.GetOperators()...)
		if err != nil {
			w.leads(m2, 10*time.Second)
			results, err = w.apply("m2", "of-a-plan", p.GetOperators()...)
		}
		if err != nil || len(acceptedOf(results)) != 40 || hits.Load() < 7 {
			t.Fatalf("%d hits: %v %v", hits.Load(), results, err)
		}
		w.eventually("moved", time.Minute, func() string {
			if o := w.owners("ks"); o["n2"] != 40 || len(w.inFlight()) > 0 {
				return fmt.Sprint(o)
			}
			return ""
		})
		requests := map[string]int{}
		for h := range w.histories(m2) {
			if requests[h.GetRequestId()]++; requests[h.GetRequestId()] > 1 && h.GetRequestId() != "" {
				t.Errorf("%v", h)
			}
		}
		if n := len(requests); n != 40 {
			t.Errorf("%d requests", n)
		}
	})
}
