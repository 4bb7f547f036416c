package span_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

func TestRangesAsTyped(t *testing.T) {
	for text, want := range map[string]span.Range{
		":":                 {},
		"a:":                {Start: "a"},
		":b":                {End: "b"},
		"a:b":               {Start: "a", End: "b"},
		`a\x3a:a\x3b`:       {Start: "a:", End: "a;"},
		`\\:\xff`:           {Start: `\`, End: "\xff"},
		`/registry/:/s\x00`: {Start: "/registry/", End: "/s\x00"},
	} {
		if got, err := span.ParseRange(text); err != nil || got != want {
			t.Errorf("ParseRange(%s) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestRangeErrors(t *testing.T) {
	long := strings.Repeat("k", span.MaxKeyBytes+1)
	for _, tc := range []struct {
		text   string
		reason fault.Reason
		want   string
	}{
		{"", fault.InvalidRange, `range: has 0 colons, and START:END has one; leave a side empty for no bound`},
		{"ab", fault.InvalidRange, `range "ab": has 0 colons`},
		{"a:b:c", fault.InvalidRange, `range "a:b:c": has 2 colons, and START:END has one; leave a side empty for no bound, and write \x3a`},
		{"a:a", fault.InvalidRange, `range "a:a": is empty: both ends are the same key; give an end that is greater`},
		{"b:a", fault.InvalidRange, `range "b:a": is inverted: it ends before it starts; swap the two ends: a:b`},
		{`a\q:b`, fault.InvalidKey, `start "a\q": \q is not an escape`},
		{`a:b\q`, fault.InvalidKey, `end "b\q": \q is not an escape`},
		{long + ":", fault.InvalidKey, `has 4097 bytes`},
		{":" + long, fault.InvalidKey, `has 4097 bytes`},
	} {
		_, err := span.ParseRange(tc.text)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !fault.Is(err, tc.reason) {
			t.Errorf("ParseRange(%.20q): %v\nwant %s … %s", tc.text, err, tc.reason, tc.want)
		}
	}
	for _, r := range []span.Range{{Start: long}, {End: long}} {
		if err := r.Validate(); !errors.Is(err, span.ErrKey) {
			t.Errorf("a bound of %d bytes passes: %v", len(long), err)
		}
	}
	if err := (span.Range{Start: "a", End: "a"}).Validate(); !errors.Is(err, span.ErrRange) {
		t.Errorf("not an ErrRange: %v", err)
	}
}

func TestRangeTextRoundTrip(t *testing.T) {
	bytes := rapid.SliceOfN(rapid.Byte(), 0, 8)
	rapid.Check(t, func(t *rapid.T) {
		want := span.Range{Start: string(bytes.Draw(t, "start")), End: string(bytes.Draw(t, "end"))}
		got, err := span.ParseRange(want.String())
		if want.Validate() != nil {
			if err == nil {
				t.Fatalf("%q is accepted", want.String())
			}
			return
		}
		if err != nil || got != want {
			t.Fatalf("%s came back as %q, %v", want, got, err)
		}
	})
}

func TestSplitErrorsNameTheKey(t *testing.T) {
	r := span.Range{Start: "b", End: "y"}
	for _, tc := range []struct {
		r    span.Range
		at   []string
		want string
	}{
		{r, nil, `at: no key to split at; name at least one key inside b:y`},
		{r, []string{"b"}, `at "b": is not strictly inside b:y; choose`},
		{r, []string{"y"}, `at "y": is not strictly inside b:y`},
		{r, []string{"c", "z\xff"}, `at "z\xff": is not strictly inside b:y`},
		{r, []string{"c", "c"}, `at "c": is named twice`},
		{r, []string{"d", "c"}, `at "c": comes after d, which is greater; name the split keys in ascending order`},
		{span.Range{}, []string{""}, `at: is not strictly inside :`},
		{span.Range{}, []string{strings.Repeat("k", span.MaxKeyBytes+1)}, `has 4097 bytes`},
		{span.Range{Start: "y", End: "b"}, []string{"c"}, `range "y:b": is inverted`},
	} {
		_, err := tc.r.Split(tc.at...)
		if err == nil || !strings.Contains(err.Error(), tc.want) || fault.ExitCode(err) != 2 {
			t.Errorf("%v.Split(%.20q): %v\nwant … %s", tc.r, tc.at, err, tc.want)
		}
	}
}

func TestMergeErrorsNameTheRange(t *testing.T) {
	for _, tc := range []struct {
		rs   []string
		want string
	}{
		{[]string{"a:b"}, `ranges: 1 of them cannot be merged; name at least two`},
		{[]string{"c:d", "a:b"}, `range "c:d": is not adjacent to a:b: between them is b:c; include`},
		{[]string{"a:c", "b:d"}, `range "b:d": overlaps a:c in b:c; merge ranges that only touch`},
		{[]string{"a:b", "a:b"}, `range "a:b": overlaps a:b in a:b`},
		{[]string{"a:", ":c"}, `range "a:": overlaps :c in a:c`},
	} {
		var rs []span.Range
		for _, text := range tc.rs {
			r, err := span.ParseRange(text)
			if err != nil {
				t.Fatal(err)
			}
			rs = append(rs, r)
		}
		if _, err := span.Merge(rs...); err == nil || !strings.Contains(err.Error(), tc.want) || !errors.Is(err, span.ErrRange) {
			t.Errorf("Merge(%q): %v\nwant … %s", tc.rs, err, tc.want)
		}
	}
}

// Which pair is named must not depend on the order of the ranges that do not matter.
func TestOverlappingNamesThePairAtTheLowestKey(t *testing.T) {
	rs := []span.Range{{Start: "x", End: "z"}, {Start: "a", End: "c"}, {Start: "y"}, {Start: "b", End: "d"}, {Start: "p", End: "o"}}
	if i, j, ok := span.Overlapping(rs); i != 1 || j != 3 || !ok {
		t.Errorf("got %d, %d, %v", i, j, ok)
	}
}

func TestUnionOfManySpans(t *testing.T) {
	var rs []span.Range
	for c := 'z'; c > 'a'; c-- {
		rs = append(rs, span.Range{Start: string(c - 1), End: string(c)})
	}
	if got := span.Union(rs); !slices.Equal(got, []span.Range{{Start: "a", End: "z"}}) {
		t.Errorf("got %v", got)
	}
	hole := slices.Delete(slices.Clone(rs), 3, 5)
	if got := span.Holes(hole, span.Range{}); !slices.Equal(got, []span.Range{{End: "a"}, {Start: "u", End: "w"}, {Start: "z"}}) {
		t.Errorf("got %v", got)
	}
}
