package scheduler_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

// Whatever is told in whatever order: the fleet counts what one counts that is told only how things are, and plans alike.
func TestFleetForgetsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, false)
		rules := map[string]*scheduler.Rules{"k1": drawFleetRules(t), "k2": drawFleetRules(t)}
		for range rapid.IntRange(0, 40).Draw(t, "changes") {
			switch rapid.IntRange(0, 6).Draw(t, "change") {
			case 0:
				w.node(drawFleetNode(t, rapid.SampledFrom(worldNodes).Draw(t, "node")))
			case 1:
				name := rapid.SampledFrom(worldNodes).Draw(t, "node that goes")
				delete(w.nodes, name)
				w.fleet.RemoveNode(name)
			case 2, 3:
				w.span(w.drawSpan(t, rapid.IntRange(0, 50).Draw(t, "span"), rules))
			case 4:
				r := drawRef(t)
				delete(w.spans, r)
				delete(w.loads, r)
				w.fleet.RemoveSpan(r)
			case 5:
				if r := drawRef(t); w.knows(r) {
					w.load(r, rapid.Float64Range(-1, 1e6).Draw(t, "load"))
				}
			case 6:
				w.cfg.Cooldown = time.Duration(rapid.IntRange(0, 60).Draw(t, "cooldown")) * time.Second
				w.fleet.Configure(w.cfg, 0)
			}
		}
		other := w.rebuilt(rapid.Uint64().Draw(t, "order"))
		if d := cmp.Diff(other.Nodes(), w.fleet.Nodes()); d != "" {
			t.Fatalf("the nodes are others than told:\n%s", d)
		}
		if other.Len() != w.fleet.Len() {
			t.Fatalf("%d spans, and %d were told", w.fleet.Len(), other.Len())
		}
		for r, s := range w.spans {
			if got, ok := w.fleet.Span(r); !ok {
				t.Fatalf("%v is not known", r)
			} else if d := cmp.Diff(s, got); d != "" {
				t.Fatalf("%v is another than told:\n%s", r, d)
			}
		}
		if d := cmp.Diff(other.Balance(w.now), w.fleet.Balance(w.now)); d != "" {
			t.Fatalf("the plan is another:\n%s", d)
		}
	})
}

func drawRef(t *rapid.T) operator.Ref {
	return operator.Ref{
		Keyspace: rapid.SampledFrom([]string{"k1", "k2"}).Draw(t, "keyspace"),
		ID:       span.ID(fmt.Sprint("s", rapid.IntRange(0, 50).Draw(t, "id"))),
	}
}

func (w *world) knows(r operator.Ref) bool {
	_, ok := w.spans[r]
	return ok
}

// Nodes are counted by what they will have, also those that spans are on and that nobody has heard of.
func TestFleetNodes(t *testing.T) {
	w := newWorld(scheduler.BalanceConfig{})
	w.fill("n2", 3)
	w.fill("n1", 1)
	w.node(plainNode("n1"))
	w.load(refOf(0), 2.5)
	w.load(refOf(1), 1)
	if got := w.fleet.Nodes(); len(got) != 1 || got[0].Spans != 1 {
		t.Fatalf("%+v", got)
	}
	n := plainNode("n2")
	n.Labels, n.Spans, n.Load, n.Budget = map[string]string{"zone": "a"}, 77, 77, 77
	w.node(n)
	w.rule(2, "place.spread", "zone")
	n.Spans, n.Load, n.Budget, n.Of = 3, 3.5, 0, map[string]int{"k": 1}
	if d := cmp.Diff(n, w.fleet.Nodes()[1]); d != "" {
		t.Error(d)
	}
}
