package operator

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/spanward/spanward/span"
)

// nextSplit: the owner closes the span and makes the children. If it is gone the leader makes them, without an owner, and
// placement does the rest.
func nextSplit(r Records) []Action {
	m := r.Members[0]
	switch {
	case m.Owner.Present():
		return []Action{close1(m)}
	case lapsing(m):
		return []Action{Wait{m.Ref, ForLapse, m.Span.Owner.Node}}
	}
	return []Action{Swap{r.Members[:1]}}
}

// nextMerge gathers the sources at one owner, one at a time, so that the claims of a merge always have one actor; that one
// then claims, closes and swaps them all. Without any owner the leader swaps.
func nextMerge(r Records) []Action {
	members := slices.Clone(r.Members)
	slices.SortFunc(members, func(a, b Member) int { return a.Range.Compare(b.Range) })
	if gone := missingSource(members); gone != "" {
		return []Action{Fail{members, fmt.Sprintf("source %s does not exist any more", gone)}}
	}
	at, ok := gatheringPlace(members)
	for _, m := range members {
		// A key that nobody owns does not wait for the owners of others. Each death on the way would lengthen that.
		if ok && !m.Owner.Present() && !lapsing(m) {
			return []Action{place(m, gathered(at))}
		}
	}
	for _, m := range members {
		if lapsing(m) {
			return []Action{Wait{m.Ref, ForLapse, m.Span.Owner.Node}}
		}
	}
	if !ok {
		return []Action{Swap{members}}
	}
	var all []Ref
	for _, m := range members {
		if m.Span.Owner.Session != at.Span.Owner.Session {
			return []Action{close1(m)}
		}
		all = append(all, m.Ref)
	}
	if at.Owner == Unreachable {
		return []Action{close1(at)}
	}
	return []Action{AskClose{members[0].Span.Owner, all}}
}

// missingSource is a span that the merge names and that does not carry it any more.
func missingSource(members []Member) span.ID {
	for _, id := range members[0].Intent.Spans {
		if !slices.ContainsFunc(members, func(m Member) bool { return string(m.ID) == id }) {
			return span.ID(id)
		}
	}
	return ""
}

// gathered is where a source without an owner is opened. A node that no ask reaches may stay so for as long as it likes: a
// key does not go without an owner until then, but is opened anywhere, and gathered later.
func gathered(at Member) string {
	if at.Owner == Unreachable {
		return ""
	}
	return at.Span.Owner.Node
}

// gatheringPlace is a source at the owner of most of them, of those that answer; among equals the first by name.
func gatheringPlace(members []Member) (Member, bool) {
	has := map[int64]int{}
	var owners []Member
	for _, m := range members {
		if !m.Owner.Present() {
			continue
		}
		if has[m.Span.Owner.Session]++; has[m.Span.Owner.Session] == 1 {
			owners = append(owners, m)
		}
	}
	if len(owners) == 0 {
		return Member{}, false
	}
	best := slices.MinFunc(owners, func(a, b Member) int {
		return cmp.Or(
			-cmp.Compare(a.Owner, b.Owner), // one that answers
			-cmp.Compare(has[a.Span.Owner.Session], has[b.Span.Owner.Session]),
			cmp.Compare(a.Span.Owner.Node, b.Span.Owner.Node),
		)
	})
	return best, true
}
