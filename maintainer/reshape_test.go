package maintainer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

func (w *world) split(at string, r operator.Ref, keys ...string) *controlv1.Operator {
	w.t.Helper()
	q := &controlv1.SplitSpanRequest{Cluster: "test", RequestId: "split-" + string(r.ID), Keyspace: r.Keyspace, Span: string(r.ID)}
	for _, key := range keys {
		q.At = append(q.At, []byte(key))
	}
	resp, err := w.ask(at).SplitSpan(w.t.Context(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetOperator()
}

func (w *world) merge(at string, refs ...operator.Ref) *controlv1.Operator {
	w.t.Helper()
	q := &controlv1.MergeSpansRequest{Cluster: "test", RequestId: "merge-" + string(refs[0].ID), Keyspace: refs[0].Keyspace}
	for _, r := range refs {
		q.Spans = append(q.Spans, string(r.ID))
	}
	resp, err := w.ask(at).MergeSpans(w.t.Context(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetOperator()
}

// moveAll brings spans where a test wants them.
func (w *world) moveAll(where map[operator.Ref]string) {
	w.t.Helper()
	for r, to := range where {
		if w.span(r).Owner.Node == to {
			continue
		}
		if _, err := w.ask("m1").MoveSpan(w.t.Context(), &controlv1.MoveSpanRequest{
			Cluster: "test", RequestId: "to-" + to + "-" + string(r.ID), Keyspace: r.Keyspace, Span: string(r.ID), To: to,
		}); err != nil {
			w.t.Fatal(err)
		}
		w.eventually("moved", 5*time.Second, func() string {
			if s := w.span(r); s.Owner.Node != to || s.Intent != nil {
				return "on " + s.Owner.Node
			}
			return ""
		})
	}
}

func TestASplitIsMadeWhereTheSpanRuns(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(2, "n1", "n2")
		was := w.owner(refs[0])
		op := w.split("m1", refs[0], "0000007", "0000003")
		h := w.outcome("ks", op.GetId(), 2*time.Second)
		w.owned("ks", 4, 2*time.Second)
		var got []string
		for _, id := range op.GetResults() {
			s := w.span(operator.Ref{Keyspace: "ks", ID: span.ID(id)})
			got = append(got, s.Range.String()+"@"+s.Owner.Node)
			if !slices.Equal(s.Parents, []string{string(refs[0].ID)}) {
				t.Errorf("%s comes from %v", id, s.Parents)
			}
		}
		want := []string{"000000:0000003@" + was.name, "0000003:0000007@" + was.name, "0000007:000001@" + was.name}
		if !slices.Equal(got, want) || h.Outcome != record.OutcomeDone || h.Intent.From != was.name {
			t.Errorf("%v, want %v; %+v", got, want, h)
		}
		// The children were opened by their maker: nobody was asked to.
		for _, n := range w.nodes {
			for _, a := range n.asked(sessionv1.Ask_ACTION_OPEN) {
				if strings.HasPrefix(a.GetMembers()[0].GetSpan(), op.GetId()) {
					t.Errorf("%s was asked to open %s", n.name, a.GetMembers()[0].GetSpan())
				}
			}
		}
	})
}

// What is opened in the place of a span begins where it was known to be, stored or only reported.
func TestChildrenBeginAtTheLastPositionHeard(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(2, "n1")
		w.nodes[0].checkpoint(refs[0], 70)
		w.nodes[0].checkpoint(refs[1], 90)
		time.Sleep(15 * time.Second) // stored
		w.nodes[0].checkpoint(refs[0], 77)
		time.Sleep(100 * time.Millisecond)
		op := w.merge("m1", refs[1], refs[0])
		w.outcome("ks", op.GetId(), 2*time.Second)
		if s := w.span(operator.Ref{Keyspace: "ks", ID: span.ID(op.GetResults()[0])}); s.Checkpoint != record.At(77) {
			t.Errorf("the merged span begins at %+v", s.Checkpoint)
		}
	})
}

