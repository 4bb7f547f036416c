package maintainer

import (
	"context"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
)

// invoke calls a method of the control API by the name of its request.
func (w *world) invoke(at string, q proto.Message) (proto.Message, error) {
	w.t.Helper()
	r := q.ProtoReflect()
	r.Set(r.Descriptor().Fields().ByName("cluster"), protoText("test"))
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	method, _ := methodOf(r.Descriptor())
	out := reflect.ValueOf(w.ask(at)).MethodByName(method).Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(q)})
	err, _ := out[1].Interface().(error)
	return out[0].Interface().(proto.Message), err
}

// methodOf is the method that takes the message, if it takes a request id.
func methodOf(m protoreflect.MessageDescriptor) (string, bool) {
	methods := controlv1.File_api_control_v1_control_proto.Services().ByName("Control").Methods()
	for i := range methods.Len() {
		if methods.Get(i).Input().FullName() == m.FullName() {
			return string(methods.Get(i).Name()), m.Fields().ByName("request_id") != nil
		}
	}
	return "", false
}

// operatorIn is the operator that an answer names, nil if it names none.
func operatorIn(answer proto.Message) *controlv1.Operator {
	if a, ok := answer.(interface{ GetOperator() *controlv1.Operator }); ok {
		return a.GetOperator()
	}
	return nil
}

// Every command that changes something is one change for each request id: asked again at either maintainer, while it is in
// flight, when it is over, and after another has become the leader, it names the same operator and changes nothing. The id
// with another body, or for another command, is a conflict.
func TestARequestIDIsOneChangeOfEveryCommand(t *testing.T) {
	inWorld(t, func(w *world) {
		m1, refs := w.settled(8, "n1", "n2")
		m2 := w.maintainer("m2")
		w.create(w.ask("m1"), "other")
		n3 := w.node("n3")
		n3.dead = true
		w.node("n4")
		w.node("n5")
		w.owned("other", 1, 5*time.Second)
		span := func(n int) string { return string(refs[n].ID) }
		to := func(n int) string { return map[string]string{"n1": "n2", "n2": "n1"}[w.span(refs[n]).Owner.Node] }
		for _, n := range w.nodes {
			n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
				if a.GetMembers()[0].GetSpan() == span(6) && a.GetAction() == sessionv1.Ask_ACTION_CLOSE {
					return sessionv1.StageResult_RESULT_REFUSED
				}
				return sessionv1.StageResult_RESULT_CLAIMED // it carries it out
			})
		}
		held, err := w.invoke("m1", &controlv1.MoveSpanRequest{RequestId: "held", Keyspace: "ks", Span: span(6), To: to(6)})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		commands := map[string][2]proto.Message{
			"CreateKeyspace": {
				&controlv1.CreateKeyspaceRequest{Name: "new", Workload: "gate"},
				&controlv1.CreateKeyspaceRequest{Name: "newer", Workload: "gate"},
			},
			"SetKeyspace": {
				&controlv1.SetKeyspaceRequest{Name: "ks", Set: map[string]string{"x": "1"}},
				&controlv1.SetKeyspaceRequest{Name: "ks", Set: map[string]string{"x": "2"}},
			},
			"ChangeKeyspaceState": {
				&controlv1.ChangeKeyspaceStateRequest{Name: "other", Verb: "pause"},
				&controlv1.ChangeKeyspaceStateRequest{Name: "other", Verb: "delete"},
			},
			"AddSpan": {
				&controlv1.AddSpanRequest{Keyspace: "ks", Range: keyRange("x", "y")},
				&controlv1.AddSpanRequest{Keyspace: "ks", Range: keyRange("x", "z")},
			},
			"RemoveSpan": {
				&controlv1.RemoveSpanRequest{Keyspace: "ks", Span: span(0)}, &controlv1.RemoveSpanRequest{Keyspace: "ks", Span: span(7)},
			},
			"MoveSpan": {
				&controlv1.MoveSpanRequest{Keyspace: "ks", Span: span(1), To: to(1)}, &controlv1.MoveSpanRequest{Keyspace: "ks", Span: span(7), To: to(7)},
			},
			"SplitSpan": {
				&controlv1.SplitSpanRequest{Keyspace: "ks", Span: span(2), At: [][]byte{[]byte("0000025")}},
				&controlv1.SplitSpanRequest{Keyspace: "ks", Span: span(2), At: [][]byte{[]byte("0000026")}},
			},
			"MergeSpans": {
				&controlv1.MergeSpansRequest{Keyspace: "ks", Spans: []string{span(4), span(5)}},
				&controlv1.MergeSpansRequest{Keyspace: "ks", Spans: []string{span(3), span(4)}},
			},
			"CancelOperator": {
				&controlv1.CancelOperatorRequest{Id: operatorIn(held).GetId()}, &controlv1.CancelOperatorRequest{Id: "1-1"},
			},
			"SetConfig": {
				&controlv1.SetConfigRequest{Set: map[string]string{"settle": "2s"}}, &controlv1.SetConfigRequest{Set: map[string]string{"settle": "3s"}},
			},
			"SetScheduler": {
				&controlv1.SetSchedulerRequest{Name: "balance", Paused: true}, &controlv1.SetSchedulerRequest{Name: "balance"},
			},
			"EvictNode":    {&controlv1.EvictNodeRequest{Name: "n3"}, &controlv1.EvictNodeRequest{Name: "n2"}},
			"CordonNode":   {&controlv1.CordonNodeRequest{Name: "n4"}, &controlv1.CordonNodeRequest{Name: "n1"}},
			"UncordonNode": {&controlv1.UncordonNodeRequest{Name: "n4"}, &controlv1.UncordonNodeRequest{Name: "n1"}},
			"SetNodeWeight": {
				&controlv1.SetNodeWeightRequest{Name: "n4", Weight: 2}, &controlv1.SetNodeWeightRequest{Name: "n4", Weight: 3},
			},
			"DrainNode": {&controlv1.DrainNodeRequest{Name: "n5"}, &controlv1.DrainNodeRequest{Name: "n5", ThisSession: true}},
		}
		methods := controlv1.File_api_control_v1_control_proto.Services().ByName("Control").Methods()
		for i := range methods.Len() {
			// Each operator of a plan has a request id of its own: that of the plan is none.
			if name, changes := methodOf(methods.Get(i).Input()); changes && commands[name][0] == nil && name != "ApplyPlan" {
				t.Errorf("%s takes a request id and is not tried here", name)
			}
		}
		first := map[string]proto.Message{}
		for name, q := range commands {
			setRequestID(q[0], "of "+name)
			setRequestID(q[1], "of "+name)
			if first[name], err = w.invoke("m1", q[0]); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		n3.cancel()
		same := func(when, at string) {
			t.Helper()
			before := w.everything()
			for name, q := range commands {
				again, err := w.invoke(at, q[0])
				if err != nil || operatorIn(again).GetId() != operatorIn(first[name]).GetId() {
					t.Errorf("%s again %s: %v, %v; it was %v", name, when, again, err, first[name])
				}
				if _, err := w.invoke(at, q[1]); !fault.Is(err, fault.RequestConflict) {
					t.Errorf("%s with another body %s: %v", name, when, err)
				}
				misused := proto.Clone(commands["AddSpan"][1])
				setRequestID(misused, "of "+name)
				if _, err := w.invoke(at, misused); !fault.Is(err, fault.RequestConflict) {
					t.Errorf("the id of %s for another command %s: %v", name, when, err)
				}
				first[name] = again
			}
			if when == "at once" {
				return // everything is on its way
			}
			for key, mod := range w.everything() {
				if before[key] != mod && (key != w.layout.Leader()) {
					t.Errorf("%s was written %s", key, when)
				}
			}
		}
		same("at once", "m2")
		time.Sleep(30 * time.Second)
		same("when it is over", "m1")
		for name, answer := range first {
			if o := operatorIn(answer); o != nil && o.GetOutcome() == "" {
				t.Errorf("%s is not over: %v", name, o)
			}
		}
		over := map[string]proto.Message{}
		for name := range commands {
			over[name] = proto.Clone(first[name])
		}
		m1.quit()
		w.leads(m2, 10*time.Second)
		time.Sleep(30 * time.Second)
		same("at the next leader", "m2")
		for name := range commands {
			if was, is := operatorIn(over[name]), operatorIn(first[name]); !proto.Equal(was, is) {
				t.Errorf("%s is another operator at the next leader: %v, and was %v", name, is, was)
			}
		}
		requests := map[string]int{}
		for h := range w.histories(m2) {
			requests[h.RequestId]++
		}
		for id, n := range requests {
			if n > 1 {
				t.Errorf("%d operators of request %q", n, id)
			}
		}
	})
}

