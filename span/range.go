package span

import (
	"cmp"
	"strings"

	"github.com/spanward/spanward/internal/fault"
)

// ID names a span. It is opaque, slash-free, unique in a cluster and never used again.
type ID string

// Range is the half-open range [Start, End) of raw key bytes. An empty End means no upper bound, so the zero Range holds
// every key. Ranges are comparable; == is equality for valid ones.
type Range struct{ Start, End string }

// Empty says that no key is in the range; inverted ranges are empty.
func (r Range) Empty() bool { return r.End != "" && r.Start >= r.End }

// Validate refuses ranges that are empty, inverted or have a bound that is too long.
func (r Range) Validate() error {
	for _, bound := range []string{r.Start, r.End} {
		if len(bound) > MaxKeyBytes {
			return fault.ForField(tooLong(EscapeKey(bound), len(bound)), "range")
		}
	}
	if r.End != "" && r.Start == r.End {
		return r.invalid("is empty: both ends are the same key").
			Fix("give an end that is greater than the start, or no end for no upper bound")
	}
	if r.Empty() {
		return r.invalid("is inverted: it ends before it starts").Fix("swap the two ends: %s", Range{r.End, r.Start})
	}
	return nil
}

func (r Range) invalid(format string, args ...any) *fault.Error {
	return rangeError(r.String(), format, args...)
}

func rangeError(text, format string, args ...any) *fault.Error {
	return fault.New(fault.InvalidRange, format, args...).On("range", text).Because(ErrRange)
}

// String is START:END, both escaped; ":" is everything.
func (r Range) String() string { return EscapeKey(r.Start) + ":" + EscapeKey(r.End) }

// ParseRange reads what String writes, and validates it.
func ParseRange(text string) (Range, error) {
	if n := strings.Count(text, ":"); n != 1 {
		return Range{}, rangeError(text, "has %d colons, and START:END has one", n).
			Fix(`leave a side empty for no bound, and write \x3a for a colon in a key`)
	}
	start, end, _ := strings.Cut(text, ":")
	r := Range{}
	var err error
	if r.Start, err = ParseKey(start); err != nil {
		return Range{}, fault.ForField(err, "start")
	}
	if r.End, err = ParseKey(end); err != nil {
		return Range{}, fault.ForField(err, "end")
	}
	return r, r.Validate()
}

// Contains says whether the key is in the range.
func (r Range) Contains(key string) bool {
	return r.Start <= key && (r.End == "" || key < r.End)
}

// ContainsRange says whether every key of o is in r; an empty o is in any range.
func (r Range) ContainsRange(o Range) bool {
	return o.Empty() || !r.Empty() && r.Start <= o.Start && compareEnds(o.End, r.End) <= 0
}

// Overlaps says whether some key is in both ranges.
func (r Range) Overlaps(o Range) bool {
	_, ok := r.Intersect(o)
	return ok
}

// Touches says whether one range ends where the other starts: no key is in both, and none is between them.
func (r Range) Touches(o Range) bool {
	if r.Empty() || o.Empty() {
		return false
	}
	return r.End != "" && r.End == o.Start || o.End != "" && o.End == r.Start
}

// Intersect gives the keys that are in both ranges, and false if there are none.
func (r Range) Intersect(o Range) (Range, bool) {
	both := Range{Start: max(r.Start, o.Start), End: minEnd(r.End, o.End)}
	if r.Empty() || o.Empty() || both.Empty() {
		return Range{}, false
	}
	return both, true
}

// Compare orders ranges by start, then by end.
func (r Range) Compare(o Range) int {
	return cmp.Or(cmp.Compare(r.Start, o.Start), compareEnds(r.End, o.End))
}

// compareEnds orders upper bounds: none is the greatest.
func compareEnds(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == "":
		return 1
	case b == "":
		return -1
	}
	return cmp.Compare(a, b)
}

func minEnd(a, b string) string {
	if compareEnds(a, b) <= 0 {
		return a
	}
	return b
}

func maxEnd(a, b string) string {
	if compareEnds(a, b) >= 0 {
		return a
	}
	return b
}