// The sources come to the node that has most of them, one at a time, and are claimed there together.
func TestAMergeGathersItsSources(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(4, "n1", "n2")
		w.moveAll(map[operator.Ref]string{refs[0]: "n2", refs[1]: "n1", refs[2]: "n1", refs[3]: "n2"})
		w.moveAll(map[operator.Ref]string{refs[3]: "n1"})
		w.merge("m1", refs[3], refs[0], refs[2], refs[1])
		w.owned("ks", 1, 5*time.Second)
		n1 := w.nodes[0]
		r, err := w.ask("m1").ListOperators(w.t.Context(), &controlv1.ListOperatorsRequest{Cluster: "test", Finished: true, Type: "merge"})
		if err != nil || len(r.GetOperators()) != 1 {
			t.Fatalf("%v, %v", r, err)
		}
		op := r.GetOperators()[0]
		s := w.span(operator.Ref{Keyspace: "ks", ID: span.ID(op.GetResults()[0])})
		if s.Range.String() != "000000:000004" || s.Owner.Node != "n1" || op.GetOutcome() != "done" {
			t.Errorf("%s on %s: %v", s.Range, s.Owner.Node, op)
		}
		var stages []string
		for _, step := range op.GetSteps() {
			stages = append(stages, step.GetStage()+"@"+step.GetNode())
		}
		gathered := []string{"queued@", "closing@n2", "handed_off@n2", "opening@n1"}
		if !slices.Equal(stages[:4], gathered) || stages[len(stages)-1] != "finished@n1" {
			t.Errorf("steps %v", stages)
		}
		var together []int
		for _, a := range n1.asked(sessionv1.Ask_ACTION_CLOSE) {
			if a.GetOperator() != op.GetId() {
				continue
			}
			together = append(together, len(a.GetMembers()))
			if a.GetWorkload() != "gate" || len(a.GetSettings()) == 0 {
				t.Errorf("the ask says nothing of what is to be opened: %v", a)
			}
		}
		if !slices.Equal(together, []int{4}) {
			t.Errorf("n1 was asked to close %v spans together", together)
		}
	})
}

// Sources on many nodes are never acted on by two at a time.
func TestAMergeActsInOnePlaceAtATime(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(6, "n1", "n2", "n3")
		op := w.merge("m1", refs...)
		busy := 0
		w.eventually("merged", 10*time.Second, func() string {
			actors := map[string]bool{}
			for _, r := range refs {
				if c := w.claim(r); c != nil {
					actors[c.Node] = true
				}
			}
			if len(actors) > 1 {
				t.Fatalf("%v act at once", actors)
			}
			busy += len(actors)
			if len(w.get(w.layout.History("ks", op.GetId())).Kvs) == 0 {
				return "in flight"
			}
			return ""
		})
		if h := w.outcome("ks", op.GetId(), time.Second); h.Outcome != record.OutcomeDone {
			t.Errorf("%+v", h)
		}
	})
}

// What one source refuses is refused for all: the ask is not taken for unanswered, and made again soon.
func TestOneRefusalRefusesAMerge(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.settled(3, "n1")
		n := w.nodes[0]
		refused := 0
		n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if len(a.GetMembers()) < 2 || refused > 1 {
				return sessionv1.StageResult_RESULT_CLAIMED
			}
			refused++
			n.say(&sessionv1.Report{Results: []*sessionv1.StageResult{{
				Keyspace: "ks", Span: a.GetMembers()[2].GetSpan(), Operator: a.GetOperator(), Result: sessionv1.StageResult_RESULT_REFUSED,
			}}})
			return sessionv1.StageResult_RESULT_UNSPECIFIED
		})
		op := w.merge("m1", refs...)
		w.outcome("ks", op.GetId(), time.Second)
		if m.Stats().Refused != 2 {
			t.Errorf("%d refusals", m.Stats().Refused)
		}
	})
}

