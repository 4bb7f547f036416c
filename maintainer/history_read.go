package maintainer

import (
	"slices"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// filter says which operators are asked for. Zero fields do not filter.
type filter struct {
	keyspace, span, kind, outcome string
	since                         time.Time
}

func (f filter) matches(o *controlv1.Operator) bool {
	has := func(want, is string) bool { return want == "" || want == is }
	return has(f.keyspace, o.GetKeyspace()) && has(f.kind, o.GetType()) && has(f.outcome, o.GetOutcome()) &&
		(f.span == "" || slices.Contains(o.GetSpans(), f.span) || slices.Contains(o.GetResults(), f.span)) &&
		!o.GetCreated().AsTime().Before(f.since)
}

// matchesHistory is matches for what is over, before anything is rendered. The keyspace, the span and the time are those of
// the index that it was found by.
func (f filter) matchesHistory(h *view.History) bool {
	return (f.kind == "" || f.kind == record.KindName(h.Intent.Kind)) &&
		(f.outcome == "" || f.outcome == record.OutcomeName(h.Outcome))
}

// finished are the newest finished operators that match, the oldest of them first, and whether there are more. It goes from
// the newest back, and no further than it has to.
func finished(s *view.State, f filter, limit int) (found []*view.History, more bool) {
	for _, name := range s.Names() {
		if f.keyspace != "" && f.keyspace != name {
			continue
		}
		n := 0
		for h := range f.candidates(s, name) {
			if n > limit || h.Ended().Before(f.since) {
				break
			}
			if f.matchesHistory(h) {
				found = append(found, h)
				n++
			}
		}
	}
	slices.SortStableFunc(found, func(a, b *view.History) int { return a.Ended().Compare(b.Ended()) })
	return found[max(0, len(found)-limit):], len(found) > limit
}

// candidates are the finished operators of a keyspace that are about the span, if one is asked for, the newest first.
func (f filter) candidates(s *view.State, keyspace string) func(func(*view.History) bool) {
	if f.span == "" {
		return s.HistoriesBack(keyspace)
	}
	return func(yield func(*view.History) bool) {
		for _, h := range slices.Backward(s.HistoriesOf(operator.Ref{Keyspace: keyspace, ID: span.ID(f.span)})) {
			if !yield(h) {
				return
			}
		}
	}
}

// lineage is where a span came from and what became of it, by its record and by the history.
func lineage(s *view.State, sp *view.Span) (parents, children []string) {
	parents = sp.Parents
	for _, h := range s.HistoriesOf(sp.Ref) {
		made := h.Intent.Kind == record.KindSplit || h.Intent.Kind == record.KindMerge
		if len(parents) == 0 && made && h.Outcome == record.OutcomeDone && slices.Contains(h.Intent.Results, string(sp.ID)) {
			parents = h.Intent.Spans
		}
	}
	for _, id := range s.Successors(sp.Ref) {
		children = append(children, string(id))
	}
	return parents, children
}
