package maintainer

import (
	"fmt"
	"testing"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
)

// planner is what a leader tells of one.
func (s *Scheduling) planner(name string) *controlv1.Scheduler {
	for _, p := range s.Planners {
		if p.GetName() == name {
			return p
		}
	}
	return nil
}

// The numbers of the leader are those of the records, those of others are none.
func TestSchedulingIsWhatThePlannersSee(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2")
		follower := w.maintainer("m2")
		refs := w.keyspace("ks", 30)
		w.shares(map[string]int{"n1": 15, "n2": 15}, time.Minute)
		for _, r := range refs {
			n := w.owner(r)
			n.loaded(r, map[string]float64{"n1": 1, "n2": 3}[n.name])
		}
		time.Sleep(time.Second)
		s := m.Scheduling()
		if s == nil || follower.Scheduling() != nil {
			t.Fatalf("leader %v, follower %v", s, follower.Scheduling())
		}
		if want := "[{n1 15 15} {n2 15 45}] 1 1.5"; fmt.Sprint(s.Nodes, s.SpanImbalance, s.LoadImbalance) != want {
			t.Errorf("%v %v %v, want %s", s.Nodes, s.SpanImbalance, s.LoadImbalance, want)
		}
		if p := s.planner("placement"); p.GetAccepted() != 30 || p.GetState() != "on" || p.GetInFlight() != 0 {
			t.Errorf("%v", p)
		}
		if p := s.planner("balance"); p.GetAccepted() != 0 || p.GetState() != "paused" || p.GetLimit() == 0 {
			t.Errorf("%v", p)
		}

		w.node("n3", telling)
		w.weigh("m1", "n2", 2)
		time.Sleep(10 * time.Second)
		s = m.Scheduling()
		if want := "[{n1 15 15} {n2 15 45} {n3 0 0}] 2 1.5"; fmt.Sprint(s.Nodes, s.SpanImbalance, s.LoadImbalance) != want {
			t.Errorf("%v %v %v, want %s", s.Nodes, s.SpanImbalance, s.LoadImbalance, want)
		}

		w.configureNode("m1", "n3", true)
		time.Sleep(time.Second)
		if s = m.Scheduling(); s.SpanImbalance != 1.5 || len(s.Nodes) != 3 {
			t.Errorf("one that is not meant to carry anything counts: %v %v", s.Nodes, s.SpanImbalance)
		}
		w.configureNode("m1", "n3", false)

		w.mustSet("m1", "", "scheduler.balance=on", "balance.cooldown=1s", "balance.load-tolerance=1", "balance.tolerance=0.01")
		time.Sleep(time.Minute)
		s = m.Scheduling()
		moved := int64(w.moves(m)["balance"])
		if p := s.planner("balance"); p.GetAccepted() != moved || moved < 7 || p.GetInFlight() != 0 || p.GetState() != "on" {
			t.Errorf("%v, %d moves", p, moved)
		}
		if s.SpanImbalance > 1.2 {
			t.Errorf("%v %v", s.Nodes, s.SpanImbalance)
		}
	})
}

// What is refused was not accepted.
func TestRefusedOperatorsAreNotCounted(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		refs := w.keyspace("ks", 10)
		w.shares(map[string]int{"n1": 10}, time.Minute)
		w.mustSet("m1", "", "scheduler.balance=on", "balance.cooldown=1s")
		m.at(func(name string) error {
			if name == "maintainer/balance/accept/before" {
				for _, r := range refs {
					w.putSpan(r, w.span(r).Span)
				}
			}
			return nil
		})
		w.node("n2", telling)
		time.Sleep(time.Minute)
		if p := m.Scheduling().planner("balance"); p.GetAccepted() != 0 {
			t.Errorf("%v", p)
		}
	})
}
