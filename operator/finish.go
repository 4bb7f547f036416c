package operator

import (
	"slices"
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// finish turns the intent that all members carry into its history. Each member's copy has marks of its own; the history
// has them all, in the order of their times.
func finish(members []Span, o record.Outcome, why, node string, now time.Time) record.History {
	i := *members[0].Intent
	i.Marks = append(allMarks(members), record.Mark{Stage: record.StageFinished, At: now, Node: node})
	h := record.History{Intent: i, Outcome: o, FinishedAt: now, Error: why}
	for _, m := range members {
		h.Ranges = append(h.Ranges, m.Range)
	}
	return h
}

func allMarks(members []Span) []record.Mark {
	var all []record.Mark
	for _, m := range members {
		if m.Intent == nil {
			continue
		}
		for _, k := range m.Intent.Marks {
			if !slices.Contains(all, k) {
				all = append(all, k)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b record.Mark) int { return a.At.Compare(b.At) })
	return all
}

// marked is s with one more mark in its intent.
func marked(s Span, stage record.Stage, at time.Time, node string) Span {
	if s.Intent == nil {
		return s
	}
	m := record.Mark{Stage: stage, At: at, Node: node}
	if len(s.Intent.Spans) > 1 {
		m.Span = s.ID
	}
	s.Intent = s.Intent.Marked(m)
	return s
}

// inOrder sorts spans by their ranges.
func inOrder(spans []Span) []Span {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b Span) int { return a.Range.Compare(b.Range) })
	return spans
}

func ids(spans []Span) []string {
	out := make([]string, len(spans))
	for n, s := range spans {
		out[n] = string(s.ID)
	}
	return out
}

func ranges(spans []Span) []span.Range {
	out := make([]span.Range, len(spans))
	for n, s := range spans {
		out[n] = s.Range
	}
	return out
}
