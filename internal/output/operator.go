package output

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

var operatorColumns = []column[Operator]{
	{head: "OPERATOR", cell: func(o Operator) string { return string(o.ID) }},
	{head: "TYPE", cell: func(o Operator) string { return o.Type }},
	{head: "KEYSPACE", cell: func(o Operator) string { return o.Keyspace }},
	{head: "SPANS", cell: func(o Operator) string { return strings.Join(o.Spans, " ") }},
	{head: "FROM", cell: func(o Operator) string { return string(o.From) }},
	{head: "TO", cell: func(o Operator) string { return string(o.To) }},
	{head: "AT", wide: true, cell: func(o Operator) string { return strings.Join(each(o.At, Key.String), " ") }},
	{head: "STAGE", cell: func(o Operator) string { return o.Stage }},
	{head: "OUTCOME", cell: func(o Operator) string { return o.Outcome }},
	{head: "BY", cell: func(o Operator) string { return string(o.By) }},
	{head: "REASON", wide: true, cell: func(o Operator) string { return string(o.Reason) }},
	{head: "CREATED", cell: func(o Operator) string { return clock(o.Created) }},
	{head: "TOOK", cell: func(o Operator) string { return took(o.Created, o.FinishedAt) }},
	{head: "REQUEST", wide: true, cell: func(o Operator) string { return string(o.RequestID) }},
	{head: "RESULTS", wide: true, cell: func(o Operator) string { return strings.Join(o.Results, " ") }},
	{head: "STEPS", wide: true, cell: steps},
	{head: "ENDED_BY", wide: true, cell: endedBy},
	{head: "ERROR", cell: func(o Operator) string { return string(o.Error) }},
}

// historyColumns are those of operators that are over: when they ended is what people look for, and all are at one stage.
var historyColumns = slices.DeleteFunc(replaced(operatorColumns, column[Operator]{
	head: "FINISHED", cell: func(o Operator) string { return clock(o.FinishedAt) },
}, "CREATED"), func(c column[Operator]) bool { return c.head == "STAGE" })

// operatorLines tell all of one operator, with a line for each step.
var operatorLines = replaced(replaced(operatorColumns, column[Operator]{head: "STEPS", cell: stepTable}, "STEPS"), column[Operator]{
	head: "CREATED", cell: func(o Operator) string { return precise(o.Created) },
}, "CREATED", column[Operator]{
	head: "FINISHED", cell: func(o Operator) string { return precise(o.FinishedAt) },
})

// replaced has another column in the place of one, and further ones after it.
func replaced[T any](cols []column[T], by column[T], head string, after ...column[T]) []column[T] {
	at := slices.IndexFunc(cols, func(c column[T]) bool { return c.head == head })
	return slices.Concat(cols[:at], []column[T]{by}, after, cols[at+1:])
}

// steps is the way of an operator with the time from its acceptance.
func steps(o Operator) string {
	return strings.Join(each(o.Steps, func(s Step) string {
		text := s.Stage
		if d := took(o.Created, s.At); d != "" {
			text += "+" + d
		}
		if s.Node != "" {
			text += "@" + string(s.Node)
		}
		return text
	}), " ")
}

var stepColumns = []column[Step]{
	{head: "AT", cell: func(s Step) string { return precise(s.At) }},
	{head: "STAGE", cell: func(s Step) string { return s.Stage }},
	{head: "FOR", cell: func(s Step) string { return lag(s.DurationMS) }},
	{head: "NODE", cell: func(s Step) string { return string(s.Node) }},
	{head: "SPAN", cell: func(s Step) string { return string(s.Span) }},
}

// stepTable has a line for each step: when, what, for how long, and where.
func stepTable(o Operator) string {
	if len(o.Steps) == 0 {
		return ""
	}
	var b strings.Builder
	_ = writeTable(&b, true, o.Steps, stepColumns) // a Builder takes everything
	return b.String()
}

// precise is a moment to the millisecond: steps follow each other closely.
func precise(t *Time) string {
	if t == nil {
		return ""
	}
	return time.Time(*t).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// endedBy says what ended an operator before it was done.
func endedBy(o Operator) string {
	if o.Cause == nil {
		return ""
	}
	text := "cancelled by " + cmp.Or(string(o.Cause.By), "somebody")
	if o.Cause.Operator != "" {
		text = "superseded by operator " + string(o.Cause.Operator)
	}
	if o.Cause.Reason != "" {
		text += ": " + string(o.Cause.Reason)
	}
	if o.Cause.RequestID != "" {
		text += " (request " + string(o.Cause.RequestID) + ")"
	}
	return text
}

// Operators prints a list of operators.
func (p Printer) Operators(in []Operator) error { return list(p, "operators", in, operatorColumns) }

// History prints a list of operators that are over.
func (p Printer) History(in []Operator) error { return list(p, "operators", in, historyColumns) }

// Operator prints one operator.
func (p Printer) Operator(o Operator) error { return object(p, o, operatorLines) }

// OperatorLine prints one line, for a watch.
func (p Printer) OperatorLine(o Operator) error {
	if p.Format == JSON {
		return p.json(o)
	}
	_, err := fmt.Fprintln(p.Out, OperatorText(o))
	return err
}

// OperatorText says in one line how an operator stands.
func OperatorText(o Operator) string {
	words := []string{string(o.ID), o.Type, o.Keyspace, strings.Join(o.Spans, ",")}
	switch {
	case o.To != "":
		words = append(words, string(cmp.Or(o.From, "-")+"→"+o.To))
	case o.From != "":
		words = append(words, "at", string(o.From))
	}
	words = append(words, cmp.Or(o.Outcome, o.Stage), took(o.Created, o.FinishedAt), string(o.Error))
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}
