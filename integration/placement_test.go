package integration_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/spanward/spanward/integration/proc"
)

// Nodes of two zones, one of which dies by kill -9. A keyspace that must be in the other does not notice; one that must be in
// that zone waits, and says for what, until a node of the zone is there again; one that is spread gets its share back with
// what is added. What names a label that no node has is refused.
func TestPlacementByLabels(t *testing.T) {
	c := cluster(t, proc.Options{TTL: "2s"}, 0)
	c.Dispatcher("a1", "--label", "zone=a")
	c.Dispatcher("a2", "--label", "zone=a", "--capacity", "4")
	c.Dispatcher("b1", "--label", "zone=b", "--label", "disk=ssd")
	ready(c, 3)
	create := func(name, rule string, n int) []proc.Span {
		args := []string{"keyspace", "create", name, "--workload", "gate", "--set", rule, "--wait", "--timeout", "60s"}
		for i := range n {
			args = append(args, "--range", fmt.Sprintf("%02d:%02d", i, i+1))
		}
		c.Do(args...)
		return c.Running(name, n)
	}
	on := func(spans []proc.Span) map[string]int {
		out := map[string]int{}
		for _, s := range spans {
			out[s.Node]++
		}
		return out
	}
	zoneB := create("in-b", "place.require=zone=b", 3)
	if got := on(zoneB); !maps.Equal(got, map[string]int{"b1": 3}) {
		t.Errorf("in-b: %v", got)
	}
	if got := on(create("in-a", "place.require=zone=a", 6)); !maps.Equal(got, map[string]int{"a1": 3, "a2": 3}) {
		t.Errorf("in-a: %v", got)
	}
	if got := on(create("wide", "place.spread=zone", 4)); got["b1"] != 2 || got["a1"]+got["a2"] != 2 {
		t.Errorf("wide: %v", got)
	}
	if a := c.Spanward("keyspace", "create", "no", "--workload", "gate", "--set", "place.require=rack=1"); a.Code != 3 || !strings.Contains(a.Err, "no registered node has label rack") {
		t.Errorf("exit %d: %s", a.Code, a.Err)
	}
	if a := c.Spanward("span", "move", "in-b", zoneB[0].ID, "--to", "a1"); a.Code != 3 || !strings.Contains(a.Err, "does not have zone=b") {
		t.Errorf("exit %d: %s", a.Code, a.Err)
	}

	c.Process("b1").Kill()
	c.Until("the spans of zone b wait", func() (bool, string) {
		var st proc.Status
		ok := c.TryGet(&st, "status")
		n := 0
		for _, p := range st.Problems {
			if p.Kind == "placement" && p.Keyspace == "in-b" && p.Span != "" && strings.Contains(p.Message, "2 lack zone=b") {
				n++
			}
		}
		return ok && n == 3, fmt.Sprintf("%+v", st.Problems)
	})
	c.Running("in-a", 6)
	if got := on(c.Running("wide", 4)); got["a1"]+got["a2"] != 4 || got["a2"] > 1 {
		t.Errorf("wide: %v", got)
	}
	c.Dispatcher("b2", "--label", "zone=b")
	if got := on(c.Running("in-b", 3)); !maps.Equal(got, map[string]int{"b2": 3}) {
		t.Errorf("in-b: %v", got)
	}
	for i := range 4 {
		c.Do("span", "add", "wide", "--range", fmt.Sprintf("%02d:%02d", 10+i, 11+i), "--wait")
	}
	if got := on(c.Running("wide", 8)); got["b2"] != 4 {
		t.Errorf("wide: %v", got)
	}
	c.Until("no problem is left", func() (bool, string) {
		var st proc.Status
		ok := c.TryGet(&st, "status")
		return ok && len(st.Problems) == 0, fmt.Sprintf("%+v", st.Problems)
	})
	c.Verdict()
}
