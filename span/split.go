package span

import "github.com/spanward/spanward/internal/fault"

// Split cuts the range at the keys, which must be strictly inside it, sorted and distinct. The parts cover r and touch one
// another, in order.
func (r Range) Split(at ...string) ([]Range, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if len(at) == 0 {
		return nil, fault.New(fault.InvalidArgument, "no key to split at").On("at", "").
			Fix("name at least one key inside %s", r).Because(ErrKey)
	}
	parts := make([]Range, 0, len(at)+1)
	start := r.Start
	for i, key := range at {
		if err := r.splitsAt(key, at[:i]); err != nil {
			return nil, err
		}
		parts = append(parts, Range{start, key})
		start = key
	}
	return append(parts, Range{start, r.End}), nil
}

// splitsAt checks one split key against the range and the keys before it.
func (r Range) splitsAt(key string, before []string) error {
	bad := func(format string, args ...any) *fault.Error {
		return keyError(EscapeKey(key), format, args...).On("at", EscapeKey(key))
	}
	if len(key) > MaxKeyBytes {
		return fault.ForField(tooLong(EscapeKey(key), len(key)), "at")
	}
	if key == r.Start || !r.Contains(key) {
		return bad("is not strictly inside %s", r).Fix("choose a key greater than the start and less than the end")
	}
	if len(before) == 0 {
		return nil
	}
	switch last := before[len(before)-1]; {
	case key == last:
		return bad("is named twice").Fix("name every split key once")
	case key < last:
		return bad("comes after %s, which is greater", EscapeKey(last)).Fix("name the split keys in ascending order")
	}
	return nil
}

// Merge joins ranges that touch one another, given in any order, into one. There must be at least two, without a hole or
// an overlap.
func Merge(rs ...Range) (Range, error) {
	for _, r := range rs {
		if err := r.Validate(); err != nil {
			return Range{}, err
		}
	}
	if len(rs) < 2 {
		return Range{}, fault.New(fault.InvalidArgument, "%d of them cannot be merged", len(rs)).On("ranges", "").
			Fix("name at least two adjacent ones").Because(ErrRange)
	}
	order := sorted(rs)
	for i, r := range order[1:] {
		if err := order[i].mergesWith(r); err != nil {
			return Range{}, err
		}
	}
	return Range{order[0].Start, order[len(order)-1].End}, nil
}

// mergesWith checks a range against the next one in order.
func (r Range) mergesWith(next Range) error {
	if both, ok := r.Intersect(next); ok {
		return next.invalid("overlaps %s in %s", r, both).Fix("merge ranges that only touch")
	}
	if !r.Touches(next) {
		return next.invalid("is not adjacent to %s: between them is %s", r, Range{r.End, next.Start}).
			Fix("include what covers the hole")
	}
	return nil
}
