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
	"github.com/spanward/spanward/operator"
)

func (w *world) cancel(at, id, request string) (*controlv1.Operator, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	resp, err := w.ask(at).CancelOperator(ctx, &controlv1.CancelOperatorRequest{Cluster: "test", RequestId: request, Id: id})
	return resp.GetOperator(), err
}

func (w *world) remove(at string, r operator.Ref, request string) (*controlv1.Operator, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	resp, err := w.ask(at).RemoveSpan(ctx, &controlv1.RemoveSpanRequest{Cluster: "test", RequestId: request, Keyspace: r.Keyspace, Span: string(r.ID)})
	return resp.GetOperator(), err
}

func (w *world) move(at string, r operator.Ref, to string) *controlv1.Operator {
	w.t.Helper()
	resp, err := w.ask(at).MoveSpan(w.t.Context(), &controlv1.MoveSpanRequest{
		Cluster: "test", RequestId: "move-" + string(r.ID), Keyspace: r.Keyspace, Span: string(r.ID), To: to,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetOperator()
}

func (w *world) awaitClaim(r operator.Ref) *operator.Claim {
	w.t.Helper()
	w.eventually("claimed", 5*time.Second, func() string {
		if w.claim(r) == nil {
			return "nobody acts"
		}
		return ""
	})
	return w.claim(r)
}

// wasCancelled checks the end of an operator by a request.
func (w *world) wasCancelled(id, request, by string) {
	w.t.Helper()
	h := w.outcome("ks", id, 2*time.Second)
	if h.Outcome != record.OutcomeCancelled || h.Cause == nil || h.Cause.RequestID != request || h.Cause.Operator != by || h.Error == "" {
		w.t.Errorf("%+v, cause %+v", h, h.Cause)
	}
}

// Cancelling what nobody acts on takes one write of the leader. The same request has the same answer, another one is told
// that it is over.
func TestCancelOfWhatWaits(t *testing.T) {
	for _, kind := range []string{"move", "split", "merge", "remove"} {
		t.Run(kind, func(t *testing.T) {
			inWorld(t, func(w *world) {
				_, refs := w.settled(3, "n1", "n2")
				for _, n := range w.nodes {
					n.refuses(sessionv1.Ask_ACTION_CLOSE)
				}
				owners := w.owners("ks")
				var op *controlv1.Operator
				var err error
				switch kind {
				case "move":
					op = w.move("m1", refs[0], w.other(refs[0]).name)
				case "split":
					op = w.split("m1", refs[0], "0000005")
				case "merge":
					op = w.merge("m1", refs...)
				case "remove":
					op, err = w.remove("m1", refs[0], "rm")
				}
				time.Sleep(time.Second)
				if err != nil || op.GetStage() != "queued" {
					t.Fatalf("%v, %v", op, err)
				}
				for range 2 {
					got, err := w.cancel("m1", op.GetId(), "c1")
					if err != nil || got.GetOutcome() != "cancelled" || got.GetId() != op.GetId() {
						t.Fatalf("%v, %v", got, err)
					}
				}
				w.wasCancelled(op.GetId(), "c1", "")
				_, err = w.cancel("m1", op.GetId(), "c2")
				if f, ok := fault.As(err); !ok || f.Reason != fault.Refused || !strings.Contains(f.Message, "cancelled") {
					t.Errorf("a second cancel: %v", err)
				}
				for _, r := range refs {
					if s := w.span(r); s.Intent != nil || w.claim(r) != nil {
						t.Errorf("%+v", s)
					}
				}
				if now := w.owners("ks"); fmt.Sprint(now) != fmt.Sprint(owners) {
					t.Errorf("%v before, %v after", owners, now)
				}
			})
		})
	}
}

// Whoever acts takes the operator back, and opens again what he has begun to close, with a new token.
func TestCancelOfWhatIsActedOn(t *testing.T) {
	for _, kind := range []string{"move", "split", "merge"} {
		t.Run(kind, func(t *testing.T) {
			inWorld(t, func(w *world) {
				_, refs := w.settled(3, "n1")
				w.node("n2")
				time.Sleep(time.Second)
				w.nodes[0].holdClosing()
				var op *controlv1.Operator
				switch kind {
				case "move":
					op = w.move("m1", refs[0], "n2")
				case "split":
					op = w.split("m1", refs[0], "0000005")
				case "merge":
					op = w.merge("m1", refs...)
				}
				held := w.awaitClaim(refs[0])
				before := w.span(refs[0]).Owner
				got, err := w.cancel("m1", op.GetId(), "c1")
				if err != nil || got.GetOutcome() != "cancelled" {
					t.Fatalf("%v, %v", got, err)
				}
				w.wasCancelled(op.GetId(), "c1", "")
				w.eventually("it runs again", 2*time.Second, func() string {
					s := w.span(refs[0])
					if s.Owner.Node != "n1" || s.Owner.Token <= before.Token || s.Owner.Token <= uint64(held.Mod) || w.claim(refs[0]) != nil {
						return fmt.Sprintf("%+v", s)
					}
					return ""
				})
				time.Sleep(10 * time.Second)
				if n := len(w.nodes[0].asked(sessionv1.Ask_ACTION_CANCEL)); n != 1 {
					t.Errorf("asked %d times", n)
				}
			})
		})
	}
}

func TestCancelAfterTheCommitPoint(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(2, "n1", "n2")
		to := w.other(refs[0])
		to.refuses(sessionv1.Ask_ACTION_OPEN)
		op := w.move("m1", refs[0], to.name)
		w.eventually("handed off", 2*time.Second, func() string {
			if i := w.span(refs[0]).Intent; i == nil || !i.HandedOff {
				return "not yet"
			}
			return ""
		})
		time.Sleep(time.Second)
		_, err := w.cancel("m1", op.GetId(), "c1")
		if f, ok := fault.As(err); !ok || f.Reason != fault.Refused || !strings.Contains(f.Message, "commit point") {
			t.Errorf("%v", err)
		}
		to.obey()
		if h := w.outcome("ks", op.GetId(), time.Minute); h.Outcome != record.OutcomeDone {
			t.Errorf("%+v", h)
		}
	})
}

