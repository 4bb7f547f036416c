package maintainer

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/operator"
)

// calm is a crowd in which the scheduler does nothing by itself but place.
func (w *world) calm(spans int, nodes ...string) (*proc, []operator.Ref) {
	w.t.Helper()
	m := w.maintainer("m1")
	w.leads(m, 5*time.Second)
	for _, name := range []string{settings.PlannerBalance, settings.PlannerSplit, settings.PlannerMerge} {
		w.pause("m1", name, true)
	}
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

// planned is a whole plan, put together of its pieces.
func (w *world) planned(at string, q *controlv1.PlanRequest) (*controlv1.PlanResponse, error) {
	w.t.Helper()
	q.Cluster = "test"
	stream, err := w.ask(at).Plan(w.t.Context(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	out := &controlv1.PlanResponse{}
	for n := 0; ; n++ {
		piece, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(piece.GetOperators()) > planPiece || len(piece.GetStuck()) > planPiece || n > 0 && (piece.GetRevision() != 0 || len(piece.GetNodes()) > 0) {
			w.t.Errorf("piece %d: revision %d, %d nodes, %d operators, %d stuck", n, piece.GetRevision(), len(piece.GetNodes()), len(piece.GetOperators()), len(piece.GetStuck()))
		}
		if n == 0 {
			out.Revision, out.Nodes, out.Paused = piece.GetRevision(), piece.GetNodes(), piece.GetPaused()
		}
		out.Operators, out.Stuck = append(out.Operators, piece.GetOperators()...), append(out.Stuck, piece.GetStuck()...)
	}
}

func (w *world) mustPlan(q *controlv1.PlanRequest) *controlv1.PlanResponse {
	w.t.Helper()
	before := w.everything()
	p, err := w.planned("m1", q)
	if err != nil {
		w.t.Fatal(err)
	}
	for key, mod := range w.everything() {
		if before[key] != mod && key != w.layout.Leader() {
			w.t.Errorf("%s was written by a plan", key)
		}
	}
	return p
}

// tallied counts the operators of a plan by type, who wants them, from and to.
func tallied(p *controlv1.PlanResponse) map[string]int {
	out := map[string]int{}
	for _, o := range p.GetOperators() {
		out[strings.TrimSpace(fmt.Sprintf("%s by %s %s>%s", o.GetType(), o.GetBy(), o.GetFrom(), o.GetTo()))]++
	}
	return out
}

func (w *world) sameTally(p *controlv1.PlanResponse, want map[string]int) {
	w.t.Helper()
	if got := tallied(p); !maps.Equal(got, want) {
		w.t.Errorf("%v, want %v", got, want)
	}
}

// nodesOfPlan are the nodes with their spans before and after, as text.
func nodesOfPlan(p *controlv1.PlanResponse) string {
	var out []string
	for _, n := range p.GetNodes() {
		out = append(out, fmt.Sprintf("%s %s %d>%d", n.GetName(), n.GetState(), n.GetSpansBefore(), n.GetSpansAfter()))
	}
	return strings.Join(out, ", ")
}

// A plan of a drain moves all spans of the node, each once, on the revisions that the records have; nothing is written, and
// both maintainers say the same.
func TestAPlanOfADrain(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.calm(7, "n1", "n2", "n3")
		n1 := w.nodes[0]
		for i, r := range refs {
			n1.loaded(r, float64(10*(i+1)))
		}
		w.configureNode("m1", "n3", true)
		time.Sleep(time.Second)
		p := w.mustPlan(&controlv1.PlanRequest{Drain: []string{"n1", "n1"}})
		w.sameTally(p, map[string]int{"move by drain n1>n2": 7})
		if got := nodesOfPlan(p); got != "n1 ready 7>0, n2 ready 0>7, n3 cordoned 0>0" {
			t.Error(got)
		}
		if a, b := p.GetNodes()[0], p.GetNodes()[1]; a.GetLoadBefore() != 280 || a.GetLoadAfter() != 0 || b.GetLoadAfter() != 280 || a.GetWeight() != 1 {
			t.Errorf("%v %v", a, b)
		}
		for _, o := range p.GetOperators() {
			i := slices.IndexFunc(refs, func(r operator.Ref) bool { return string(r.ID) == o.GetSpans()[0].GetId() })
			r := refs[i]
			if o.GetSpans()[0].GetRevision() != w.span(r).Mod || o.GetLoad() != float64(10*(i+1)) || o.Size != nil || o.GetReason() != "node n1 is drained" {
				t.Errorf("%v", o)
			}
		}
		if p.GetRevision() == 0 || !slices.Equal(p.GetPaused(), []string{"balance", "split", "merge"}) {
			t.Errorf("revision %d, paused %v", p.GetRevision(), p.GetPaused())
		}
		m2 := w.maintainer("m2")
		time.Sleep(time.Second)
		other, err := w.planned(m2.name, &controlv1.PlanRequest{Drain: []string{"n1"}})
		if err != nil || fmt.Sprint(other.GetOperators()) != fmt.Sprint(p.GetOperators()) {
			t.Errorf("%v %v", other, err)
		}
	})
}

// What a removed node leaves is placed as after its loss. Without any other node the spans are stuck, which is no error.
func TestAPlanOfALoss(t *testing.T) {
	inWorld(t, func(w *world) {
		w.calm(6, "n1", "n2", "n3")
		p := w.mustPlan(&controlv1.PlanRequest{RemoveNode: []string{"n1"}})
		w.sameTally(p, map[string]int{"move by failover n1>n2": 3, "move by failover n1>n3": 3})
		if got := nodesOfPlan(p); got != "n1 ready 6>0, n2 ready 0>3, n3 ready 0>3" {
			t.Error(got)
		}
		if o := p.GetOperators()[0]; o.GetReason() != "node n1 is removed" {
			t.Errorf("%v", o)
		}
		p = w.mustPlan(&controlv1.PlanRequest{RemoveNode: []string{"n1", "n2"}, Drain: []string{"n3"}})
		if len(p.GetOperators()) != 0 || len(p.GetStuck()) != 6 {
			t.Fatalf("%v", p)
		}
		for _, s := range p.GetStuck() {
			if s.GetNode() != "n1" || s.GetKeyspace() != "ks" || !strings.Contains(s.GetReason(), "n3 is draining") {
				t.Errorf("%v", s)
			}
		}
		p = w.mustPlan(&controlv1.PlanRequest{
			RemoveNode: []string{"n1"}, Drain: []string{"n2", "n3"},
			AddNode: []*controlv1.PlanRequest_AddedNode{{Name: "n9", Capacity: 4}, {Name: "n8", Workloads: []string{"mirror"}}},
		})
		w.sameTally(p, map[string]int{"move by failover n1>n9": 4})
		if got := nodesOfPlan(p); got != "n1 ready 6>0, n2 ready 0>0, n3 ready 0>0, n8 new 0>0, n9 new 0>4" || len(p.GetStuck()) != 2 {
			t.Errorf("%s %v", got, p.GetStuck())
		}
	})
}

// A node that comes gets its share, and nothing else moves; a plan of the balanced cluster is empty. What is in flight counts
// as done, and is planned for no second time.
func TestAPlanOfANodeThatComes(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.calm(12, "n1", "n2")
		w.nodes[0].answers(func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_UNSPECIFIED })
		for i := range 6 {
			if _, err := w.invoke("m1", &controlv1.MoveSpanRequest{Keyspace: "ks", Span: string(refs[i].ID), To: "n2"}); err != nil {
				t.Fatal(err)
			}
		}
		p := w.mustPlan(&controlv1.PlanRequest{})
		if w.sameTally(p, map[string]int{}); nodesOfPlan(p) != "n1 ready 6>6, n2 ready 6>6" {
			t.Error(nodesOfPlan(p))
		}
		p = w.mustPlan(&controlv1.PlanRequest{RemoveNode: []string{"n2"}})
		w.sameTally(p, map[string]int{})
		if len(p.GetStuck()) != 6 || !strings.Contains(p.GetStuck()[0].GetReason(), "is in flight on it: make a plan again") || p.GetStuck()[0].GetNode() != "n2" {
			t.Errorf("%v", p.GetStuck())
		}
		w.nodes[0].obey()
		w.eventually("moved", time.Minute, func() string {
			if o := w.owners("ks"); o["n1"] != 6 || len(w.inFlight()) > 0 {
				return fmt.Sprint(o)
			}
			return ""
		})
		p = w.mustPlan(&controlv1.PlanRequest{AddNode: []*controlv1.PlanRequest_AddedNode{{Name: "n3"}}})
		w.sameTally(p, map[string]int{"move by balance n1>n3": 2, "move by balance n2>n3": 2})
		if nodesOfPlan(p) != "n1 ready 6>4, n2 ready 6>4, n3 new 0>4" {
			t.Error(nodesOfPlan(p))
		}
	})
}

