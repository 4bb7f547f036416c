package maintainer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// in gives a node the label zone, and lets it tell what it runs.
func in(zone string) func(*node) {
	return func(n *node) { n.labels, n.tells = map[string]string{"zone": zone}, true }
}

// zones is a leader, and nodes in the zone that their name begins with.
func (w *world) zones(names ...string) *proc {
	w.t.Helper()
	m := w.maintainer("m1")
	w.leads(m, 5*time.Second)
	for _, name := range names {
		w.node(name, in(name[:1]))
	}
	w.eventually("registered", 5*time.Second, func() string { return w.unregistered(m) })
	return m
}

func createRuled(w *world, at, name string, spans int, set ...string) error {
	q := &controlv1.CreateKeyspaceRequest{Cluster: "test", RequestId: "create-" + name + fmt.Sprint(set), Name: name, Workload: "gate", Set: pairs(set)}
	for i := range spans {
		q.Ranges = append(q.Ranges, keyRange(fmt.Sprintf("%03d", i), fmt.Sprintf("%03d", i+1)))
	}
	_, err := w.ask(at).CreateKeyspace(w.t.Context(), q)
	return err
}

func setRules(w *world, at, name string, set ...string) error {
	_, err := w.ask(at).SetKeyspace(w.t.Context(), &controlv1.SetKeyspaceRequest{
		Cluster: "test", RequestId: "set-" + name + fmt.Sprint(set, time.Now()), Name: name, Set: pairs(set),
	})
	return err
}

