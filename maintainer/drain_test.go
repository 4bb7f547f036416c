package maintainer

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/operator"
)

// telling is a node that reports as a real one does.
func telling(n *node) { n.tells = true }

// crowd is a leader, and nodes that tell what they run; the first one runs all spans.
func (w *world) crowd(spans int, nodes ...string) (*proc, []operator.Ref) {
	w.t.Helper()
	m := w.maintainer("m1")
	w.leads(m, 5*time.Second)
	w.node(nodes[0], telling)
	w.eventually("registered", 5*time.Second, func() string { return w.unregistered(m) })
	refs := w.keyspace("ks", spans)
	w.owned("ks", spans, time.Minute)
	for _, name := range nodes[1:] {
		w.node(name, telling)
	}
	w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
	return m, refs
}

func (w *world) drainWith(at string, q *controlv1.DrainNodeRequest) (*controlv1.DrainNodeResponse, error) {
	w.t.Helper()
	q.Cluster = "test"
	return w.ask(at).DrainNode(w.t.Context(), q)
}

func (w *world) mustDrain(at, name string) *controlv1.DrainNodeResponse {
	w.t.Helper()
	resp, err := w.drainWith(at, &controlv1.DrainNodeRequest{Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

func (w *world) nodeShown(at, name string) *controlv1.Node {
	w.t.Helper()
	resp, err := w.ask(at).ListNodes(w.t.Context(), &controlv1.ListNodesRequest{Cluster: "test", Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetNodes()[0]
}

func (w *world) inState(at, name, state string, within time.Duration) {
	w.t.Helper()
	w.eventually(name+" "+state, within, func() string {
		if n := w.nodeShown(at, name); n.GetState() != state {
			return n.String()
		}
		return ""
	})
}

func (w *world) configureNode(at, name string, cordon bool) {
	w.t.Helper()
	var err error
	if cordon {
		_, err = w.ask(at).CordonNode(w.t.Context(), &controlv1.CordonNodeRequest{Cluster: "test", Name: name})
	} else {
		_, err = w.ask(at).UncordonNode(w.t.Context(), &controlv1.UncordonNodeRequest{Cluster: "test", Name: name})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// drained checks that each span was moved once, by the drain, with its reason.
func (w *world) drained(p *proc, node string, spans int) {
	w.t.Helper()
	n := 0
	for o := range w.histories(p) {
		if o.GetType() != "move" {
			continue
		}
		n++
		if o.GetBy() != "drain" || o.GetReason() != "node "+node+" is drained" || o.GetFrom() != node || o.GetOutcome() != "done" {
			w.t.Errorf("%v", o)
		}
	}
	if n != spans {
		w.t.Errorf("%d moves of %d spans", n, spans)
	}
}

// Two hundred spans leave a node for the least loaded ones, no more than the budget at a time. It counts as drained when
// it says itself that it runs nothing.
func TestADrainEmptiesANode(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.crowd(200, "n1", "n2", "n3", "n4")
		w.configureNode("m1", "n4", true)
		most := &atomic.Int64{}
		m.at(func(name string) error {
			if name == "maintainer/drain/accept/after" {
				w.t.Helper()
				most.Store(max(most.Load(), int64(len(w.inFlight()))))
			}
			return nil
		})
		got := w.mustDrain("m1", "n1")
		if got.GetNode().GetState() != nodeDraining || got.GetCanMove() != 200 || got.GetCannotMove() != 0 || len(got.GetMoves()) != 0 {
			t.Errorf("%v", got)
		}
		took := w.eventually("drained", time.Minute, func() string {
			if s := w.nodeShown("m1", "n1"); s.GetState() != nodeDrained {
				return s.String()
			}
			return ""
		})
		w.owned("ks", 200, time.Minute)
		if o := w.owners("ks"); o["n2"] != 100 || o["n3"] != 100 {
			t.Errorf("%v", o)
		}
		if most.Load() == 0 || int(most.Load()) > settings.Defaults().DrainInFlight {
			t.Errorf("%d in flight at once", most.Load())
		}
		t.Logf("took %v, at most %d in flight", took, most.Load())
		w.drained(m, "n1", 200)
		time.Sleep(5 * time.Second)
		w.drained(m, "n1", 200) // and then nothing happens
		w.configureNode("m1", "n1", false)
		w.inState("m1", "n1", nodeReady, 0)
	})
}

// inFlight are the moves that stand in span records, all at one revision: read one by one they would be more.
func (w *world) inFlight() (out []*record.Intent) {
	r, err := w.etcd.Client().Get(context.Background(), w.layout.Spans("ks"), clientv3.WithPrefix())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, kv := range r.Kvs {
		if s, err := record.DecodeSpan(kv.Value); err == nil && s.Intent != nil {
			out = append(out, s.Intent)
		}
	}
	return out
}

// The record says that nothing is left; the node has not said that it runs nothing. It may be writing.
func TestOnlyTheNodeItselfSaysThatItIsDrained(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.crowd(1, "n1", "n2")
		n1 := w.nodes[0]
		stray := operator.Ref{Keyspace: "ks", ID: "9-9.9"}
		n1.say(&sessionv1.Report{Revision: n1.full().Revision, Spans: []*sessionv1.SpanStatus{status(stray, sessionv1.SpanStatus_STATE_CLOSING, 7)}})
		w.mustDrain("m1", "n1")
		w.eventually("moved", 10*time.Second, func() string {
			if s := w.span(refs[0]); s.Owner.Node != "n2" || s.Intent != nil {
				return fmt.Sprint(s)
			}
			return ""
		})
		time.Sleep(10 * time.Second)
		if n := w.nodeShown("m1", "n1"); n.GetState() != nodeDraining || n.GetSpans() != 0 {
			t.Errorf("%v", n)
		}
		n1.say(&sessionv1.Report{Revision: n1.full().Revision, Spans: []*sessionv1.SpanStatus{status(stray, sessionv1.SpanStatus_STATE_GONE, 0)}})
		w.inState("m1", "n1", nodeDrained, time.Second)
	})
}

// A report that knows less of the session's records than the leader proves nothing, however empty it is.
func TestAnOldReportDoesNotEndADrain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.crowd(1, "n1", "n2")
		n1 := w.nodes[0]
		n1.tells = false
		n1.say(&sessionv1.Report{Full: true, Revision: n1.session})
		w.mustDrain("m1", "n1")
		time.Sleep(10 * time.Second)
		if n := w.nodeShown("m1", "n1"); n.GetState() != nodeDraining || n.GetSpans() != 0 {
			t.Errorf("%v", n)
		}
		n1.say(n1.full())
		w.inState("m1", "n1", nodeDrained, time.Second)
	})
}

