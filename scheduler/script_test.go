package scheduler_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

// Rewrite the expected output with: go test ./scheduler -rewrite
//
//	nodes                 one a line: NAME [label=value…] [capacity=N] [spans=N] [cordoned]
//	place N               N spans of keyspace k; the input are its settings, name=value a line
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/rules", func(t *testing.T, path string) {
		s := &script{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "nodes":
				s.nodes = nil
				for line := range strings.Lines(d.Input) {
					s.nodes = append(s.nodes, s.node(t, strings.Fields(line)))
				}
				return fmt.Sprintf("%d\n", len(s.nodes))
			case "place":
				var n int
				if _, err := fmt.Sscan(d.CmdArgs[0].Key, &n); err != nil {
					d.Fatalf(t, "%v", err)
				}
				return s.place(n, d.Input)
			}
			d.Fatalf(t, "unknown command %q", d.Cmd)
			return ""
		})
	})
}

type script struct {
	nodes []scheduler.Node
	next  int
}

func (s *script) node(t *testing.T, words []string) scheduler.Node {
	n := scheduler.Node{
		Name: words[0], Session: 1, Workloads: []string{"gate"}, Eligible: true, Budget: 1000,
		Labels: map[string]string{}, Of: map[string]int{},
	}
	for _, w := range words[1:] {
		switch k, v, _ := strings.Cut(w, "="); k {
		case "cordoned":
			n.Eligible, n.Why = false, "cordoned"
		case "capacity", "spans":
			into := map[string]*int{"capacity": &n.Capacity, "spans": &n.Spans}[k]
			if _, err := fmt.Sscan(v, into); err != nil {
				t.Fatal(err)
			}
		default:
			n.Labels[k] = v
		}
	}
	return n
}

// place says how many spans go where, and why others go nowhere. What is placed stays.
func (s *script) place(n int, settings string) string {
	set := map[string]string{}
	for line := range strings.Lines(settings) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		set[k] = v
	}
	rules, err := scheduler.ParseRules(set)
	if err != nil {
		return err.Error() + "\n"
	}
	var ws []scheduler.Want
	for range n {
		s.next++
		w := scheduler.Want{Ref: operator.Ref{Keyspace: "k", ID: span.ID(fmt.Sprint(s.next))}, Workload: "gate", Rules: rules}
		ws = append(ws, w)
	}
	placed, left := scheduler.Place(ws, s.nodes)
	var out strings.Builder
	for i := range s.nodes {
		n := &s.nodes[i]
		got := counts(placed)[n.Name]
		n.Spans, n.Of["k"] = n.Spans+got, n.Of["k"]+got
		if got > 0 {
			fmt.Fprintf(&out, "%s +%d\n", n.Name, got)
		}
	}
	var whys []string
	for _, u := range left {
		whys = append(whys, u.Why)
	}
	for _, why := range slices.Compact(whys) {
		fmt.Fprintf(&out, "%d nowhere: %s\n", len(left), why)
	}
	return out.String()
}
