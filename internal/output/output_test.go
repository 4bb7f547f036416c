package output_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/output"
)

func printed(t *testing.T, f output.Format, do func(output.Printer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := do(output.Printer{Out: &b, Format: f}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Scripts index lists and maps without asking first: of nothing at all they must still be there.
func TestListsAndMapsAreNeverNull(t *testing.T) {
	for _, do := range []func(output.Printer) error{
		func(p output.Printer) error { return p.Span(output.FromSpan(&controlv1.Span{})) },
		func(p output.Printer) error { return p.Operator(output.FromOperator(&controlv1.Operator{})) },
		func(p output.Printer) error { return p.Node(output.FromNode(&controlv1.Node{})) },
		func(p output.Printer) error { return p.Keyspace(output.FromKeyspace(&controlv1.Keyspace{})) },
		func(p output.Printer) error { return p.Status(output.FromStatus(&controlv1.GetStatusResponse{})) },
		func(p output.Printer) error { return p.Check(output.Check{}) },
		func(p output.Printer) error { return p.Diff(output.Diff{}) },
		func(p output.Printer) error { return p.Spans(nil) },
		func(p output.Printer) error {
			return p.Plan(output.FromPlan(&controlv1.PlanRequest{}, &controlv1.PlanResponse{}))
		},
		func(p output.Printer) error { return p.Applied(output.Applied{}) },
		func(p output.Printer) error { return p.Checked(output.Checked{}) },
		func(p output.Printer) error { return p.Schedulers(nil) },
		func(p output.Printer) error { return p.Names("failpoints", nil) },
	} {
		text := printed(t, output.JSON, do)
		var object map[string]any
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		for name, value := range object {
			if value == nil && isCollection(name) {
				t.Errorf("%s is null in %s", name, text)
			}
		}
	}
}

// isCollection knows the plurals of the contract.
func isCollection(name string) bool {
	switch name {
	case "set", "at", "labels", "lineage", "paused", "drain", "refused", "stuck":
		return true
	}
	return strings.HasSuffix(name, "s") && name != "lag_ms" && name != "may_act_until_ms" && name != "address"
}

// A placement is in flight without an id of its own; an empty text would look like one.
func TestPlacementHasNoID(t *testing.T) {
	text := printed(t, output.JSON, func(p output.Printer) error {
		return p.Operator(output.FromOperator(&controlv1.Operator{Type: "add", By: "placement"}))
	})
	if !strings.Contains(text, `"id":null`) {
		t.Errorf("got %s", text)
	}
}

// A record that nobody can read covers an unknown range, not everything.
func TestRangeOfWhatCannotBeReadIsUnknown(t *testing.T) {
	one := func(s *controlv1.Span) func(output.Printer) error {
		return func(p output.Printer) error { return p.Spans(output.FromSpans([]*controlv1.Span{s})) }
	}
	for state, want := range map[string]string{"quarantined": `"start":null,"end":null`, "running": `"start":"","end":""`} {
		if text := printed(t, output.JSON, one(&controlv1.Span{State: state})); !strings.Contains(text, want) {
			t.Errorf("%s: no %s in %s", state, want, text)
		}
	}
	if text := printed(t, output.Table, one(&controlv1.Span{Id: "zzz", State: "quarantined"})); strings.Contains(text, ":") {
		t.Errorf("a range in %s", text)
	}
}

// An unknown checkpoint is not position 0, which is one.
func TestZeroIsNotUnknown(t *testing.T) {
	zero := uint64(0)
	for _, tc := range []struct {
		span *controlv1.Span
		want string
	}{
		{&controlv1.Span{}, `"checkpoint":null`},
		{&controlv1.Span{Checkpoint: &zero}, `"checkpoint":0`},
	} {
		text := printed(t, output.JSON, func(p output.Printer) error { return p.Span(output.FromSpan(tc.span)) })
		if !strings.Contains(text, tc.want) {
			t.Errorf("no %s in %s", tc.want, text)
		}
	}
}

func TestShapesWithoutACommandOfTheirOwn(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(output.Printer) error
		json string
		text string
	}{
		{
			name: "check",
			do: func(p output.Printer) error {
				return p.Check(output.Check{
					Revision: 9, HistoryFrom: 2, More: 1,
					Violations: []output.Violation{{Invariant: "one_owner", Keyspace: "ks", Revision: 7, Message: "two <owners>"}},
					Problems:   []output.BadRecord{{Key: "/spanward/c/leader", Revision: 3, Message: "garbage"}},
				})
			},
			json: `{"ok":false,"revision":9,"history_from":2,"violations":[{"invariant":"one_owner","keyspace":"ks","span":null,"revision":7,` +
				`"message":"two <owners>"}],"more":1,"problems":[{"key":"/spanward/c/leader","keyspace":null,"span":null,"revision":3,"message":"garbage"}]}`,
			text: "2 violations in revisions 2 to 9\n" +
				"INVARIANT  KEYSPACE  SPAN  REVISION  MESSAGE\none_owner  ks        -     7         two <owners>\n" +
				"UNREADABLE          REVISION  MESSAGE\n/spanward/c/leader  3         garbage\n",
		},
		{
			name: "no violation",
			do:   func(p output.Printer) error { return p.Check(output.Check{OK: true, Revision: 9, HistoryFrom: 1}) },
			json: `{"ok":true,"revision":9,"history_from":1,"violations":[],"more":0,"problems":[]}`,
			text: "no violation in revisions 1 to 9\n",
		},
		{
			name: "diff",
			do: func(p output.Printer) error {
				return p.Diff(output.Diff{Compared: 10, Missing: 1, Examples: []output.Example{
					{Kind: "missing", Key: `a\xff`, DestKey: `b\xff`, Range: "a:b", SourceRevision: output.Known(4), ComparedAt: output.Known(8)},
				}})
			},
			json: `{"equal":false,"compared":10,"missing":1,"extra":0,"different":0,"examples":[{"kind":"missing","key":"a\\xff","dest_key":"b\\xff",` +
				`"range":"a:b","source_revision":4,"dest_revision":null,"compared_at":8}]}`,
			text: "unequal: 10 keys compared, 1 missing, 0 extra, 0 different\n" +
				"KIND     KEY    SOURCE_REV  DEST_REV  COMPARED_AT  RANGE\nmissing  a\\xff  4           -         8            a:b\n",
		},
		{
			name: "version",
			do:   func(p output.Printer) error { return p.Version(output.Version{Version: "v1", Go: "go1"}) },
			json: `{"version":"v1","commit":"","go":"go1","failpoints":false}`,
			text: "spanward v1 (no commit, go1)\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.json+"\n", printed(t, output.JSON, tc.do)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.text, printed(t, output.Table, tc.do)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTimesAreUTCWithAllDigits(t *testing.T) {
	zone := time.FixedZone("elsewhere", 3600)
	got := output.Time(time.Date(2026, 1, 2, 3, 4, 5, 600, zone)).String()
	if want := "2026-01-02T02:04:05.000000600Z"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNormalTablesStayNarrow(t *testing.T) {
	long := strings.Repeat("ж", 5000)
	in := output.FromSpans([]*controlv1.Span{{Id: "s", LastError: long}})
	table := printed(t, output.Table, func(p output.Printer) error { return p.Spans(in) })
	if strings.Contains(table, strings.Repeat("ж", 41)) || !strings.Contains(table, "…") {
		t.Errorf("%d bytes", len(table))
	}
	if wide := printed(t, output.Wide, func(p output.Printer) error { return p.Spans(in) }); !strings.Contains(wide, long) {
		t.Error("-o wide cuts texts off")
	}
}

func TestFormats(t *testing.T) {
	var got []string
	for _, name := range []string{"table", "json", "wide", "xml", ""} {
		if f, err := output.ParseFormat(name); err == nil {
			got = append(got, string(f))
		}
	}
	if !reflect.DeepEqual(got, output.Formats()) {
		t.Errorf("%v", got)
	}
}
