package main

import (
	"encoding/json"
	"strings"
	"testing"

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

// A wait that ends too early says how to go on.
func TestWaitForAPlanIsBounded(t *testing.T) {
	f := &fake{end: ""}
	term := newTerminal(t, f, keptPlan(t, &fake{}), nil)
	code := term.app.run(t.Context(), strings.Fields("plan apply - --request-id r1 --wait --timeout 700ms"))
	if told := term.stderr.String(); code != 4 || !strings.Contains(told, "repeat with --request-id r1") || !strings.Contains(told, "0 of 3 operators are over") {
		t.Errorf("exit %d: %s", code, told)
	}
}