// The leader is killed in the middle: the next one finds the drain in the record, and ends it. Each span moves once.
func TestTheNextLeaderGoesOnDraining(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.crowd(200, "n1", "n2", "n3")
		b := w.maintainer("m2")
		time.Sleep(2 * time.Second)
		hits := 0
		m.at(func(name string) error {
			if name == "maintainer/drain/accept/after" {
				if hits++; hits == 2 {
					m.kill(false)
					return errKilled
				}
			}
			return nil
		})
		w.mustDrain("m2", "n1")
		w.leads(b, 10*time.Second)
		if hits < 2 || w.owners("ks")["n1"] == 0 {
			t.Fatalf("not in the middle: %v", w.owners("ks"))
		}
		w.inState("m2", "n1", nodeDrained, time.Minute)
		w.owned("ks", 200, time.Minute)
		w.drained(b, "n1", 200)
	})
}

// What would leave a keyspace without any node is refused, and says which and what to do. Forced, the spans stay until
// another node comes, which is shown on the span and once for the node.
func TestDrainOfTheLastEligibleNode(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.crowd(3, "n1", "n2")
		w.configureNode("m1", "n2", true)
		for _, dry := range []bool{true, false} {
			_, err := w.drainWith("m1", &controlv1.DrainNodeRequest{Name: "n1", DryRun: dry})
			f, ok := fault.As(err)
			if !ok || f.Reason != fault.Refused || f.Field != "node" || !strings.Contains(f.Message, "keyspace ks") ||
				!strings.Contains(f.Message, "n2 is cordoned") || !strings.Contains(f.Remedy, "uncordon") || !strings.Contains(f.Remedy, "--force") {
				t.Errorf("%v", err)
			}
		}
		if c := w.nodeConfig("n1"); c.Draining {
			t.Fatalf("%+v", c)
		}
		got, err := w.drainWith("m1", &controlv1.DrainNodeRequest{Name: "n1", Force: true})
		if err != nil || got.GetCannotMove() != 3 || len(got.GetStuck()) != 3 || !strings.Contains(got.GetStuck()[0].GetReason(), "n2 is cordoned") {
			t.Fatalf("%v %v", got, err)
		}
		w.eventually("shown", time.Second, func() string {
			s, n := w.shown(refs[0]), w.nodeShown("m1", "n1")
			if !strings.Contains(s.GetWhy(), "n2 is cordoned") || !strings.Contains(n.GetWhy(), "3 spans") || !m.complains("drain") {
				return fmt.Sprint(s, n)
			}
			return ""
		})
		if s := w.shown(refs[0]); s.GetState() != stateRunning || s.GetNode() != "n1" {
			t.Errorf("%v", s)
		}
		w.configureNode("m1", "n2", false)
		w.inState("m1", "n1", nodeDrained, 10*time.Second)
		w.owned("ks", 3, time.Minute)
		if m.complains("drain") || w.shown(refs[0]).GetWhy() != "" || w.nodeShown("m1", "n1").GetWhy() != "" {
			t.Error("still shown as a problem")
		}
	})
}

