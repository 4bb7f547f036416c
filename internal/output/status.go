package output

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Count is how many there are in one state or stage.
type Count struct {
	Name   string
	Number int64
}

// States are all counts but the total.
func (c SpanCounts) States() []Count {
	return []Count{
		{"running", c.Running},
		{"absent", c.Absent},
		{"opening", c.Opening},
		{"closing", c.Closing},
		{"paused", c.Paused},
		{"failing", c.Failing},
		{"stuck", c.Stuck},
		{"quarantined", c.Quarantined},
	}
}

// String gives the states that occur: "8: 7 running, 1 opening".
func (c SpanCounts) String() string { return counts(c.Total, c.States()) }

// States are all counts but the total.
func (c NodeCounts) States() []Count {
	return []Count{
		{"ready", c.Ready},
		{"cordoned", c.Cordoned},
		{"draining", c.Draining},
		{"drained", c.Drained},
		{"unreachable", c.Unreachable},
		{"gone", c.Gone},
	}
}

// String gives the states that occur.
func (c NodeCounts) String() string { return counts(c.Total, c.States()) }

// Stages are all counts but the total.
func (c OperatorCounts) Stages() []Count {
	return []Count{
		{"queued", c.Queued},
		{"closing", c.Closing},
		{"handed_off", c.HandedOff},
		{"opening", c.Opening},
	}
}

// String gives the stages that occur.
func (c OperatorCounts) String() string { return counts(c.Total, c.Stages()) }

func counts(total int64, parts []Count) string {
	var texts []string
	for _, c := range parts {
		if c.Number != 0 {
			texts = append(texts, fmt.Sprintf("%d %s", c.Number, strings.ReplaceAll(c.Name, "_", " ")))
		}
	}
	if len(texts) == 0 {
		return fmt.Sprint(total)
	}
	return fmt.Sprintf("%d: %s", total, strings.Join(texts, ", "))
}

var statusColumns = []column[Status]{
	{head: "CLUSTER", cell: func(s Status) string { return s.Cluster }},
	{head: "LEADER", cell: func(s Status) string { return string(cmp.Or(s.Leader, "nobody leads")) }},
	{head: "TERM", cell: func(s Status) string { return number(s.Term) }},
	{head: "REVISION", cell: func(s Status) string { return number(s.Revision) }},
	{head: "MAINTAINERS", cell: func(s Status) string { return strings.Join(each(s.Maintainers, maintainerText), "\n") }},
	{head: "NODES", cell: func(s Status) string { return s.Nodes.String() }},
	{head: "SPANS", cell: func(s Status) string { return s.Spans.String() }},
	{head: "OPERATORS", cell: func(s Status) string { return s.Operators.String() }},
	{head: "KEYSPACES", cell: func(s Status) string { return strings.Join(each(s.Keyspaces, keyspaceText), "\n") }},
	{head: "PROBLEMS", cell: func(s Status) string { return strings.Join(each(s.Problems, problemText), "\n") }},
}

// Status prints how the cluster stands. Planners are told of while some are paused.
func (p Printer) Status(s Status) error {
	cols := statusColumns
	if len(s.Paused) > 0 {
		cols = append(slices.Clone(cols), column[Status]{head: "PAUSED", cell: func(s Status) string { return strings.Join(s.Paused, ", ") }})
	}
	return object(p, s, cols)
}

func maintainerText(m Maintainer) string {
	text := m.Name + " " + string(m.Address)
	if m.Leader {
		text += " (leader)"
	}
	if m.Draining {
		text += " (draining)"
	}
	return text
}

func keyspaceText(k Keyspace) string {
	text := fmt.Sprintf("%s %s %s, spans %s", k.Name, k.Workload, k.State, k.SpansText())
	if l := lag(k.LagMS); l != "" {
		text += ", lag " + l
	}
	if c := progress(k.Copied, k.CopyTotal); c != "" {
		text += ", copied " + c
	}
	return text
}