// Splits and merges are those that would follow if nothing that is reported changed; the limit of the keyspace holds.
func TestAPlanOfSplitsAndMerges(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.calm(6, "n1")
		n1 := w.nodes[0]
		n1.loaded(refs[0], 150, "0000005")
		n1.loaded(refs[1], 130, "0000015")
		n1.loaded(refs[2], 140)
		for _, r := range refs[3:] {
			n1.loaded(r, 1)
		}
		w.mustSet("m1", "ks", "split.load=100", "merge.load=5", "max-spans=7")
		time.Sleep(time.Second)
		p := w.mustPlan(&controlv1.PlanRequest{})
		w.sameTally(p, map[string]int{"split by load n1>": 1, "merge by load >n1": 1})
		split, merge := p.GetOperators()[0], p.GetOperators()[1]
		if split.GetType() != "split" {
			split, merge = merge, split
		}
		if split.GetSpans()[0].GetId() != string(refs[0].ID) || string(split.GetAt()[0]) != "0000005" || split.GetLoad() != 150 || !strings.Contains(split.GetReason(), "150") {
			t.Errorf("%v", split)
		}
		if len(merge.GetSpans()) != 3 || merge.GetSpans()[0].GetRevision() != w.span(refs[3]).Mod || merge.GetLoad() != 3 {
			t.Errorf("%v", merge)
		}
		if nodesOfPlan(p) != "n1 ready 6>5" {
			t.Error(nodesOfPlan(p))
		}
	})
}