// No target takes more than its capacity, also while the moves that fill it are in flight. What does not fit stays where
// it runs, and goes when there is room.
func TestDrainKeepsToCapacity(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.crowd(20, "n1")
		w.node("n2", telling, func(n *node) { n.capacity = 6 })
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		dry, err := w.drainWith("m1", &controlv1.DrainNodeRequest{Name: "n1", DryRun: true})
		if err != nil || dry.GetCanMove() != 6 || len(dry.GetMoves()) != 6 || dry.GetCannotMove() != 14 || len(dry.GetStuck()) != 14 ||
			dry.GetMoves()[0].GetTo() != "n2" || !strings.Contains(dry.GetStuck()[0].GetReason(), "capacity of 6") || w.nodeConfig("n1").Draining {
			t.Fatalf("%v %v", dry, err)
		}
		w.nodes[0].answers(func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_UNSPECIFIED })
		w.mustDrain("m1", "n1")
		time.Sleep(time.Second)
		w.put(w.layout.NodeConfig("n2"), record.EncodeNodeConfig(record.NodeConfig{Weight: 2})) // so that it is planned again
		time.Sleep(time.Second)
		if n := len(w.inFlight()); n != 6 {
			t.Errorf("%d moves are in flight to a node that takes 6", n)
		}
		w.nodes[0].obey()
		w.eventually("full", 10*time.Second, func() string {
			if o := w.owners("ks"); o["n2"] != 6 || len(w.inFlight()) > 0 {
				return fmt.Sprint(o)
			}
			return ""
		})
		time.Sleep(5 * time.Second)
		if o := w.owners("ks"); o["n1"] != 14 || o["n2"] != 6 {
			t.Errorf("%v", o)
		}
		if n := w.nodeShown("m1", "n1"); !strings.Contains(n.GetWhy(), "14 spans can leave it for no other node") {
			t.Errorf("%v", n)
		}
		w.node("n3", telling)
		w.inState("m1", "n1", nodeDrained, 10*time.Second)
		w.owned("ks", 20, 10*time.Second)
		if o := w.owners("ks"); o["n2"] != 6 || o["n3"] != 14 {
			t.Errorf("%v", o)
		}
	})
}

