package scheduler_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
)

// What is said to come next comes next, and saying it changes nothing.
func TestExplainTellsTheNextMove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, rapid.Bool().Draw(t, "limits"))
		said := map[operator.Ref]string{}
		for _, r := range w.refs() {
			if said[r] = w.fleet.Explain(r, w.now); said[r] == "" {
				t.Fatalf("nothing is said of %v", r)
			}
		}
		moves := w.fleet.Balance(w.now)
		if d := cmp.Diff(w.rebuilt(0).Balance(w.now), moves); d != "" {
			t.Fatalf("explaining has changed the plan:\n%s", d)
		}
		if len(moves) == 0 {
			return
		}
		first := moves[0]
		if want := fmt.Sprintf("it is moved to %s: %s", first.To, first.Reason); said[first.Ref] != want {
			t.Fatalf("%q was said of it, and then %+v", said[first.Ref], first)
		}
	})
}

func TestExplain(t *testing.T) {
	ref := refOf
	for _, tc := range []struct {
		name   string
		change func(*world)
		of     int
		want   string
	}{
		{"level", func(*world) {}, 0, "it stays on n1: n1 carries 3 spans, and the others that may have it 3"},
		{"unknown", func(*world) {}, 77, "nothing is known of it"},
		{"within", func(w *world) { w.fill("n1", 1) }, 0, "it stays on n1: n1 carries 4 spans, and the others that may have it 3"},
		{"loads", func(w *world) { w.load(ref(0), 10); w.load(ref(3), 9.25); w.load(ref(6), 11) }, 0, "it stays on n1: n1 carries 3 spans, and the others that may have it 3; its load is 10, and theirs 9.25 to 11"},
		{"moved", func(w *world) { w.node(plainNode("n4")) }, 0, "it is moved to n4: n1 carries 3 spans and n4 0"},
		{"not its turn", func(w *world) { w.node(plainNode("n4")) }, 1, "it stays on n1 for now: n1 carries 3 spans and n4 0, and 000000 goes to n4 before it"},
		{"no budget", func(w *world) {
			w.node(plainNode("n4"))
			w.fleet.Configure(scheduler.BalanceConfig{InFlight: 1, CountTolerance: 0.1}, 0)
			w.fleet.Balance(w.now)
		}, 1, "it stays on n1 for now: balance has as many moves in flight as it may"},
		{"in flight", func(w *world) {
			w.change(0, func(s *scheduler.Span) { s.Flight = scheduler.Flight{Class: scheduler.ClassUser} })
		}, 0, "what is in flight on it goes on"},
		{"unwell", func(w *world) { w.change(0, func(s *scheduler.Span) { s.Settled = false }) }, 0, "it stays on n1 until it runs there and is well"},
		{"lost", func(w *world) { w.fleet.RemoveNode("n1") }, 0, "it is opened as soon as a node can take it"},
		{"pinned", func(w *world) { w.change(0, func(s *scheduler.Span) { s.Pin = "n1" }) }, 0, "it stays on n1: place.pin ties it there"},
		{"pinned elsewhere", func(w *world) { w.change(0, func(s *scheduler.Span) { s.Pin = "n2" }) }, 0, "it is moved to n2: place.pin ties it to n2"},
		{"pinned to who is gone", func(w *world) { w.change(0, func(s *scheduler.Span) { s.Pin = "n9" }) }, 0, "it stays on n1, though place.pin ties it to n9: n9 is gone"},
		{"cooling", func(w *world) {
			w.fleet.Configure(scheduler.BalanceConfig{Cooldown: time.Minute}, 0)
			w.change(0, func(s *scheduler.Span) { s.Since = w.now.Add(-25 * time.Second) })
		}, 0, "it stays on n1 for 35s yet: it came there 25s ago, and balance.cooldown is 1m0s"},
		{"required", func(w *world) { w.rule(0, "place.require", "node=n2|n3") }, 0, "it is moved to n2: place.require=node=n2|n3, and n1 does not have node=n2|n3"},
		{"required in vain", func(w *world) { w.rule(0, "place.require", "node=n8") }, 0, "it stays on n1, though place.require=node=n8, and n1 does not have node=n8: place.require=node=n8 cannot be met: of 3 nodes 3 lack node=n8"},
		{"preferred", func(w *world) { w.rule(0, "place.prefer", "node=n3") }, 0, "it is moved to n3: place.prefer=node=n3, of which n3 has more than n1"},
		{"preferred here", func(w *world) { w.rule(0, "place.prefer", "node=n1") }, 0, "it stays on n1: no other node is preferred as much"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(scheduler.BalanceConfig{CountTolerance: 0.1, LoadTolerance: 0.25})
			for _, name := range []string{"n1", "n2", "n3"} {
				w.node(plainNode(name))
				w.fill(name, 3)
			}
			tc.change(w)
			if got := w.fleet.Explain(refOf(tc.of), w.now); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}