// A large plan comes in pieces.
func TestALargePlanComesInPieces(t *testing.T) {
	inWorld(t, func(w *world) {
		w.calm(2500, "n1", "n2")
		if p := w.mustPlan(&controlv1.PlanRequest{Drain: []string{"n1"}}); len(p.GetOperators()) != 2500 {
			t.Errorf("%d operators", len(p.GetOperators()))
		}
		if p := w.mustPlan(&controlv1.PlanRequest{Drain: []string{"n1", "n2"}}); len(p.GetStuck()) != 2500 {
			t.Errorf("%d stuck", len(p.GetStuck()))
		}
	})
}

// What cannot be meant is refused by name, and what nobody knows.
func TestBadPlansAreRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.calm(1, "n1", "n2")
		n2 := w.nodes[1]
		n2.kill()
		w.put(w.layout.NodeConfig("n2"), record.EncodeNodeConfig(record.NodeConfig{Weight: 2}))
		w.eventually("n2 is gone", time.Minute, func() string {
			if w.nodeShown(m.name, "n2").GetState() != nodeGone {
				return "it is not"
			}
			return ""
		})
		add := func(n *controlv1.PlanRequest_AddedNode, more ...*controlv1.PlanRequest_AddedNode) *controlv1.PlanRequest {
			return &controlv1.PlanRequest{AddNode: append(more, n)}
		}
		for _, tt := range []struct {
			q      *controlv1.PlanRequest
			reason fault.Reason
			says   string
		}{
			{&controlv1.PlanRequest{Drain: []string{"n7"}}, fault.UnknownNode, `drain "n7"`},
			{&controlv1.PlanRequest{RemoveNode: []string{"n7"}}, fault.UnknownNode, `remove-node "n7"`},
			{&controlv1.PlanRequest{RemoveNode: []string{"n2"}}, fault.UnknownNode, "is gone"},
			{&controlv1.PlanRequest{Drain: []string{"No Name"}}, fault.InvalidName, "drain"},
			{&controlv1.PlanRequest{Drain: []string{"n1"}, RemoveNode: []string{"n1"}}, fault.InvalidArgument, "drained and removed"},
			{&controlv1.PlanRequest{Drain: make([]string, maxPlannedNodes+1)}, fault.InvalidArgument, "too many"},
			{add(&controlv1.PlanRequest_AddedNode{Name: "n1"}), fault.AlreadyExists, `add-node "n1"`},
			{add(&controlv1.PlanRequest_AddedNode{Name: "no name"}), fault.InvalidName, "add-node"},
			{add(&controlv1.PlanRequest_AddedNode{Name: "n8", Capacity: -1}), fault.InvalidArgument, "capacity of -1"},
			{add(&controlv1.PlanRequest_AddedNode{Name: "n8", Weight: -1}), fault.InvalidArgument, "weight of -1"},
			{add(&controlv1.PlanRequest_AddedNode{Name: "n8"}, &controlv1.PlanRequest_AddedNode{Name: "n8"}), fault.InvalidArgument, "added twice"},
		} {
			if _, err := w.planned("m1", tt.q); !fault.Is(err, tt.reason) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v: %v, want %s: …%s…", tt.q, err, tt.reason, tt.says)
			}
		}
		// One that is gone may come back, with the weight that it was given.
		p := w.mustPlan(add(&controlv1.PlanRequest_AddedNode{Name: "n2"}))
		if n := p.GetNodes()[1]; n.GetState() != nodeNew || n.GetWeight() != 2 {
			t.Errorf("%v", n)
		}
	})
}