// An actor that hangs leaves the outcome unknown, and says so; when it answers the same request comes to its end, whatever
// id it was given before.
func TestAnActorThatHangs(t *testing.T) {
	for _, verb := range []string{"cancel", "remove"} {
		t.Run(verb, func(t *testing.T) {
			inWorld(t, func(w *world) {
				_, refs := w.settled(2, "n1")
				n := w.nodes[0]
				n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
					if a.GetAction() == sessionv1.Ask_ACTION_CLOSE {
						n.claims(context.Background(), a)
					}
					return sessionv1.StageResult_RESULT_UNSPECIFIED
				})
				op := w.split("m1", refs[0], "0000005")
				w.awaitClaim(refs[0])
				try := func() (*controlv1.Operator, error) {
					if verb == "cancel" {
						return w.cancel("m1", op.GetId(), "c1")
					}
					return w.remove("m1", refs[0], "c1")
				}
				for range 2 {
					began := time.Now()
					_, err := try()
					if f, ok := fault.As(err); !ok || fault.ExitCode(err) != 4 || !strings.Contains(f.Message, "n1") || time.Since(began) > 11*time.Second {
						t.Fatalf("%v after %v", err, time.Since(began))
					}
				}
				asks := append(n.asked(sessionv1.Ask_ACTION_CANCEL), n.asked(sessionv1.Ask_ACTION_SUPERSEDE)...)
				for _, a := range asks {
					if string(a.GetSuccessor()) != string(asks[0].GetSuccessor()) || string(a.GetCause()) != string(asks[0].GetCause()) {
						t.Errorf("asked for something else: %v, then %v", asks[0], a)
					}
				}
				n.obey()
				got, err := try()
				if err != nil {
					t.Fatal(err)
				}
				by := map[string]string{"cancel": "", "remove": got.GetId()}[verb]
				w.wasCancelled(op.GetId(), "c1", by)
				again, err := try()
				if err != nil || again.GetId() != got.GetId() {
					t.Errorf("%v, %v", again, err)
				}
			})
		})
	}
}

// An actor that dies while it is asked has not done it; then the leader does.
func TestAnActorThatDiesWhileItIsAsked(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.settled(2, "n1")
		n := w.nodes[0]
		n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if a.GetAction() == sessionv1.Ask_ACTION_CLOSE {
				n.claims(context.Background(), a)
			}
			return sessionv1.StageResult_RESULT_UNSPECIFIED
		})
		m.at(func(name string) error {
			if name == "maintainer/cancel/accept/before" {
				time.Sleep(100 * time.Millisecond) // without the cancel the leader would have made the merged span by then
			}
			return nil
		})
		op := w.merge("m1", refs...)
		w.awaitClaim(refs[0])
		time.AfterFunc(2*time.Second, n.kill)
		got, err := w.cancel("m1", op.GetId(), "c1")
		if err != nil || got.GetOutcome() != "cancelled" {
			t.Fatalf("%v, %v", got, err)
		}
		w.wasCancelled(op.GetId(), "c1", "")
		for _, r := range refs {
			if s := w.span(r); s.Intent != nil {
				t.Errorf("%+v", s)
			}
		}
		w.node("n2")
		w.owned("ks", 2, time.Minute)
	})
}

