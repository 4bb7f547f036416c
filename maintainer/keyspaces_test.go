package maintainer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/span"
)

// change asks for another state of keyspace ks and gives the operator's id.
func (w *world) change(api controlv1.ControlClient, verb, request string) (string, error) {
	a, err := api.ChangeKeyspaceState(context.Background(), &controlv1.ChangeKeyspaceStateRequest{
		Cluster: "test", RequestId: request, Name: "ks", Verb: verb,
	})
	return a.GetOperator().GetId(), err
}

func (w *world) keyspaceRecord(name string) record.Keyspace {
	w.t.Helper()
	r := w.get(w.layout.Keyspace(name))
	if len(r.Kvs) == 0 {
		w.t.Fatalf("no keyspace %s", name)
	}
	ks, err := record.DecodeKeyspace(r.Kvs[0].Value)
	if err != nil {
		w.t.Fatal(err)
	}
	return ks
}

// A pause is in flight as long as a span is owned: it is listed, holds the keyspace, and is found by its request id.
func TestAPauseHoldsItsKeyspace(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(2, "n1")
		n := w.owner(refs[0])
		n.mu.Lock()
		n.answer = func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if a.GetAction() == sessionv1.Ask_ACTION_RELEASE {
				return sessionv1.StageResult_RESULT_UNSPECIFIED // it says nothing, and does nothing
			}
			return sessionv1.StageResult_RESULT_CLAIMED
		}
		n.mu.Unlock()
		api := w.ask("m1")
		if _, err := w.change(api, "resume", "r0"); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "running already") {
			t.Errorf("resume of what runs: %v", err)
		}
		was := w.keyspaceRecord("ks").RangeGeneration
		id, err := w.change(api, "pause", "p")
		if err != nil {
			t.Fatal(err)
		}
		if again, err := w.change(api, "pause", "p"); again != id || err != nil {
			t.Errorf("the same request is %s and %s, %v", id, again, err)
		}
		if _, err := w.change(api, "delete", "p"); !fault.Is(err, fault.RequestConflict) {
			t.Errorf("its id with another body: %v", err)
		}
		for _, verb := range []string{"pause", "resume"} {
			if _, err := w.change(api, verb, ""); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), id) {
				t.Errorf("%s while it is being paused: %v", verb, err)
			}
		}
		move := &controlv1.MoveSpanRequest{Cluster: "test", Keyspace: "ks", Span: string(refs[0].ID), To: "n1"}
		if _, err := api.MoveSpan(context.Background(), move); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "paused") {
			t.Errorf("a move in a paused keyspace: %v", err)
		}
		time.Sleep(10 * time.Second)
		for _, q := range []*controlv1.ListOperatorsRequest{{Cluster: "test"}, {Cluster: "test", Id: id}} {
			list, err := api.ListOperators(context.Background(), q)
			if err != nil || len(list.GetOperators()) != 1 {
				t.Fatalf("%v: %v %v", q, list, err)
			}
			if o := list.GetOperators()[0]; o.GetId() != id || o.GetType() != "keyspace" || o.GetStage() != "closing" || o.GetOutcome() != "" {
				t.Errorf("listed as %v", o)
			}
		}
		n.mu.Lock()
		n.answer = nil
		n.mu.Unlock()
		if h := w.outcome("ks", id, 30*time.Second); h.Outcome != record.OutcomeDone || h.Intent.RequestID != "p" {
			t.Errorf("%+v", h)
		}
		ks := w.keyspaceRecord("ks")
		if ks.Pending != nil || ks.State != record.KeyspacePaused || ks.RangeGeneration != was+1 {
			t.Errorf("in the end: %+v", ks)
		}
		for _, r := range refs {
			if s := w.span(r); !s.Owner.Nobody() {
				t.Errorf("%s is owned by %s", r.ID, s.Owner.Node)
			}
		}
		if _, err := w.change(api, "resume", "r"); err != nil {
			t.Fatal(err)
		}
		w.owned("ks", 2, time.Second)
	})
}