func pairs(set []string) map[string]string {
	out := map[string]string{}
	for _, s := range set {
		k, v, _ := strings.Cut(s, "=")
		out[k] = v
	}
	return out
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// onNodes waits until the spans are owned just so.
func (w *world) onNodes(keyspace string, want map[string]int) {
	w.t.Helper()
	w.eventually(fmt.Sprint(keyspace, " on ", want), time.Minute, func() string {
		if got := w.owners(keyspace); !maps.Equal(got, want) {
			return fmt.Sprint(got)
		}
		return ""
	})
}

// What is required holds for placement, for moves that users ask for, for drains and for failover; spans whose keyspace has
// no rules go anywhere meanwhile, and what the workload is given has none of it.
func TestWhatIsRequired(t *testing.T) {
	inWorld(t, func(w *world) {
		w.zones("a1", "a2", "b1")
		w.must(createRuled(w, "m1", "plain", 9))
		w.owned("plain", 9, time.Minute)
		w.must(createRuled(w, "m1", "ruled", 6, "place.require=zone=a", "x=y"))
		w.onNodes("ruled", map[string]int{"a1": 3, "a2": 3})
		sp := w.listed(w.ask("m1"), &controlv1.ListSpansRequest{Keyspace: "ruled"})[0]
		ref := operator.Ref{Keyspace: "ruled", ID: span.ID(sp.GetId())}
		for _, a := range w.openings(ref) {
			if len(a.GetSettings()) != 1 || a.GetSettings()["x"] != "y" {
				t.Errorf("opened with %v", a.GetSettings())
			}
		}
		_, err := w.ask("m1").MoveSpan(w.t.Context(), &controlv1.MoveSpanRequest{Cluster: "test", RequestId: "mv", Keyspace: "ruled", Span: sp.GetId(), To: "b1"})
		if f, _ := fault.As(err); f == nil || f.Reason != fault.Refused || f.Field != "to" || !strings.Contains(f.Message, "does not have zone=a") {
			t.Errorf("a move to where it may not be: %v", err)
		}
		if p := w.mustDrain("m1", "a1"); p.GetCanMove() != 6 || p.GetCannotMove() != 0 {
			t.Errorf("%v", p)
		}
		w.inState("m1", "a1", nodeDrained, time.Minute)
		w.onNodes("ruled", map[string]int{"a2": 6})
		_, err = w.drainWith("m1", &controlv1.DrainNodeRequest{Name: "a2"})
		if f, _ := fault.As(err); f == nil || f.Reason != fault.Refused || !strings.Contains(f.Message, "b1 does not have zone=a") {
			t.Errorf("the drain of the last node that may run it: %v", err)
		}
		dry, err := w.drainWith("m1", &controlv1.DrainNodeRequest{Name: "a2", Force: true, DryRun: true})
		if err != nil || dry.GetCannotMove() != 6 || !strings.Contains(dry.GetStuck()[0].GetReason(), "place.require=zone=a cannot be met") {
			t.Errorf("%v, %v", dry, err)
		}
		w.configureNode("m1", "a1", false)
		w.nodes[1].kill()
		w.onNodes("ruled", map[string]int{"a1": 6})
		w.owned("plain", 9, time.Minute)
	})
}

// A constraint that nobody can meet is a problem of the spans that wait, with what stands against the nodes. Everything else
// goes on, and so do they once a node comes that can, or the constraint is taken back.
func TestAConstraintThatCannotBeMet(t *testing.T) {
	inWorld(t, func(w *world) {
		w.zones("a1", "b1")
		w.must(createRuled(w, "m1", "moon", 2, "place.require=zone=c"))
		w.must(createRuled(w, "m1", "earth", 3))
		w.owned("earth", 3, time.Second)
		var refs []operator.Ref
		for _, sp := range w.listed(w.ask("m1"), &controlv1.ListSpansRequest{Keyspace: "moon"}) {
			refs = append(refs, operator.Ref{Keyspace: "moon", ID: span.ID(sp.GetId())})
		}
		if p := w.problem("placement", refs[0]); p != nil {
			t.Errorf("a problem at once: %v", p)
		}
		const why = "place.require=zone=c cannot be met: of 2 nodes 2 lack zone=c"
		w.eventually("a problem", 10*time.Second, func() string {
			if p := w.problem("placement", refs[1]); p.GetMessage() != why {
				return p.String()
			}
			return ""
		})
		if s := w.shown(refs[0]); s.GetWhy() != why || s.GetState() != stateAbsent {
			t.Errorf("%v", s)
		}
		w.must(setRules(w, "m1", "moon", "place.require=zone=c|a"))
		w.onNodes("moon", map[string]int{"a1": 2})
		if p := w.problem("placement", refs[1]); p != nil {
			t.Errorf("still a problem: %v", p)
		}
		w.must(setRules(w, "m1", "moon", "place.require=zone=c")) // what runs stays
		time.Sleep(10 * time.Second)
		w.onNodes("moon", map[string]int{"a1": 2})
		w.nodes[0].kill()
		w.eventually("a problem again", time.Minute, func() string {
			if p := w.problem("placement", refs[1]); p == nil {
				return "none"
			}
			return ""
		})
		w.node("c1", in("c"))
		w.onNodes("moon", map[string]int{"c1": 2})
		if err := setRules(w, "m1", "moon", "place.require="); err != nil || w.keyspaceRecord("moon").Settings["place.require"] != "" {
			t.Errorf("%v, %v", err, w.keyspaceRecord("moon").Settings)
		}
	})
}

// Spans of a keyspace whose constraint nobody can meet can be removed, though they have to be opened once for that.
func TestWhatCannotBePlacedCanBeDeleted(t *testing.T) {
	inWorld(t, func(w *world) {
		w.zones("a1", "b1")
		w.must(createRuled(w, "m1", "ks", 2, "place.require=zone=a"))
		w.onNodes("ks", map[string]int{"a1": 2})
		w.nodes[0].kill()
		w.eventually("absent", time.Minute, func() string {
			if s := w.listed(w.ask("m1"), &controlv1.ListSpansRequest{Keyspace: "ks"}); s[0].GetState() != stateAbsent {
				return s[0].String()
			}
			return ""
		})
		_, err := w.change(w.ask("m1"), "delete", "r")
		w.must(err)
		w.eventually("deleted", time.Minute, func() string {
			if r := w.get(w.layout.Keyspace("ks")); len(r.Kvs) > 0 {
				return "there"
			}
			return ""
		})
	})
}

// What names nothing that anybody knows, or cannot be read, is refused, by name, and nothing is changed.
func TestRulesThatAreRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		w.zones("a1")
		w.must(createRuled(w, "m1", "ks", 1, "place.prefer=zone=a", "place.spread=node"))
		w.owned("ks", 1, time.Minute)
		before := w.everything()
		for _, tc := range []struct {
			set, field, says string
			reason           fault.Reason
		}{
			{"place.require=rack=1", "place.require", "no registered node has label rack", fault.UnknownLabel},
			{"place.require=zone=a,rack=1", "place.require", "no registered node has label rack", fault.UnknownLabel},
			{"place.prefer=rack=1", "place.prefer", "no registered node has label rack", fault.UnknownLabel},
			{"place.spread=rack", "place.spread", "no registered node has label rack", fault.UnknownLabel},
			{"place.pin=a:b=n7", "place.pin", "nothing is known of node n7", fault.UnknownNode},
			{"place.require=zone", "place.require", "no label=value", fault.InvalidArgument},
			{"place.spread=zone=a", "place.spread", "no name of a label", fault.InvalidArgument},
			{"place.requires=zone=a", "place.requires", "no setting of placement", fault.InvalidArgument},
		} {
			for what, err := range map[string]error{"create": createRuled(w, "m1", "new", 1, tc.set), "set": setRules(w, "m1", "ks", tc.set)} {
				f, _ := fault.As(err)
				if f == nil || f.Reason != tc.reason || f.Field != tc.field || f.Value != strings.TrimPrefix(tc.set, tc.field+"=") || !strings.Contains(f.Message, tc.says) || f.Remedy == "" {
					t.Errorf("%s %s: %v", what, tc.set, err)
				}
			}
		}
		if !maps.Equal(before, w.everything()) {
			t.Error("something has changed")
		}
		// The nodes that have a label are away: that is no reason to refuse another setting, or the same once more.
		w.nodes[0].kill()
		w.eventually("gone", time.Minute, func() string {
			if r := w.get(w.layout.Node("a1")); len(r.Kvs) > 0 {
				return "there"
			}
			return ""
		})
		w.must(setRules(w, "m1", "ks", "x=y", "place.prefer=zone=a"))
	})
}