func setRequestID(q proto.Message, id string) {
	r := q.ProtoReflect()
	r.Set(r.Descriptor().Fields().ByName("request_id"), protoText(id))
}

// histories are all finished operators, as they are shown.
func (w *world) histories(p *proc) func(func(*controlv1.Operator) bool) {
	resp, err := w.ask(p.name).ListOperators(w.t.Context(), &controlv1.ListOperatorsRequest{Cluster: "test", Finished: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return func(yield func(*controlv1.Operator) bool) {
		for _, o := range resp.GetOperators() {
			if !yield(o) {
				return
			}
		}
	}
}

// A record remembers as many requests as the history would, within reason.
func TestRequestsInRecordsAreBounded(t *testing.T) {
	keep := retention{age: time.Hour, count: 3}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	who := func(id string) asker { return asker{id: id} }
	list := keep.remembered(nil, who("old").request("", now.Add(-2*time.Hour)), 10)
	list = keep.remembered(list, who("a").request("", now.Add(-time.Hour)), 10)
	if len(list) != 2 {
		t.Errorf("%v", list)
	}
	for _, id := range []string{"b", "c", "d"} {
		list = keep.remembered(list, who(id).request("", now), 10)
	}
	if len(list) != 3 || list[0].ID != "b" || list[2].ID != "d" {
		t.Errorf("%v", list)
	}
	if list = keep.remembered(list, who("e").request("", now), 1); len(list) != 1 || list[0].ID != "e" {
		t.Errorf("%v", list)
	}
}