// An owner that is gone cannot release anything. The pause is over when it may act no more, and not before.
func TestAPauseWaitsForALostOwner(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.settled(2, "n1", "n2")
		lost := w.owner(refs[0])
		lost.kill()
		id, err := w.change(w.ask("m1"), "pause", "p")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		h := w.outcome("ks", id, 30*time.Second)
		if took := h.FinishedAt.Sub(began); took < lost.mayAct-time.Second {
			t.Errorf("paused after %v, while %s could still act", took, lost.name)
		}
		if got := w.span(refs[0]).Owner.Node; got != lost.name {
			t.Errorf("owned by %q", got)
		}
		if m.state().Session(lost.name) != 0 {
			t.Errorf("%s is there", lost.name)
		}
	})
}

// More positions than one transaction may write, and nothing is left of them.
func TestADeleteLeavesHistoryOnly(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(300, "n1", "n2")
		for n := range uint32(buckets) {
			p := record.Progress{}
			for _, r := range refs {
				if bucketOf(r.ID) == n {
					p[r.ID] = 7
				}
			}
			p[span.ID("gone")] = 3
			w.put(w.layout.Progress("ks", n), record.EncodeProgress(p))
		}
		id, err := w.change(w.ask("m1"), "delete", "d")
		if err != nil {
			t.Fatal(err)
		}
		w.outcome("ks", id, 20*time.Second)
		removes := 0
		for key := range w.everything() {
			k, err := w.layout.Parse(key)
			if err != nil || k.Keyspace == "ks" && k.Kind != keys.History {
				t.Errorf("%s is left", key)
			}
			if k.Kind == keys.History && k.Operator != id {
				removes++
			}
		}
		if removes != len(refs) {
			t.Errorf("%d removes of %d spans", removes, len(refs))
		}
		if again, err := w.change(w.ask("m1"), "delete", "d"); again != id || err != nil {
			t.Errorf("the same request is %s and %s, %v", id, again, err)
		}
		if _, err := w.change(w.ask("m1"), "delete", "other"); !fault.Is(err, fault.UnknownKeyspace) {
			t.Errorf("deleted twice: %v", err)
		}
	})
}

// A delete goes on where the leader that accepted it has stopped, from the records alone, and ends what was in flight.
func TestADeleteGoesOnUnderTheNextLeader(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.settled(50, "n1", "n2")
		m2 := w.maintainer("m2")
		w.accept(refs[0], record.Intent{Operator: "1-7", Kind: record.KindMove, To: w.other(refs[0]).name})
		m.diesAt("maintainer/remove/accept/before", 1)
		number := m.current().number
		_, _ = w.change(w.ask("m1"), "delete", "d") // it may die before it has answered
		w.leads(m2, 30*time.Second)
		id, err := w.change(w.ask("m2"), "delete", "d")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(id, fmt.Sprintf("%d-", number)) {
			t.Errorf("accepted again, as %s", id)
		}
		w.outcome("ks", id, 60*time.Second)
		// The move that was under way is superseded where nobody acts on it, else it comes to its end first.
		if h := w.outcome("ks", "1-7", time.Second); h.Outcome != record.OutcomeDone && (h.Cause == nil || h.Cause.Operator == "") {
			t.Errorf("the move that was under way: %+v", h)
		}
		for _, r := range refs {
			if len(w.get(w.layout.Span(r.Keyspace, r.ID)).Kvs) > 0 {
				t.Errorf("%s is left", r.ID)
			}
		}
	})
}

// The positions that the leader has written for a keyspace go with it: the next one of its name starts with none.
func TestPositionsDoNotOutliveTheirKeyspace(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(1, "n1")
		n := w.owner(refs[0])
		for at := range uint64(12) { // something has moved at every write
			n.checkpoint(refs[0], 100+at)
			time.Sleep(time.Second)
		}
		if len(w.stored("ks")) != 1 {
			t.Fatal("nothing was stored")
		}
		id, err := w.change(w.ask("m1"), "delete", "d")
		if err != nil {
			t.Fatal(err)
		}
		w.outcome("ks", id, 2*time.Second)
		w.keyspace("ks", 1) // with the same bucket
		w.owned("ks", 1, time.Second)
		w.eventually("the new position is stored", time.Minute, func() string {
			n.checkpoint(refs[0], 5) // the leader may not have seen yet whose the span is
			time.Sleep(time.Second)
			switch got := w.stored("ks")[refs[0].ID]; got {
			case 5:
				return ""
			case 0:
				return "nothing is stored"
			default:
				t.Fatalf("stored %d", got)
				return ""
			}
		})
	})
}
