package output_test

import (
	"fmt"
	"strings"
	"testing"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/output"
)

// A person is shown the beginning of a long plan, and told that there is more; -o wide leaves nothing out.
func TestALongPlanIsShownInPart(t *testing.T) {
	resp := &controlv1.PlanResponse{}
	for n := range 60 {
		resp.Operators = append(resp.Operators, &controlv1.PlannedOperator{
			Type: "move", Keyspace: "ks", Spans: []*controlv1.PlannedSpan{{Id: fmt.Sprintf("s%d", n)}}, By: "balance", Reason: "because of " + strings.Repeat("x", 50),
		})
	}
	plan := output.FromPlan(&controlv1.PlanRequest{}, resp)
	for format, want := range map[output.Format]int{output.Table: 50, output.Wide: 60} {
		text := printed(t, format, func(p output.Printer) error { return p.Plan(plan) })
		if got := strings.Count(text, strings.Repeat("x", 50)+"\n"); got != want {
			t.Errorf("%s: %d whole reasons, want %d", format, got, want)
		}
		if told := strings.Contains(text, "… and 10 more: -o wide shows all\n"); told != (want < 60) {
			t.Errorf("%s: of the rest it says %v", format, told)
		}
	}
}

// What goes, comes or is not there must not make a plan look better or worse than it is.
func TestBalanceOfAPlan(t *testing.T) {
	node := func(name, state string, before, after int64) *controlv1.PlannedNode {
		return &controlv1.PlannedNode{Name: name, State: state, SpansBefore: before, SpansAfter: after, Weight: 1}
	}
	for _, tc := range []struct {
		name  string
		req   *controlv1.PlanRequest
		nodes []*controlv1.PlannedNode
		want  string
	}{
		{
			"a drained node counts before", &controlv1.PlanRequest{Drain: []string{"n1"}},
			[]*controlv1.PlannedNode{node("n1", "ready", 6, 0), node("n2", "ready", 2, 5), node("n3", "ready", 1, 4)},
			"spans per node: max 6, mean 3 (2.00) before; max 5, mean 4.5 (1.11) after",
		},
		{
			"a new node counts after", &controlv1.PlanRequest{},
			[]*controlv1.PlannedNode{node("n1", "ready", 4, 2), node("n2", "new", 0, 2)},
			"spans per node: max 4, mean 4 (1.00) before; max 2, mean 2 (1.00) after",
		},
		{
			"one that is gone or draining takes no part after", &controlv1.PlanRequest{RemoveNode: []string{"n4"}},
			[]*controlv1.PlannedNode{node("n1", "ready", 4, 12), node("n2", "gone", 0, 0), node("n3", "draining", 4, 0), node("n4", "removed", 4, 0)},
			"spans per node: max 4, mean 4 (1.00) before; max 12, mean 12 (1.00) after",
		},
		{
			"nobody is left", &controlv1.PlanRequest{Drain: []string{"n1"}},
			[]*controlv1.PlannedNode{node("n1", "ready", 4, 4)},
			"spans per node: max 4, mean 4 (1.00) before; none after",
		},
		{
			"weights count", &controlv1.PlanRequest{},
			[]*controlv1.PlannedNode{node("n1", "ready", 20000, 10000), {Name: "n2", State: "ready", SpansBefore: 10000, SpansAfter: 20000, Weight: 2}},
			"spans per node and weight: max 20000, mean 10000 (2.00) before; max 10000, mean 10000 (1.00) after",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plan := output.FromPlan(tc.req, &controlv1.PlanResponse{Nodes: tc.nodes})
			if text := printed(t, output.Table, func(p output.Printer) error { return p.Plan(plan) }); !strings.Contains(text, tc.want+"\n") {
				t.Errorf("no %s in\n%s", tc.want, text)
			}
		})
	}
}
