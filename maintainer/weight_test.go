package maintainer

import (
	"math"
	"strings"
	"testing"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
)

// weigh sets the weight of a node.
func (w *world) weigh(at, name string, weight float64) *controlv1.Node {
	w.t.Helper()
	resp, err := w.ask(at).SetNodeWeight(w.t.Context(), &controlv1.SetNodeWeightRequest{Cluster: "test", Name: name, Weight: weight})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetNode()
}

// recordedWeight is what is in etcd.
func (w *world) recordedWeight(name string) float64 {
	w.t.Helper()
	resp := w.get(w.layout.NodeConfig(name))
	if len(resp.Kvs) == 0 {
		return -1
	}
	cfg, err := record.DecodeNodeConfig(resp.Kvs[0].Value)
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg.Weight
}

// A node that is to carry twice as much is given that by balance, and gives it back, under whichever leader.
func TestBalanceGoesByWeight(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2", "n3")
		w.mustSet("m1", "", "scheduler.balance=on", "balance.cooldown=1s")
		w.keyspace("ks", 60)
		w.shares(map[string]int{"n1": 20, "n2": 20, "n3": 20}, time.Minute)
		time.Sleep(time.Minute)
		if n := w.weigh("m1", "n2", 2); n.GetWeight() != 2 || n.GetName() != "n2" || n.GetSpans() != 20 {
			t.Errorf("%v", n)
		}
		w.shares(map[string]int{"n1": 15, "n2": 30, "n3": 15}, time.Minute)
		time.Sleep(time.Minute)
		if got := w.moves(m); got["balance"] != 10 || len(got) != 1 {
			t.Errorf("%v", got)
		}
		m2 := w.maintainer("m2")
		m.quit()
		w.leads(m2, 5*time.Second)
		time.Sleep(time.Minute)
		if n := w.nodeShown("m2", "n2"); n.GetWeight() != 2 {
			t.Errorf("%v", n)
		}
		if got := w.moves(m2); got["balance"] != 10 {
			t.Errorf("%v", got)
		}
		if n := w.weigh("m2", "n2", 1); n.GetWeight() != 1 || w.recordedWeight("n2") != 0 {
			t.Errorf("%v, recorded %v", n, w.recordedWeight("n2"))
		}
		w.shares(map[string]int{"n1": 20, "n2": 20, "n3": 20}, time.Minute)
	})
}

// What nobody owns is placed by weight, though balance is paused; a node that comes back has the weight that its name has.
func TestPlacementGoesByWeight(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2")
		w.weigh("m1", "n1", 0.5)
		w.keyspace("ks", 60)
		w.shares(map[string]int{"n1": 20, "n2": 40}, time.Minute)
		w.nodes[0].kill()
		w.shares(map[string]int{"n2": 60}, time.Minute)
		w.node("n1")
		w.eventually("registered", time.Minute, func() string { return w.unregistered(m) })
		if n := w.nodeShown("m1", "n1"); n.GetWeight() != 0.5 {
			t.Errorf("%v", n)
		}
		if n := w.nodeShown("m1", "n2"); n.GetWeight() != 1 {
			t.Errorf("%v", n)
		}
	})
}

// What is no weight is refused, and so is a node that is not there; nothing is written. A cordon leaves a weight as it is, and
// a weight a cordon.
func TestBadWeightsAreRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(1, "n1")
		before := w.everything()
		for _, bad := range []float64{0, -1, 0.0099, 100.01, math.NaN(), math.Inf(1), math.Inf(-1)} {
			_, err := w.invoke("m1", &controlv1.SetNodeWeightRequest{Name: "n1", Weight: bad})
			if !fault.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), "from 0.01 to 100") {
				t.Errorf("%v: %v", bad, err)
			}
		}
		for name, reason := range map[string]fault.Reason{"n9": fault.UnknownNode, "N!": fault.InvalidName, "": fault.InvalidName} {
			if _, err := w.invoke("m1", &controlv1.SetNodeWeightRequest{Name: name, Weight: 2}); !fault.Is(err, reason) {
				t.Errorf("%q: %v", name, err)
			}
		}
		for key, mod := range w.everything() {
			if before[key] != mod {
				t.Errorf("%s was written", key)
			}
		}
		w.configureNode("m1", "n1", true)
		if n := w.weigh("m1", "n1", 100); n.GetWeight() != 100 || n.GetState() != nodeCordoned {
			t.Errorf("%v", n)
		}
		w.weigh("m1", "n1", 0.01)
		w.configureNode("m1", "n1", false)
		if n := w.nodeShown("m1", "n1"); n.GetWeight() != 0.01 || n.GetState() != nodeReady {
			t.Errorf("%v", n)
		}
	})
}
