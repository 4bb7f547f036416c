package audit

import (
	"github.com/tidwall/btree"

	"github.com/spanward/spanward/span"
)

// highest maps every key to the highest token that any owner of it had, and to what was noted with that token.
type highest[T any] struct{ parts *btree.BTreeG[part[T]] }

// part says that all keys of the range have the same highest token. Parts never overlap.
type part[T any] struct {
	span.Range
	token uint64
	note  T
}

func newHighest[T any]() *highest[T] {
	return &highest[T]{btree.NewBTreeGOptions(func(a, b part[T]) bool { return a.Start < b.Start }, btree.Options{NoLocks: true})}
}

// over lists the parts that share a key with r, in order.
func (h *highest[T]) over(r span.Range) []part[T] {
	var out []part[T]
	from := part[T]{Range: span.Range{Start: r.Start}}
	// The part that reaches into r from before it starts.
	h.parts.Descend(from, func(p part[T]) bool {
		if p.Start < r.Start && p.Overlaps(r) {
			out = append(out, p)
		}
		return p.Start >= r.Start
	})
	h.parts.Ascend(from, func(p part[T]) bool {
		if !p.Overlaps(r) {
			return false
		}
		out = append(out, p)
		return true
	})
	return out
}

// max is the part with the highest token among those that share a key with r.
func (h *highest[T]) max(r span.Range) (part[T], bool) {
	var top part[T]
	found := h.over(r)
	for _, p := range found {
		if p.token >= top.token {
			top = p
		}
	}
	return top, len(found) > 0
}

// raise notes that an owner of all of r had the token. Where a higher one is known, that stays.
func (h *highest[T]) raise(r span.Range, token uint64, note T) {
	rest := []span.Range{}
	for _, p := range h.over(r) {
		if p.token >= token {
			rest = append(rest, p.Range)
			continue
		}
		h.parts.Delete(p)
		for _, outside := range span.Subtract(p.Range, []span.Range{r}) {
			h.parts.Set(part[T]{outside, p.token, p.note})
		}
	}
	for _, free := range span.Subtract(r, rest) {
		h.parts.Set(part[T]{free, token, note})
	}
}