// A cordon keeps new spans away and leaves old ones. Uncordoned, the node is like any other.
func TestACordonKeepsNewSpansAway(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(4, "n1", "n2")
		w.configureNode("m1", "n1", true)
		w.inState("m1", "n1", nodeCordoned, 0)
		w.keyspace("new", 4)
		w.owned("new", 4, 10*time.Second)
		if w.owners("new")["n1"] != 0 || w.owners("ks")["n1"] != 2 {
			t.Errorf("new %v, old %v", w.owners("new"), w.owners("ks"))
		}
		w.configureNode("m1", "n1", false)
		w.keyspace("newer", 4)
		w.owned("newer", 4, 10*time.Second)
		if w.owners("newer")["n1"] != 4 {
			t.Errorf("the emptier node has %v", w.owners("newer"))
		}
	})
}

// A drain of one session ends with it; one of a node does not, and no request of a process turns the one into the other.
func TestADrainOfASessionEndsWithIt(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.crowd(2, "n1", "n2")
		n1 := w.nodes[0]
		if _, err := w.drainWith("m1", &controlv1.DrainNodeRequest{Name: "n1", ThisSession: true, Session: n1.session + 1}); !fault.Is(err, fault.Refused) {
			t.Errorf("a session that is not there: %v", err)
		}
		if _, err := w.drainWith("m1", &controlv1.DrainNodeRequest{Name: "n1", ThisSession: true, Session: n1.session}); err != nil {
			t.Fatal(err)
		}
		w.inState("m1", "n1", nodeDrained, 10*time.Second)
		again := func(state string) {
			t.Helper()
			w.nodes[0].kill()
			w.eventually("gone", 20*time.Second, func() string {
				if len(w.get(w.layout.Node("n1")).Kvs) > 0 {
					return "there"
				}
				return ""
			})
			w.nodes[0] = w.node("n1", telling)
			w.nodes = w.nodes[:len(w.nodes)-1]
			w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
			w.inState("m1", "n1", state, time.Second)
		}
		again(nodeReady)
		w.mustDrain("m1", "n1")
		if _, err := w.drainWith("m1", &controlv1.DrainNodeRequest{Name: "n1", ThisSession: true}); err != nil {
			t.Fatal(err)
		}
		again(nodeDrained)
	})
}

// A user's operator wins: its span is left alone until it is over.
func TestDrainLeavesOperatorsAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.crowd(2, "n1", "n2", "n3")
		w.nodes[0].answers(func(*sessionv1.Ask) sessionv1.StageResult_Result {
			return sessionv1.StageResult_RESULT_UNSPECIFIED // it never begins
		})
		resp, err := w.ask("m1").MoveSpan(w.t.Context(), &controlv1.MoveSpanRequest{Cluster: "test", Keyspace: "ks", Span: string(refs[0].ID), To: "n3"})
		if err != nil {
			t.Fatal(err)
		}
		w.mustDrain("m1", "n1")
		time.Sleep(5 * time.Second)
		if i := w.span(refs[0]).Intent; i == nil || i.Operator != resp.GetOperator().GetId() {
			t.Errorf("%+v", i)
		}
		w.nodes[0].obey()
		w.inState("m1", "n1", nodeDrained, time.Minute)
		w.owned("ks", 2, time.Minute)
		if s := w.span(refs[0]); s.Owner.Node != "n3" {
			t.Errorf("%+v", s)
		}
		if n := len(collect(w.histories(m))); n != 2 {
			t.Errorf("%d operators", n)
		}
	})
}

func collect[T any](seq func(func(T) bool)) (out []T) {
	seq(func(x T) bool { out = append(out, x); return true })
	return out
}