// Actors are in the middle of a transaction now and then, and refuse. They are asked again, until they have done it or
// the operator is over in another way.
func TestARefusalIsNotTheLastWord(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(2, "n1")
		n := w.nodes[0]
		tries := 0
		n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			switch a.GetAction() {
			case sessionv1.Ask_ACTION_CLOSE:
				n.claims(context.Background(), a)
				return sessionv1.StageResult_RESULT_UNSPECIFIED
			case sessionv1.Ask_ACTION_CANCEL:
				if tries++; tries < 4 {
					return sessionv1.StageResult_RESULT_REFUSED
				}
			}
			return sessionv1.StageResult_RESULT_CLAIMED
		})
		op := w.split("m1", refs[0], "0000005")
		w.awaitClaim(refs[0])
		began := time.Now()
		if got, err := w.cancel("m1", op.GetId(), "c1"); err != nil || got.GetOutcome() != "cancelled" || tries != 4 {
			t.Errorf("%v, %v, after %d tries", got, err, tries)
		}
		if took, want := time.Since(began), (2+4+8)*refusedRetry; took > want+100*time.Millisecond {
			t.Errorf("took %v; its pauses are %v together", took, want)
		}
	})
}

// The operator finishes while its actor is asked to take it back: that is the answer.
func TestACancelThatComesTooLate(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(2, "n1")
		n := w.nodes[0]
		var held []operator.Held
		n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			switch a.GetAction() {
			case sessionv1.Ask_ACTION_CLOSE:
				held, _ = n.claims(context.Background(), a)
			case sessionv1.Ask_ACTION_CANCEL:
				n.swap(context.Background(), held)
				return sessionv1.StageResult_RESULT_REFUSED
			}
			return sessionv1.StageResult_RESULT_UNSPECIFIED
		})
		op := w.split("m1", refs[0], "0000005")
		w.awaitClaim(refs[0])
		_, err := w.cancel("m1", op.GetId(), "c1")
		if f, ok := fault.As(err); !ok || f.Reason != fault.Refused || !strings.Contains(f.Message, "done") {
			t.Errorf("%v", err)
		}
	})
}

// A leader that dies in the middle of a cancel leaves it undone, or done once.
func TestACancelAcrossLeaders(t *testing.T) {
	for _, point := range []string{"cancel/accept/before", "cancel/accept/after", "cancel/ask/before", "cancel/ask/after"} {
		t.Run(point, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m1, refs := w.settled(2, "n1")
				m2 := w.maintainer("m2")
				time.Sleep(time.Second)
				if strings.Contains(point, "ask") {
					w.nodes[0].holdClosing()
				} else {
					w.nodes[0].refuses(sessionv1.Ask_ACTION_CLOSE)
				}
				op := w.split("m1", refs[0], "0000005")
				time.Sleep(time.Second)
				m1.diesAt("maintainer/"+point, 1)
				if _, err := w.cancel("m1", op.GetId(), "c1"); fault.ExitCode(err) == 0 {
					t.Fatal("a leader that was killed has answered")
				}
				w.leads(m2, 10*time.Second)
				for range 2 {
					if got, err := w.cancel("m2", op.GetId(), "c1"); err != nil || got.GetOutcome() != "cancelled" {
						t.Fatalf("%v, %v", got, err)
					}
				}
				w.wasCancelled(op.GetId(), "c1", "")
				w.owned("ks", 2, 5*time.Second)
			})
		})
	}
}

// A pause that is taken back lets the keyspace run on; a deletion is not taken back.
func TestCancelOfKeyspaceOperators(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(2, "n1")
		n := w.nodes[0]
		n.refuses(sessionv1.Ask_ACTION_RELEASE)
		id, err := w.change(w.ask("m1"), "pause", "p")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := w.cancel("m1", id, "c1"); err != nil || got.GetOutcome() != "cancelled" || got.GetType() != "keyspace" {
				t.Fatalf("%v, %v", got, err)
			}
		}
		w.wasCancelled(id, "c1", "")
		if ks := w.keyspaceRecord("ks"); ks.State != record.KeyspaceRunning || ks.Pending != nil {
			t.Errorf("%+v", ks)
		}
		n.refuses(sessionv1.Ask_ACTION_CLOSE)
		if id, err = w.change(w.ask("m1"), "delete", "d"); err != nil {
			t.Fatal(err)
		}
		_, err = w.cancel("m1", id, "c2")
		if f, ok := fault.As(err); !ok || f.Reason != fault.Refused || !strings.Contains(f.Message, "deletion of keyspace ks") {
			t.Errorf("%v", err)
		}
		w.eventually("removing", 5*time.Second, func() string {
			if w.span(refs[0]).Intent == nil {
				return "not yet"
			}
			return ""
		})
		_, err = w.cancel("m1", w.span(refs[0]).Intent.Operator, "c3")
		if f, ok := fault.As(err); !ok || f.Reason != fault.Refused || !strings.Contains(f.Message, "deletion") {
			t.Errorf("%v", err)
		}
	})
}

