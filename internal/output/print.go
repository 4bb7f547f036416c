package output

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanward/spanward/span"
)

var spanColumns = []column[Span]{
	{head: "KEYSPACE", cell: func(s Span) string { return s.Keyspace }},
	{head: "SPAN", cell: func(s Span) string { return s.ID }},
	{head: "RANGE", cell: rangeText},
	{head: "STATE", cell: func(s Span) string { return s.State }},
	{head: "NODE", cell: func(s Span) string { return string(s.Node) }},
	{head: "CHECKPOINT", cell: func(s Span) string { return number(s.Checkpoint) }},
	{head: "LAG", cell: func(s Span) string { return lag(s.LagMS) }},
	{head: "COPY", cell: func(s Span) string { return progress(s.Copied, s.CopyTotal) }},
	{head: "LOAD", wide: true, cell: func(s Span) string { return load(s.Load) }},
	{head: "SIZE", wide: true, cell: func(s Span) string { return load(s.Size) }},
	{head: "OPERATOR", cell: func(s Span) string { return string(s.Operator) }},
	{head: "SESSION", wide: true, cell: func(s Span) string { return number(s.Session) }},
	{head: "TOKEN", wide: true, cell: func(s Span) string { return number(s.Token) }},
	{head: "REVISION", wide: true, cell: func(s Span) string { return strconv.FormatInt(s.Revision, 10) }},
	{head: "PARENTS", wide: true, cell: func(s Span) string { return strings.Join(s.Lineage.Parents, " ") }},
	{head: "CHILDREN", wide: true, cell: func(s Span) string { return strings.Join(s.Lineage.Children, " ") }},
	{head: "WHY", wide: true, cell: func(s Span) string { return string(s.Why) }},
	{head: "ERROR", cell: func(s Span) string { return string(s.LastError) }},
}

// spanLines tell all of one span, also what nobody asks the scheduler for a whole list.
var spanLines = replaced(spanColumns, column[Span]{head: "WHY", cell: func(s Span) string { return string(s.Why) }}, "WHY",
	column[Span]{head: "NEXT", cell: func(s Span) string { return string(s.Next) }})

func rangeText(s Span) string {
	if s.Start == nil || s.End == nil {
		return ""
	}
	return span.Range{Start: string(*s.Start), End: string(*s.End)}.String()
}

// Spans prints a list of spans.
func (p Printer) Spans(in []Span) error { return list(p, "spans", in, spanColumns) }

// Span prints one span.
func (p Printer) Span(s Span) error { return object(p, s, spanLines) }

var nodeColumns = []column[Node]{
	{head: "NODE", cell: func(n Node) string { return n.Name }},
	{head: "STATE", cell: func(n Node) string { return n.State }},
	{head: "SPANS", cell: func(n Node) string { return strconv.FormatInt(n.Spans, 10) }},
	{head: "CAPACITY", wide: true, cell: func(n Node) string { return strconv.FormatInt(n.Capacity, 10) }},
	{head: "WEIGHT", wide: true, cell: func(n Node) string { return load(n.Weight) }},
	{head: "WORKLOADS", cell: func(n Node) string { return strings.Join(n.Workloads, " ") }},
	{head: "ADDRESS", cell: func(n Node) string { return string(n.Address) }},
	{head: "SESSION", wide: true, cell: func(n Node) string { return number(n.Session) }},
	{head: "LABELS", wide: true, cell: func(n Node) string { return pairs(n.Labels) }},
	{head: "VERSION", wide: true, cell: func(n Node) string { return string(n.Version) }},
	{head: "MAY_ACT", cell: func(n Node) string { return lag(n.MayActUntilMS) }},
	{head: "WHY", wide: true, cell: func(n Node) string { return string(n.Why) }},
}

// Nodes prints a list of nodes.
func (p Printer) Nodes(in []Node) error { return list(p, "nodes", in, nodeColumns) }

// Node prints one node.
func (p Printer) Node(n Node) error { return object(p, n, nodeColumns) }

var drainColumns = []column[DrainMove]{
	{head: "SPAN", cell: func(m DrainMove) string { return m.Span }},
	{head: "KEYSPACE", cell: func(m DrainMove) string { return m.Keyspace }},
	{head: "FROM", cell: func(m DrainMove) string { return m.From }},
	{head: "TO", cell: func(m DrainMove) string { return m.To }},
	{head: "REASON", cell: func(m DrainMove) string { return m.Reason }},
}

// Drain prints a plan to drain a node: what would move, and below it what can go nowhere. A reason is never cut short.
func (p Printer) Drain(d Drain) error {
	if p.Format == JSON {
		d.Moves, d.Stuck = some(d.Moves), some(d.Stuck)
		return p.json(d)
	}
	rows := slices.Clone(d.Moves)
	for _, s := range d.Stuck {
		rows = append(rows, DrainMove{Keyspace: s.Keyspace, Span: s.Span, From: d.Node, Reason: s.Reason})
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintf(p.Out, "node %s has nothing to move\n", d.Node)
		return err
	}
	return writeTable(p.Out, true, rows, drainColumns)
}

