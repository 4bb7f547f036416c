package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
)

// bigPlan has more operators than one call may have.
func bigPlan(t *testing.T, operators int) string {
	t.Helper()
	var p output.Plan
	if err := json.Unmarshal([]byte(keptPlan(t, &fake{big: operators})), &p); err != nil || len(p.Operators) != operators {
		t.Fatal(len(p.Operators), err)
	}
	var b strings.Builder
	if err := (output.Printer{Out: &b, Format: output.JSON}).Plan(p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A call takes 500 operators, and each has a request id that it has again when the command is repeated.
func TestPlanIsAppliedInPieces(t *testing.T) {
	plan := bigPlan(t, 1201)
	for name, c := range map[string]struct {
		breaks      int
		as          fault.Reason
		code        int
		asked, told string
	}{
		"all": {0, "", 0, "ApplyPlanRequest r1.0 with 500 operators ApplyPlanRequest r1.1 with 500 operators ApplyPlanRequest r1.2 with 201 operators", ""},
		"one call is refused": {
			1, fault.RequestConflict, 3, "ApplyPlanRequest r1.0 with 500 operators",
			"of 1201 operators 500 were accepted and 0 refused before there was an error\nspanward: --request-id \"r1.1\": no more",
		},
		"nobody answers any more": {
			1, fault.NotLeader, 4, "ApplyPlanRequest r1.0 with 500 operators",
			"no more; the outcome is unknown: repeat with --request-id r1\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{breaks: c.breaks, breakAs: c.as}
			term := newTerminal(t, f, plan, nil)
			code := term.app.run(t.Context(), strings.Fields("plan apply - --request-id r1"))
			if got := strings.Join(f.asked, " "); code != c.code || got != c.asked || !strings.Contains(term.stderr.String(), c.told) {
				t.Errorf("exit %d, asked %s, told %s", code, got, term.stderr.String())
			}
			if out := term.stdout.String(); c.code == 0 && !strings.Contains(out, "1201 operators accepted, 0 refused\n") {
				t.Error(out)
			}
		})
	}
}

// Whatever was edited in a plan is found out, also what nobody reads.
func TestEveryFieldOfAPlanIsUnderItsDigest(t *testing.T) {
	plan := keptPlan(t, &fake{}, "--drain", "n1", "--add-node", "n9,zone=b,capacity=7,weight=2,workload=gate")
	if want := `"add_nodes":[{"name":"n9","labels":{"zone":"b"},"capacity":7,"weight":2,"workloads":["gate"]}],"remove_nodes":[]`; !strings.Contains(plan, want) {
		t.Errorf("no %s in %s", want, plan)
	}
	var tree any
	if err := json.Unmarshal([]byte(plan), &tree); err != nil {
		t.Fatal(err)
	}
	tried := 0
	var visit func(v any, put func(any))
	try := func(was, edited any, put func(any)) {
		put(edited)
		defer put(was)
		raw, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		if _, wrong := parsePlan(strings.NewReader(string(raw))); wrong == nil {
			t.Errorf("%v was changed to %v, and nothing was said", was, edited)
		}
		tried++
	}
	visit = func(v any, put func(any)) {
		switch v := v.(type) {
		case map[string]any:
			for name, below := range v {
				visit(below, func(x any) { v[name] = x })
			}
		case []any:
			for i, below := range v {
				visit(below, func(x any) { v[i] = x })
			}
			if len(v) > 0 {
				try(v, v[:len(v)-1], put)
			}
		case string:
			try(v, v+"0", put)
		case float64:
			try(v, v+1, put)
		}
	}
	visit(tree, func(any) {})
	if tried < 80 {
		t.Errorf("only %d fields were edited", tried)
	}
	raw, err := json.MarshalIndent(tree, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if _, wrong := parsePlan(strings.NewReader(string(raw))); wrong != nil {
		t.Errorf("another layout of the same plan: %v", wrong)
	}
}

// A dry run knows what a maintainer would refuse for the spans and the nodes of an operator.
func TestWhatStandsAgainstAPlannedOperator(t *testing.T) {
	now := &present{
		spans: map[string]*controlv1.Span{"ks/s1": {Revision: 5}, "ks/s2": {Revision: 6, Operator: "7-1"}, "other/s3": {Revision: 5}},
		nodes: map[string]string{"n1": "ready", "n2": "cordoned"},
	}
	for _, tc := range []struct {
		kind, to, spans string
		want            fault.Reason
	}{
		{"move", "n1", "s1@5", ""},
		{"split", "", "s1@5", ""},
		{"move", "n1", "s1@4", fault.PlanOutdated},
		{"move", "n1", "s3@5", fault.UnknownSpan},
		{"merge", "", "s1@5 s2@6", fault.SpanBusy},
		{"merge", "", "s1@5 s2@5", fault.SpanBusy}, // what holds it is more to the point than that it has changed
		{"move", "n2", "s1@5", fault.NodeNotReady},
		{"move", "n9", "s1@5", fault.UnknownNode},
	} {
		o := output.PlanOperator{Type: tc.kind, Keyspace: "ks", To: output.Text(tc.to)}
		for text := range strings.FieldsSeq(tc.spans) {
			id, rev, _ := strings.Cut(text, "@")
			n, err := strconv.ParseInt(rev, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			o.Spans = append(o.Spans, output.PlanSpan{ID: id, Revision: n})
		}
		got := fault.Reason("")
		if f := now.against(o); f != nil {
			got = f.Reason
		}
		if got != tc.want {
			t.Errorf("%s %s to %s: %q, want %q", tc.kind, tc.spans, tc.to, got, tc.want)
		}
	}
}

// A wait that ends too early says how to go on.
func TestWaitForAPlanIsBounded(t *testing.T) {
	f := &fake{end: ""}
	term := newTerminal(t, f, keptPlan(t, &fake{}), nil)
	code := term.app.run(t.Context(), strings.Fields("plan apply - --request-id r1 --wait --timeout 700ms"))
	if told := term.stderr.String(); code != 4 || !strings.Contains(told, "repeat with --request-id r1") || !strings.Contains(told, "0 of 3 operators are over") {
		t.Errorf("exit %d: %s", code, told)
	}
}
