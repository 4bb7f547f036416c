// Package span has the vocabulary of key ranges: what a range is, how it is typed and printed, and how sets of ranges cover,
// overlap, split and merge.
//
// What for: a keyspace is covered by spans, and every decision about them (is this add refused, is a key without an owner,
// may these two be merged) is a question about half-open ranges of raw key bytes. They are answered here, once.
//
// What is promised: all functions are pure and accept any input, empty, inverted and overlapping ranges included, unless they
// return an error. Printing and parsing are inverse to each other. Errors carry a reason, the value and the remedy;
// errors.Is tells [ErrKey] from [ErrRange].
//
// What is not: a Range built by hand is not checked, call [Range.Validate] where it enters. Ids are opaque: nothing may
// be read out of one. The functions over sets sort; keep a sorted index for millions of ranges.
//
// How it is used:
//
//	r, err := span.ParseRange(`a:b\xff`)
//	missing := span.Holes(ranges, r)
//
// Who may call it: anyone, from any goroutine. Arguments are never changed or kept.
package span
