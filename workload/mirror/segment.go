package mirror

import (
	"cmp"
	"slices"

	"github.com/spanward/spanward/span"
)

// A part is a range of source keys of which the destination holds exactly the state at one source revision.
type part struct {
	Range span.Range
	Rev   int64
}

// A segment is what is stored at a destination about one range: whose token fences it, and up to which revision its
// data goes. Keys of the range that are in no part have not been copied.
//
// Parts is what the owner found when it opened; At is one small number that it moves with every write of data. Up to
// it all parts have been brought, so that a part is at the greater of the two, and a span that was put together from
// pieces with different checkpoints needs no larger record for it.
type segment struct {
	ID    string
	Token uint64
	Range span.Range
	Parts []part
	At    int64
	// Sealed is the token of a newer owner that is taking the range over; 0 if there is none.
	Sealed uint64
	// Vacant says that nobody writes with this fence: it is what a newer owner left of a larger segment.
	Vacant bool
	// Mapping is how the keys are named at the destination. Parts of another mapping are elsewhere, and no help.
	Mapping mapping
	// Source is the cluster id of the source that the revisions are of.
	Source uint64
	// Leased says that destination keys may hang on leases, which can take them away while nobody keeps them alive.
	Leased bool
	// Span is the one that wrote it, Node is for people who look at the destination.
	Span, Node string
}

// A trust says whose positions count: everybody's, or those of these spans. A span that has no position itself may be
// new, and what lies at the destination may be of a keyspace that was deleted long ago; who knows what has happened
// there since. But what it had done itself before it could tell anyone, and what the spans had done that it was made
// from, is as good as ever.
type trust struct {
	all   bool
	spans []string
}

func (t trust) in(s segment) bool { return t.all || slices.Contains(t.spans, s.Span) }

// effective gives the parts with At applied, joined where they touch at one revision, in order.
func (s segment) effective() []part {
	out := make([]part, 0, len(s.Parts))
	for _, p := range sortedParts(s.Parts) {
		p.Rev = max(p.Rev, s.At)
		if n := len(out); n > 0 && out[n-1].Rev == p.Rev && out[n-1].Range.Touches(p.Range) {
			out[n-1].Range.End = p.Range.End
			continue
		}
		out = append(out, p)
	}
	return out
}

func sortedParts(ps []part) []part {
	ps = slices.Clone(ps)
	slices.SortFunc(ps, func(a, b part) int { return a.Range.Compare(b.Range) })
	return ps
}

// clipParts gives what of the parts is in r.
func clipParts(ps []part, r span.Range) []part {
	var out []part
	for _, p := range ps {
		if both, ok := p.Range.Intersect(r); ok {
			out = append(out, part{both, p.Rev})
		}
	}
	return out
}

// holes gives what of r is in no part.
func holes(ps []part, r span.Range) []span.Range {
	rs := make([]span.Range, len(ps))
	for i, p := range ps {
		rs[i] = p.Range
	}
	return span.Subtract(r, rs)
}

// lowest is the revision from which the changes of all parts must be seen again; 0 without parts.
func lowest(ps []part) int64 {
	if len(ps) == 0 {
		return 0
	}
	return slices.MinFunc(ps, func(a, b part) int { return cmp.Compare(a.Rev, b.Rev) }).Rev
}

// highest is the revision after which no part needs its own filter.
func highest(ps []part) int64 {
	var rev int64
	for _, p := range ps {
		rev = max(rev, p.Rev)
	}
	return rev
}

// revOf is the revision that the destination has of the key; -1 in a hole. Parts must be in order.
func revOf(ps []part, key string) int64 {
	i, _ := slices.BinarySearchFunc(ps, key, func(p part, key string) int {
		if p.Range.Contains(key) {
			return 0
		}
		return cmp.Compare(p.Range.Start, key)
	})
	if i < len(ps) && ps[i].Range.Contains(key) {
		return ps[i].Rev
	}
	return -1
}

// overlapping gives the segments that have keys in common with r, other than the one of that id.
func overlapping(all []segment, r span.Range, except string) []segment {
	var out []segment
	for _, s := range all {
		if s.ID != except && s.Range.Overlaps(r) {
			out = append(out, s)
		}
	}
	return out
}

// absorb moves what the taken segments hold of own's range into own, and gives what is left of them outside of it. The
// remainders keep their tokens: they still fence their keys, but under new ids, so that the former owner, whose range
// is no longer its own, can write nothing at all.
func absorb(own segment, taken []segment, whose trust) (segment, []segment) {
	own.Parts = slices.Clone(own.Parts)
	var left []segment
	for _, s := range taken {
		eff := s.effective()
		if s.Mapping == own.Mapping && whose.in(s) {
			own.Parts = append(own.Parts, clipParts(eff, own.Range)...)
			own.Leased = own.Leased || s.Leased
		}
		for _, r := range span.Subtract(s.Range, []span.Range{own.Range}) {
			rest := s
			rest.Range, rest.Parts, rest.At, rest.Sealed, rest.Vacant = r, clipParts(eff, r), 0, 0, true
			left = append(left, rest)
		}
	}
	own.Parts = segment{Parts: own.Parts}.effective()
	return own, left
}

// maxPartBytes bounds the bytes of the parts' keys in one stored segment. What does not fit is forgotten, and copied.
const maxPartBytes = 256 << 10

// bounded drops parts that would make the record too large for one request.
func bounded(ps []part) []part {
	size := 0
	for i, p := range ps {
		size += len(p.Range.Start) + len(p.Range.End) + 32
		if size > maxPartBytes {
			return ps[:i]
		}
	}
	return ps
}

// with gives the parts after r was copied at rev.
func with(ps []part, r span.Range, rev int64) []part {
	return segment{Parts: append(without(ps, r), part{r, rev})}.effective()
}

// without gives the parts after r was found to be unknown.
func without(ps []part, r span.Range) []part {
	var out []part
	for _, p := range ps {
		for _, rest := range span.Subtract(p.Range, []span.Range{r}) {
			out = append(out, part{rest, p.Rev})
		}
	}
	return out
}
