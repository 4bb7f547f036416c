package maintainer

import (
	"slices"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/view"
)

// stepsOf is the way of an operator so far. Each of its spans may carry marks of its own, of the time before all of them
// are acted on together; claims are the stages that last.
func stepsOf(i *record.Intent, members []*view.Span, claims []*view.Claim) []*controlv1.Operator_Step {
	marks := marksOf(i, members)
	for _, c := range claims {
		m := record.Mark{Stage: c.Stage, At: c.At, Node: c.Node}
		if len(members) > 1 {
			m.Span = c.Ref.ID
		}
		marks = append(marks, m)
	}
	if len(members) > 1 {
		slices.SortStableFunc(marks, func(a, b record.Mark) int { return a.At.Compare(b.At) })
	}
	spans := i.Spans
	if i.Kind == record.KindAdd {
		spans = i.Results
	}
	var out []*controlv1.Operator_Step
	for _, m := range together(marks, max(len(spans), len(members))) {
		s := step(m.Stage, m.At, m.Node)
		if s.Span = string(m.Span); s.Span == "" && len(spans) == 1 {
			s.Span = spans[0]
		}
		out = append(out, s)
	}
	lasting(out)
	return out
}

// marksOf are all marks, each once. The order of one span's is that in which they were made, whatever the clocks said.
func marksOf(i *record.Intent, members []*view.Span) []record.Mark {
	marks := slices.Clone(i.Marks)
	for _, sp := range members {
		for _, m := range sp.Intent.Marks {
			if !slices.Contains(marks, m) {
				marks = append(marks, m)
			}
		}
	}
	return marks
}

// together makes one of the marks of n spans that reached a stage in one transaction.
func together(marks []record.Mark, n int) []record.Mark {
	same := func(a, b record.Mark) bool {
		return a.Stage == b.Stage && a.At.Equal(b.At) && a.Node == b.Node && a.Span != "" && b.Span != ""
	}
	var out []record.Mark
	for len(marks) > 0 {
		end := 1
		for end < len(marks) && same(marks[0], marks[end]) {
			end++
		}
		if m := marks[0]; n > 1 && end == n {
			m.Span = ""
			out = append(out, m)
		} else {
			out = append(out, marks[:end]...)
		}
		marks = marks[end:]
	}
	return out
}

// lasting says how long each step took: until the next one.
func lasting(steps []*controlv1.Operator_Step) {
	for n := range steps[:max(0, len(steps)-1)] {
		steps[n].DurationMs = between(steps[n].GetAt().AsTime(), steps[n+1].GetAt().AsTime())
	}
}

// aged lets the stage that an operator in flight is in count on. A watch leaves it out: it would tell of nothing else.
func aged(o *controlv1.Operator, now time.Time) *controlv1.Operator {
	if n := len(o.GetSteps()); n > 0 && o.GetOutcome() == "" {
		o.Steps[n-1].DurationMs = between(o.GetSteps()[n-1].GetAt().AsTime(), now)
	}
	return o
}

// between is never negative: two processes may have noted the two moments.
func between(from, to time.Time) *int64 {
	return new(max(0, to.Sub(from).Milliseconds()))
}

func renderCause(c *record.Cause) *controlv1.Operator_Cause {
	if c == nil {
		return nil
	}
	return &controlv1.Operator_Cause{By: record.ByName(c.By), Reason: c.Reason, RequestId: c.RequestID, Operator: c.Operator}
}
