package sim

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteTable prints a result for people. All samples are shown if it is to be wide, else a part of them.
func (r *Result) WriteTable(w io.Writer, wide bool) error {
	fmt.Fprintf(w, "%s: %s in virtual time, seed %d; the leader plans every %s at most\n", r.title(), brief(ms(r.DurationMS)), r.Seed, brief(ms(r.TickMS)))
	if len(r.Settings) > 0 {
		fmt.Fprintf(w, "with %s\n", assignments(r.Settings))
	}
	fmt.Fprintf(w, "\nWhat happened, and what followed until the next event:\n\n")
	if err := writeColumns(w, r.Events, eventColumns); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nOver time. Fullest is what the fullest node carries as a multiple of the mean: 1.00 is level.\n\n")
	samples := r.Samples
	if !wide {
		samples = thinned(samples)
	}
	if err := writeColumns(w, samples, sampleColumns); err != nil {
		return err
	}
	r.writeProblems(w)
	_, err := fmt.Fprintf(w, "\nIn all: %s. The leader planned in %s.\n", r.Operators.text(), some(r.Plans.Turns, "turn"))
	return err
}

func (r *Result) title() string {
	if r.Name == "" {
		return "a simulation"
	}
	return r.Name
}

// field is a column. One in which nothing stands but zeros is left out.
type field[T any] struct {
	head string
	cell func(T) string
}

const (
	nothing = "-"
	atOnce  = "at once"
)

var eventColumns = []field[Followed]{
	{"AT", func(f Followed) string { return brief(ms(f.AtMS)) }},
	{"EVENT", func(f Followed) string { return cut(f.Event) }},
	{"CALM AFTER", Followed.calm},
	{"BALANCED", func(f Followed) string { return counted(f.Operators.Balance) }},
	{"DRAINED", func(f Followed) string { return counted(f.Operators.Drain) }},
	{"FAILED OVER", func(f Followed) string { return counted(f.Operators.Failover) }},
	{"NEW OPENED", func(f Followed) string { return counted(f.Operators.Opened) }},
	{"OPENED AGAIN", func(f Followed) string { return counted(f.Operators.Retried) }},
	{"SPLITS", func(f Followed) string { return counted(f.Operators.Split) }},
	{"MERGES", func(f Followed) string { return counted(f.Operators.Merge) }},
	{"REFUSED", func(f Followed) string { return counted(f.Operators.Refused) }},
	{"FAILED", func(f Followed) string { return counted(f.Operators.Failed) }},
	{"GIVEN UP", func(f Followed) string { return counted(f.Operators.Late) }},
	{"WITHOUT OWNER", Followed.unowned},
}

func (f Followed) calm() string {
	switch {
	case f.CalmAfterMS == nil:
		return "not by then"
	case *f.CalmAfterMS == 0:
		return atOnce
	}
	return brief(ms(*f.CalmAfterMS))
}

func (f Followed) unowned() string {
	if f.UnownedMost == 0 {
		return nothing
	}
	return fmt.Sprintf("%s at most, up to %s", counted(f.UnownedMost), brief(ms(f.UnownedLongestMS)))
}

var sampleColumns = []field[Sample]{
	{"AT", func(s Sample) string { return brief(ms(s.AtMS)) }},
	{"NODES", func(s Sample) string { return counted(s.Nodes) }},
	{"SPANS", func(s Sample) string { return counted(s.Spans) }},
	{"FULLEST BY SPANS", func(s Sample) string { return multiple(s.SpansMaxMean) }},
	{"BY LOAD", func(s Sample) string { return multiple(s.LoadMaxMean) }},
	{"IN FLIGHT", func(s Sample) string { return counted(s.InFlight) }},
	{"MOVED", func(s Sample) string { return counted(s.Moves) }},
	{"OPENED", func(s Sample) string { return counted(s.Openings) }},
	{"SPLITS", func(s Sample) string { return counted(s.Splits) }},
	{"MERGES", func(s Sample) string { return counted(s.Merges) }},
	{"WITHOUT OWNER", func(s Sample) string { return counted(s.Unowned) }},
}

// shownSamples is about how many a person is shown.
const shownSamples = 16

// thinned keeps the first, the last, and what is evenly between them.
func thinned(in []Sample) []Sample {
	step := (len(in) + shownSamples - 1) / shownSamples
	var out []Sample
	for i, s := range in {
		if i%max(step, 1) == 0 || i == len(in)-1 {
			out = append(out, s)
		}
	}
	return out
}

func (r *Result) writeProblems(w io.Writer) {
	if len(r.Problems) == 0 {
		return
	}
	fmt.Fprint(w, "\nProblems:\n\n")
	for _, p := range r.Problems {
		until := "to the end"
		if p.UntilMS != nil {
			until = "to " + brief(ms(*p.UntilMS))
		}
		fmt.Fprintf(w, "  from %s %s  %s\n", brief(ms(p.SinceMS)), until, p.text())
	}
}

func (p Problem) text() string {
	switch p.Kind {
	case problemDrain:
		return fmt.Sprintf("drain of %s: %s of %s %s", p.Node, some(p.Spans, "span"), p.Keyspace, p.Message)
	case problemPlacement:
		return fmt.Sprintf("placement: %s of %s: %s", some(p.Spans, "span"), p.Keyspace, p.Message)
	}
	return p.Message
}

func (c Counts) text() string {
	var parts []string
	for _, p := range []struct {
		n    int
		text string
	}{
		{c.Balance, "moved by balance"},
		{c.Drain, "drained"},
		{c.Failover, "failed over"},
		{c.Opened, "opened for the first time"},
		{c.Retried, "opened after that had failed elsewhere"},
		{c.Split, "split"},
		{c.Merge, "merged"},
		{c.Refused, "refused"},
		{c.Failed, "failed"},
		{c.Late, "given up"},
	} {
		if p.n > 0 {
			parts = append(parts, counted(p.n)+" "+p.text)
		}
	}
	if len(parts) == 0 {
		return "no operators"
	}
	return strings.Join(parts, ", ")
}

func writeColumns[T any](w io.Writer, items []T, cols []field[T]) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	shown := slices.DeleteFunc(slices.Clone(cols), func(c field[T]) bool {
		return !slices.ContainsFunc(items, func(item T) bool { return c.cell(item) != nothing })
	})
	var heads []string
	for _, c := range shown {
		heads = append(heads, c.head)
	}
	fmt.Fprintln(tw, strings.Join(heads, "\t"))
	for _, item := range items {
		var cells []string
		for _, c := range shown {
			cells = append(cells, c.cell(item))
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	return tw.Flush()
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func counted(n int) string {
	if n == 0 {
		return nothing
	}
	return grouped(int64(n))
}

func multiple(x *float64) string {
	if x == nil {
		return nothing
	}
	return strconv.FormatFloat(*x, 'f', 2, 64)
}

// maxEvent bounds the text of an event in a table, in characters.
const maxEvent = 70

func cut(s string) string {
	if r := []rune(s); len(r) > maxEvent {
		return string(r[:maxEvent-1]) + "…"
	}
	return s
}