// A remove takes the place of whatever holds its span, and ends it on all its members.
func TestARemoveSupersedes(t *testing.T) {
	for _, tc := range []struct {
		name string
		// begin brings an operator to where it stays, and tells its id, "" for a placement.
		begin func(w *world, refs []operator.Ref) string
	}{
		{"a move that waits", func(w *world, refs []operator.Ref) string {
			w.nodes[0].answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
				if a.GetAction() == sessionv1.Ask_ACTION_CLOSE && strings.HasSuffix(a.GetOperator(), "-1") {
					return sessionv1.StageResult_RESULT_REFUSED
				}
				return sessionv1.StageResult_RESULT_CLAIMED
			})
			return w.move("m1", refs[0], "n2").GetId()
		}},
		{"a move that closes", func(w *world, refs []operator.Ref) string {
			w.nodes[0].holdClosing()
			op := w.move("m1", refs[0], "n2")
			w.awaitClaim(refs[0])
			w.nodes[0].obey()
			return op.GetId()
		}},
		{"a move that was handed off", func(w *world, refs []operator.Ref) string {
			for _, n := range w.nodes {
				n.refuses(sessionv1.Ask_ACTION_OPEN)
			}
			op := w.move("m1", refs[0], "n2")
			time.Sleep(2 * time.Second)
			if i := w.span(refs[0]).Intent; i == nil || !i.HandedOff {
				w.t.Fatal("not handed off")
			}
			for _, n := range w.nodes {
				n.obey()
			}
			return op.GetId()
		}},
		{"a merge that waits", func(w *world, refs []operator.Ref) string {
			w.nodes[0].answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
				if len(a.GetMembers()) > 1 && a.GetAction() == sessionv1.Ask_ACTION_CLOSE {
					return sessionv1.StageResult_RESULT_REFUSED
				}
				return sessionv1.StageResult_RESULT_CLAIMED
			})
			return w.merge("m1", refs[1], refs[0], refs[2]).GetId()
		}},
		{"a merge that closes", func(w *world, refs []operator.Ref) string {
			w.nodes[0].holdClosing()
			op := w.merge("m1", refs[1], refs[0], refs[2])
			w.awaitClaim(refs[0])
			w.nodes[0].obey()
			return op.GetId()
		}},
		{"a placement", func(w *world, refs []operator.Ref) string {
			w.nodes[0].answers(w.nodes[0].claimOnly)
			w.nodes[1].answers(w.nodes[1].claimOnly)
			s := w.span(refs[0])
			s.Owner = record.Owner{}
			w.putSpan(refs[0], s.Span)
			w.awaitClaim(refs[0])
			w.nodes[0].obey()
			w.nodes[1].obey()
			return ""
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				_, refs := w.settled(3, "n1")
				w.node("n2")
				time.Sleep(time.Second)
				old := tc.begin(w, refs)
				op, err := w.remove("m1", refs[0], "rm")
				if err != nil || op.GetType() != "remove" {
					t.Fatalf("%v, %v", op, err)
				}
				if h := w.outcome("ks", op.GetId(), time.Minute); h.Outcome != record.OutcomeDone {
					t.Errorf("%+v", h)
				}
				if old != "" {
					w.wasCancelled(old, "rm", op.GetId())
				}
				w.owned("ks", 2, 5*time.Second)
				for _, r := range refs[1:] {
					if s := w.span(r); s.Intent != nil || s.Owner.Nobody() {
						t.Errorf("%+v", s)
					}
				}
				again, err := w.remove("m1", refs[0], "rm")
				if err != nil || again.GetId() != op.GetId() {
					t.Errorf("%v, %v", again, err)
				}
			})
		})
	}
}

// A keyspace that is deleted does not wait for what waits itself.
func TestADeletionSupersedesWhatWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(3, "n1")
		w.node("n2")
		w.nodes[0].answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if s := w.span(refs[0]); a.GetAction() == sessionv1.Ask_ACTION_CLOSE && s.Intent != nil && s.Intent.Kind != record.KindRemove {
				return sessionv1.StageResult_RESULT_REFUSED
			}
			return sessionv1.StageResult_RESULT_CLAIMED
		})
		op := w.merge("m1", refs...)
		time.Sleep(time.Second)
		if _, err := w.change(w.ask("m1"), "delete", "d"); err != nil {
			t.Fatal(err)
		}
		h := w.outcome("ks", op.GetId(), 5*time.Second)
		if h.Outcome != record.OutcomeCancelled || !strings.Contains(h.Error, "superseded by remove") {
			t.Errorf("%+v", h)
		}
		w.eventually("deleted", time.Minute, func() string {
			if len(w.get(w.layout.Keyspace("ks")).Kvs) > 0 {
				return fmt.Sprint(w.owners("ks"))
			}
			return ""
		})
	})
}