// An ask that was made on records of which one has changed is in vain: it is made anew at once.
func TestAMergeIsAskedAnewWhenASourceChanges(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(3, "n1")
		n := w.nodes[0]
		n.answers(func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_UNSPECIFIED })
		op := w.merge("m1", refs...)
		time.Sleep(40 * time.Second) // by now what is not answered is asked again rarely
		s := w.span(refs[2])
		s.LastNode = "n7"
		mod := w.putSpan(refs[2], s.Span)
		n.obey()
		h := w.outcome("ks", op.GetId(), 500*time.Millisecond)
		asks := n.asked(sessionv1.Ask_ACTION_CLOSE)
		if m := asks[len(asks)-1].GetMembers(); h.Outcome != record.OutcomeDone || m[2].GetModRevision() != mod {
			t.Errorf("%+v, asked with %v", h, m)
		}
	})
}

// Without any owner left the leader makes the spans itself, and whoever comes opens them.
func TestTheLeaderSwapsWhereNobodyIsLeft(t *testing.T) {
	for _, kind := range []string{"split", "merge"} {
		t.Run(kind, func(t *testing.T) {
			inWorld(t, func(w *world) {
				_, refs := w.settled(2, "n1")
				w.nodes[0].refuses(sessionv1.Ask_ACTION_CLOSE)
				w.nodes[0].checkpoint(refs[0], 8)
				w.nodes[0].checkpoint(refs[1], 7)
				time.Sleep(15 * time.Second)
				var op *controlv1.Operator
				want := 3
				if kind == "split" {
					op = w.split("m1", refs[0], "0000005")
				} else {
					op, want = w.merge("m1", refs...), 1
				}
				time.Sleep(time.Second)
				w.nodes[0].kill()
				h := w.outcome("ks", op.GetId(), time.Minute)
				if h.Outcome != record.OutcomeDone {
					t.Errorf("%+v", h)
				}
				lowest := map[string]record.Position{"split": record.At(8), "merge": record.At(7)}[kind]
				for _, id := range op.GetResults() {
					if s := w.span(operator.Ref{Keyspace: "ks", ID: span.ID(id)}); s.Checkpoint != lowest || !s.Owner.Nobody() {
						t.Errorf("%s: %+v", id, s)
					}
				}
				w.node("n2")
				w.owned("ks", want, time.Minute)
			})
		})
	}
}

// A merge of which somebody deletes a source, or takes the operator out of it by hand, ends, and the others go on.
func TestAMergeWithoutOneOfItsSourcesFails(t *testing.T) {
	for _, how := range []string{"deleted", "rewritten"} {
		t.Run(how, func(t *testing.T) {
			inWorld(t, func(w *world) {
				_, refs := w.settled(3, "n1")
				w.nodes[0].answers(func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_UNSPECIFIED })
				op := w.merge("m1", refs...)
				time.Sleep(40 * time.Second) // by now what is not answered is asked again rarely
				if s := w.span(refs[1]); how == "deleted" {
					if _, err := w.etcd.Client().Delete(w.t.Context(), w.layout.Span("ks", refs[1].ID)); err != nil {
						t.Fatal(err)
					}
				} else {
					s.Intent = nil
					w.putSpan(refs[1], s.Span)
				}
				h := w.outcome("ks", op.GetId(), 100*time.Millisecond)
				if h.Outcome != record.OutcomeFailed || !strings.Contains(h.Error, string(refs[1].ID)) {
					t.Errorf("%+v", h)
				}
				for _, r := range []operator.Ref{refs[0], refs[2]} {
					if s := w.span(r); s.Intent != nil || s.Owner.Node != "n1" {
						t.Errorf("%+v", s)
					}
				}
			})
		})
	}
}