// The target dies before the span was handed off: that move fails, and the drain plans another one.
func TestDrainPlansAnewWhenItsTargetDies(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.crowd(1, "n1", "n2")
		n1 := w.nodes[0]
		n1.answers(func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_UNSPECIFIED })
		w.mustDrain("m1", "n1")
		w.eventually("accepted", 5*time.Second, func() string {
			if i := w.span(refs[0]).Intent; i == nil || i.To != "n2" {
				return fmt.Sprint(i)
			}
			return ""
		})
		w.nodes[1].kill()
		w.node("n3", telling)
		w.eventually("planned anew", 30*time.Second, func() string {
			if i := w.span(refs[0]).Intent; i == nil || i.To != "n3" {
				return fmt.Sprint(i)
			}
			return ""
		})
		n1.obey()
		w.inState("m1", "n1", nodeDrained, time.Minute)
		w.owned("ks", 1, time.Minute)
		all := collect(w.histories(m))
		if len(all) != 2 || all[0].GetOutcome() == all[1].GetOutcome() {
			t.Errorf("%v", all)
		}
	})
}

// Half of the openings at the targets are refused: the drain goes on, and does not spin.
func TestDrainDoesNotSpin(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.crowd(20, "n1", "n2", "n3")
		w.nodes[1].answers(func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_OPEN_FAILED })
		before := m.Stats()
		w.mustDrain("m1", "n1")
		w.inState("m1", "n1", nodeDrained, time.Minute)
		w.eventually("all run", 2*time.Minute, func() string {
			if o := w.owners("ks"); o["n3"] != 20 {
				return fmt.Sprint(o)
			}
			return ""
		})
		after := m.Stats()
		if asks := after.Asks - before.Asks; asks > 200 {
			t.Errorf("%d asks for 20 spans", asks)
		}
		if n := len(collect(w.histories(m))); n != 20 {
			t.Errorf("%d operators for 20 spans", n)
		}
	})
}

func TestWhatCannotBeCordoned(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(1, "n1", "n2")
		w.put(w.layout.NodeConfig("n8"), record.EncodeNodeConfig(record.NodeConfig{Cordoned: true}))
		for name, want := range map[string]fault.Reason{"n8": fault.UnknownNode, "n9": fault.UnknownNode, "N/": fault.InvalidName} {
			for _, dry := range []bool{true, false} {
				_, err := w.drainWith("m1", &controlv1.DrainNodeRequest{Name: name, DryRun: dry})
				if !fault.Is(err, want) {
					t.Errorf("drain %s: %v", name, err)
				}
			}
			_, cordon := w.ask("m1").CordonNode(w.t.Context(), &controlv1.CordonNodeRequest{Cluster: "test", Name: name})
			_, uncordon := w.ask("m1").UncordonNode(w.t.Context(), &controlv1.UncordonNodeRequest{Cluster: "test", Name: name})
			if !fault.Is(cordon, want) || !fault.Is(uncordon, want) {
				t.Errorf("%s: %v, %v", name, cordon, uncordon)
			}
		}
	})
}

// A closing is claimed and handed off before the leader looks again: nobody has given anything up, and the span does not
// wait for anybody to say why.
func TestAHandOffWhoseClaimWasNotSeenGoesOnAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.crowd(1, "n1", "n2")
		w.nodes[0].answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if a.GetAction() == sessionv1.Ask_ACTION_CLOSE {
				m.lead.Load().loop.post(func() { time.Sleep(50 * time.Millisecond) })
			}
			return sessionv1.StageResult_RESULT_CLAIMED // it carries it out
		})
		w.mustDrain("m1", "n1")
		took := w.eventually("moved", 10*time.Second, func() string {
			if s := w.span(refs[0]); s.Owner.Node != "n2" {
				return fmt.Sprint(s)
			}
			return ""
		})
		if took < 40*time.Millisecond || took > resultWait {
			t.Errorf("took %v", took)
		}
	})
}