// A keyspace that is spread gets as many spans in each zone, whatever else runs there and whoever leads; when a zone loses a
// node the other one of that zone takes its spans.
func TestSpreadOverALabel(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.zones("a1", "b1", "c1", "c2")
		w.must(createRuled(w, "m1", "other", 5, "place.require=zone=a"))
		w.onNodes("other", map[string]int{"a1": 5})
		w.must(createRuled(w, "m1", "ks", 12, "place.spread=zone"))
		w.onNodes("ks", map[string]int{"a1": 4, "b1": 4, "c1": 2, "c2": 2})
		next := w.maintainer("m2")
		m.quit()
		w.leads(next, time.Minute)
		w.eventually("registered", 5*time.Second, func() string { return w.unregistered(next) })
		w.nodes[3].kill()
		w.onNodes("ks", map[string]int{"a1": 4, "b1": 4, "c1": 4})
		w.node("b2", in("b"))
		w.eventually("registered", 5*time.Second, func() string { return w.unregistered(next) })
		w.mustDrain("m2", "b1")
		w.onNodes("ks", map[string]int{"a1": 4, "b2": 4, "c1": 4})
		add := func(start, end string) {
			_, err := w.ask("m2").AddSpan(w.t.Context(), &controlv1.AddSpanRequest{Cluster: "test", RequestId: start, Keyspace: "ks", Range: keyRange(start, end)})
			w.must(err)
		}
		add("w", "x") // each zone has 4, and the nodes of b and c carry least
		w.onNodes("ks", map[string]int{"a1": 4, "b2": 5, "c1": 4})
		moved := map[operator.Ref]string{}
		for _, s := range w.listed(w.ask("m2"), &controlv1.ListSpansRequest{Keyspace: "ks"}) {
			if s.GetNode() == "a1" && len(moved) < 3 {
				moved[operator.Ref{Keyspace: "ks", ID: span.ID(s.GetId())}] = "c1"
			}
		}
		for r, to := range moved { // a user may, and what comes next makes up for it
			w.outcome("ks", w.move("m2", r, to).GetId(), time.Minute)
		}
		w.onNodes("ks", map[string]int{"a1": 1, "b2": 5, "c1": 7})
		add("x", "y")
		w.onNodes("ks", map[string]int{"a1": 2, "b2": 5, "c1": 7})
	})
}

// Keys that are pinned to a node run there, parts of a span that is split included, and nowhere else: not by a move, not by
// the drain of that node, which moves everything else.
func TestPinnedKeys(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.zones("a1", "b1")
		w.must(createRuled(w, "m1", "ks", 6, "place.pin=001:003=b1"))
		w.owned("ks", 6, time.Minute)
		var pinned []operator.Ref
		w.eventually("the leader sees them where they are", time.Second, func() string {
			pinned = nil
			for _, s := range w.listed(w.ask("m1"), &controlv1.ListSpansRequest{Keyspace: "ks"}) {
				if !slices.Contains([]string{"001", "002"}, string(s.GetStart())) {
					continue
				}
				pinned = append(pinned, operator.Ref{Keyspace: "ks", ID: span.ID(s.GetId())})
				if s.GetNode() != "b1" {
					return s.String()
				}
			}
			return ""
		})
		_, err := w.ask("m1").MoveSpan(w.t.Context(), &controlv1.MoveSpanRequest{Cluster: "test", RequestId: "mv", Keyspace: "ks", Span: string(pinned[0].ID), To: "a1"})
		if f, _ := fault.As(err); f == nil || f.Reason != fault.Refused || !strings.Contains(f.Message, "place.pin ties span") {
			t.Errorf("a move off the pin: %v", err)
		}
		w.outcome("ks", w.split("m1", pinned[0], "0015").GetId(), time.Minute)
		w.mustDrain("m1", "b1")
		w.onNodes("ks", map[string]int{"a1": 4, "b1": 3})
		w.eventually("it says why", 10*time.Second, func() string {
			if s := w.shown(pinned[1]); !strings.Contains(s.GetWhy(), "place.pin ties it to b1") || !m.complains("drain") {
				return s.String()
			}
			return ""
		})
		w.must(setRules(w, "m1", "ks", "place.pin="))
		w.onNodes("ks", map[string]int{"a1": 7})
	})
}