// A source that cannot be opened where the others are would never be merged: the merge fails, and the source runs on
// elsewhere.
func TestAMergeFailsWhereItCannotGather(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(3, "n1", "n2")
		w.moveAll(map[operator.Ref]string{refs[0]: "n1", refs[1]: "n1", refs[2]: "n2"})
		n1 := w.nodes[0]
		n1.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if a.GetAction() != sessionv1.Ask_ACTION_OPEN {
				return sessionv1.StageResult_RESULT_CLAIMED
			}
			n1.say(&sessionv1.Report{Results: []*sessionv1.StageResult{{
				Keyspace: "ks", Span: a.GetMembers()[0].GetSpan(), Operator: a.GetOperator(), Error: "no disk",
				Result: sessionv1.StageResult_RESULT_OPEN_FAILED,
			}}})
			return sessionv1.StageResult_RESULT_UNSPECIFIED
		})
		op := w.merge("m1", refs...)
		h := w.outcome("ks", op.GetId(), time.Minute)
		if h.Outcome != record.OutcomeFailed || !strings.Contains(h.Error, "n1") || !strings.Contains(h.Error, "no disk") {
			t.Errorf("%+v", h)
		}
		w.owned("ks", 3, 10*time.Second)
		if n := w.span(refs[2]).Owner.Node; n != "n2" {
			t.Errorf("the source runs on %q", n)
		}
	})
}

// The place where most sources are dies while they gather: the rest goes on elsewhere, and nothing is lost.
func TestAMergeSurvivesItsNodes(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(4, "n1", "n2")
		w.moveAll(map[operator.Ref]string{refs[0]: "n1", refs[1]: "n1", refs[2]: "n1", refs[3]: "n2"})
		n1 := w.nodes[0]
		n1.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if a.GetAction() == sessionv1.Ask_ACTION_CLOSE {
				n1.claims(context.Background(), a)
			} else {
				n1.claimOnly(a)
			}
			return sessionv1.StageResult_RESULT_UNSPECIFIED
		})
		op := w.merge("m1", refs...)
		w.eventually("gathering", 5*time.Second, func() string {
			if w.claim(refs[3]) == nil || !w.span(refs[3]).Owner.Nobody() {
				return fmt.Sprint(w.span(refs[3]))
			}
			return ""
		})
		n1.kill()
		if h := w.outcome("ks", op.GetId(), time.Minute); h.Outcome != record.OutcomeDone {
			t.Errorf("%+v", h)
		}
		w.owned("ks", 1, time.Minute)
	})
}

// A source whose record nobody can read is still one: the merge waits until somebody repairs or deletes it.
func TestAMergeWaitsForAnUnreadableSource(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(2, "n1")
		w.nodes[0].refuses(sessionv1.Ask_ACTION_CLOSE)
		op := w.merge("m1", refs...)
		time.Sleep(time.Second)
		good := w.get(w.layout.Span("ks", refs[1].ID)).Kvs[0].Value
		w.put(w.layout.Span("ks", refs[1].ID), []byte("garbage"))
		w.nodes[0].obey()
		time.Sleep(time.Minute)
		if n := len(w.get(w.layout.History("ks", op.GetId())).Kvs); n != 0 {
			t.Error("the merge has ended")
		}
		if _, err := w.cancel("m1", op.GetId(), "c1"); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), string(refs[1].ID)) {
			t.Errorf("cancel: %v", err)
		}
		if _, err := w.remove("m1", refs[0], "rm"); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), string(refs[1].ID)) {
			t.Errorf("remove: %v", err)
		}
		w.put(w.layout.Span("ks", refs[1].ID), good)
		if h := w.outcome("ks", op.GetId(), 5*time.Second); h.Outcome != record.OutcomeDone {
			t.Errorf("%+v", h)
		}
	})
}

// Asks with long keys go in messages that gRPC takes.
func TestLargeAsksGoInSeveralMessages(t *testing.T) {
	ask := &sessionv1.Ask{Members: []*sessionv1.Ask_Member{{Record: make([]byte, 300<<10)}}}
	large := slices.Repeat([]*sessionv1.Ask{ask}, 10)
	if n := fitting(large); n != 3 {
		t.Errorf("%d of 300 KiB each", n)
	}
	if n := fitting([]*sessionv1.Ask{{Members: []*sessionv1.Ask_Member{{Record: make([]byte, 2<<20)}}}}); n != 1 {
		t.Errorf("%d of one that is too large", n)
	}
	if n := fitting(slices.Repeat([]*sessionv1.Ask{{}}, 500)); n != asksPerMessage {
		t.Errorf("%d small ones", n)
	}
}
