package explore

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
)

// Two states that differ in a field that canon.go does not know would be taken for one. Whoever adds a field decides here
// whether anything is decided on it.
func TestEveryFieldIsKnown(t *testing.T) {
	for _, c := range []struct {
		of any
		// known are in the canonical form; ignored are not, since nothing is decided on them or other fields give them.
		known, ignored []string
	}{
		{
			operator.Actor{},
			[]string{"Phase", "Span", "Claim", "Token", "From", "Instance", "Doomed", "Why", "Revoke", "Sent"},
			[]string{"Tries", "SwapAt"},
		},
		{operator.Span{}, []string{"Ref", "Span", "Mod"}, nil},
		{operator.Claim{}, []string{"Claim", "Mod"}, nil},
		{
			operator.Merger{},
			[]string{"Phase", "Members", "Seats", "Revoke", "Exact", "To"},
			[]string{"SwapAt"},
		},
		{operator.Seat{}, []string{"Held", "At", "Closing", "Shut"}, []string{"Tries"}},
		{operator.AskRevoke{}, []string{"Operator", "Members", "Term", "Cause", "Successor", "Of"}, nil},
		{operator.Send{}, []string{"Part", "Term", "Key"}, []string{"Alone"}},
		{operator.Answer{}, []string{"Done", "Mod", "Found", "Held"}, nil},
		{operator.MergeAnswer{}, []string{"Done", "Mod", "Members"}, nil},
		{
			record.Span{},
			[]string{"Range", "Owner", "Checkpoint", "Intent"},
			[]string{"Parents", "LastNode", "CreatedAt"},
		},
		{
			record.Intent{},
			[]string{"Operator", "Kind", "To", "HandedOff"},
			[]string{"By", "Reason", "RequestID", "Body", "CreatedAt", "From", "At", "Spans", "Results", "Marks"},
		},
		{
			record.Claim{},
			[]string{"Operator", "Kind", "Stage", "Node", "Session"},
			[]string{"At", "By", "Term"},
		},
		{record.Owner{}, []string{"Node", "Session", "Token"}, nil},
		{record.History{}, []string{"Intent", "Outcome", "Cause"}, []string{"FinishedAt", "Error", "Ranges"}},
	} {
		typ := reflect.TypeOf(c.of)
		var has []string
		for i := range typ.NumField() {
			has = append(has, typ.Field(i).Name)
		}
		want := slices.Concat(c.known, c.ignored)
		slices.Sort(has)
		slices.Sort(want)
		if d := cmp.Diff(want, has); d != "" {
			t.Errorf("%v (-known +has):\n%s", typ, d)
		}
	}
}