func problemText(p Problem) string {
	where := strings.Join(without([]string{string(p.Keyspace), string(p.Span), string(p.Node)}, ""), " ")
	text := strings.Join(without([]string{p.Kind, where}, ""), " ") + ": " + p.Message
	if since := clock(p.Since); since != "" {
		text += " (since " + since + ")"
	}
	return text
}

func without(in []string, drop string) []string {
	var out []string
	for _, s := range in {
		if s != drop {
			out = append(out, s)
		}
	}
	return out
}

var violationColumns = []column[Violation]{
	{head: "INVARIANT", cell: func(v Violation) string { return v.Invariant }},
	{head: "KEYSPACE", cell: func(v Violation) string { return string(v.Keyspace) }},
	{head: "SPAN", cell: func(v Violation) string { return string(v.Span) }},
	{head: "REVISION", cell: func(v Violation) string { return fmt.Sprint(v.Revision) }},
	{head: "MESSAGE", cell: func(v Violation) string { return v.Message }},
}

var badRecordColumns = []column[BadRecord]{
	{head: "UNREADABLE", cell: func(b BadRecord) string { return b.Key }},
	{head: "REVISION", cell: func(b BadRecord) string { return fmt.Sprint(b.Revision) }},
	{head: "MESSAGE", cell: func(b BadRecord) string { return b.Message }},
}

// Check prints the result of an audit.
func (p Printer) Check(c Check) error {
	c.Violations, c.Problems = some(c.Violations), some(c.Problems)
	if p.Format == JSON {
		return p.json(c)
	}
	verdict := "no violation"
	if !c.OK {
		verdict = fmt.Sprintf("%d violations", len(c.Violations)+c.More)
	}
	if _, err := fmt.Fprintf(p.Out, "%s in revisions %d to %d\n", verdict, c.HistoryFrom, c.Revision); err != nil {
		return err
	}
	if len(c.Violations) > 0 {
		if err := writeTable(p.Out, true, c.Violations, violationColumns); err != nil {
			return err
		}
	}
	if len(c.Problems) == 0 {
		return nil
	}
	return writeTable(p.Out, true, c.Problems, badRecordColumns)
}

var exampleColumns = []column[Example]{
	{head: "KIND", cell: func(e Example) string { return e.Kind }},
	{head: "KEY", cell: func(e Example) string { return e.Key }},
	{head: "DEST_KEY", wide: true, cell: func(e Example) string { return e.DestKey }},
	{head: "SOURCE_REV", cell: func(e Example) string { return number(e.SourceRevision) }},
	{head: "DEST_REV", cell: func(e Example) string { return number(e.DestRevision) }},
	{head: "COMPARED_AT", cell: func(e Example) string { return number(e.ComparedAt) }},
	{head: "RANGE", cell: func(e Example) string { return e.Range }},
}

// Diff prints how a mirror compares.
func (p Printer) Diff(d Diff) error {
	d.Examples = some(d.Examples)
	if p.Format == JSON {
		return p.json(d)
	}
	verdict := "equal"
	if !d.Equal {
		verdict = "unequal"
	}
	_, err := fmt.Fprintf(p.Out, "%s: %d keys compared, %d missing, %d extra, %d different\n",
		verdict, d.Compared, d.Missing, d.Extra, d.Different)
	if err != nil || len(d.Examples) == 0 {
		return err
	}
	return writeTable(p.Out, p.Format == Wide, d.Examples, exampleColumns)
}

// Version prints what the binary is.
func (p Printer) Version(v Version) error {
	if p.Format == JSON {
		return p.json(v)
	}
	_, err := fmt.Fprintf(p.Out, "spanward %s (%s, %s)\n", v.Version, cmp.Or(v.Commit, "no commit"), v.Go)
	return err
}

// Names prints a list of names, under what they are.
func (p Printer) Names(what string, names []string) error {
	return list(p, what, names, []column[string]{{head: strings.ToUpper(what), cell: func(s string) string { return s }}})
}