var keyspaceColumns = []column[Keyspace]{
	{head: "KEYSPACE", cell: func(k Keyspace) string { return k.Name }},
	{head: "WORKLOAD", cell: func(k Keyspace) string { return k.Workload }},
	{head: "STATE", cell: func(k Keyspace) string { return k.State }},
	{head: "SPANS", cell: Keyspace.SpansText},
	{head: "RANGES", cell: func(k Keyspace) string { return few(k.Ranges) }},
	{head: "CHECKPOINT", cell: func(k Keyspace) string { return number(k.Checkpoint) }},
	{head: "LAG", cell: func(k Keyspace) string { return lag(k.LagMS) }},
	{head: "COPY", cell: func(k Keyspace) string { return progress(k.Copied, k.CopyTotal) }},
	{head: "SET", wide: true, cell: func(k Keyspace) string { return pairs(k.Set) }},
}

// SpansText counts its spans, or says how far its creation is.
func (k Keyspace) SpansText() string {
	if k.ExpectedSpans != nil {
		return fmt.Sprintf("%d of %d made", k.Spans.Total, *k.ExpectedSpans)
	}
	return k.Spans.String()
}

// shownRanges is how many ranges a person is shown; JSON has all of them.
const shownRanges = 20

func few(ranges []string) string {
	if more := len(ranges) - shownRanges; more > 0 {
		return fmt.Sprintf("%s … and %d more", strings.Join(ranges[:shownRanges], " "), more)
	}
	return strings.Join(ranges, " ")
}

// Keyspaces prints a list of keyspaces.
func (p Printer) Keyspaces(in []Keyspace) error { return list(p, "keyspaces", in, keyspaceColumns) }

// Keyspace prints one keyspace.
func (p Printer) Keyspace(k Keyspace) error { return object(p, k, keyspaceColumns) }

var lookupColumns = []column[Lookup]{
	{head: "KEYSPACE", cell: func(l Lookup) string { return l.Keyspace }},
	{head: "KEY", cell: func(l Lookup) string { return l.Key.String() }},
	{head: "SPAN", cell: func(l Lookup) string { return string(l.Span) }},
	{head: "NODE", cell: func(l Lookup) string { return string(l.Node) }},
	{head: "ADDRESS", cell: func(l Lookup) string { return string(l.Address) }},
	{head: "TOKEN", cell: func(l Lookup) string { return number(l.Token) }},
	{head: "STATE", cell: func(l Lookup) string { return l.State }},
}

// Lookup prints whose a key is.
func (p Printer) Lookup(l Lookup) error { return object(p, l, lookupColumns) }

// Config prints settings. Whose a flag is has to be seen: the next leader may have others.
func (p Printer) Config(c Config) error {
	if p.Format == JSON {
		return p.json(c)
	}
	sound := !slices.ContainsFunc(c.Values, func(v ConfigValue) bool { return v.Problem != "" })
	return writeTable(p.Out, p.Format == Wide, c.Values, []column[ConfigValue]{
		{head: "KEY", cell: func(v ConfigValue) string { return v.Key }},
		{head: "VALUE", cell: func(v ConfigValue) string { return string(v.Value) }},
		{head: "ORIGIN", cell: func(v ConfigValue) string {
			if v.Origin == "flag" {
				return "flag of " + string(c.Maintainer)
			}
			return v.Origin
		}},
		{head: "DEFAULT", cell: func(v ConfigValue) string { return string(v.Default) }},
		{head: "BOUNDS", wide: true, cell: ConfigValue.bounds},
		{head: "SCOPE", wide: true, cell: func(v ConfigValue) string { return string(v.Scope) }},
		{head: "PROBLEM", wide: sound, cell: func(v ConfigValue) string { return string(v.Problem) }},
		{head: "HELP", wide: true, cell: func(v ConfigValue) string { return string(v.Help) }},
	})
}

func (v ConfigValue) bounds() string {
	if v.Least == "" {
		return ""
	}
	return fmt.Sprintf("%s to %s", v.Least, v.Most)
}

func number[T int64 | uint64](n *T) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}

// load has no unit, and more digits than a person needs.
func load(l *float64) string {
	switch {
	case l == nil:
		return ""
	case *l >= 1000 && *l < 1e12:
		return strconv.FormatFloat(*l, 'f', 0, 64)
	}
	return strconv.FormatFloat(*l, 'g', 4, 64)
}

// lag is a number of milliseconds that is read by people.
func lag(ms *int64) string {
	if ms == nil {
		return ""
	}
	d := time.Duration(*ms) * time.Millisecond
	if d >= time.Minute {
		d = d.Round(time.Second)
	}
	return d.String()
}

// progress of an initial copy.
func progress(copied, total *int64) string {
	switch {
	case copied == nil:
		return ""
	case total == nil || *total == 0:
		return fmt.Sprint(*copied)
	}
	return fmt.Sprintf("%d/%d (%d%%)", *copied, *total, min(100, *copied*100 / *total))
}

func clock(t *Time) string {
	if t == nil {
		return ""
	}
	return time.Time(*t).UTC().Format(time.RFC3339)
}

func took(from, to *Time) string {
	if from == nil || to == nil {
		return ""
	}
	return time.Time(*to).Sub(time.Time(*from)).Round(time.Millisecond).String()
}

func pairs(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return strings.Join(out, " ")
}
