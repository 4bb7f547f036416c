package output

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

var planColumns = []column[PlanOperator]{
	{head: "TYPE", cell: func(o PlanOperator) string { return o.Type }},
	{head: "KEYSPACE", cell: func(o PlanOperator) string { return o.Keyspace }},
	{head: "SPANS", cell: func(o PlanOperator) string { return strings.Join(o.SpanIDs(), " ") }},
	{head: "FROM", cell: func(o PlanOperator) string { return string(o.From) }},
	{head: "TO", cell: func(o PlanOperator) string { return string(o.To) }},
	{head: "AT", wide: true, cell: func(o PlanOperator) string { return strings.Join(each(o.At, Key.String), " ") }},
	{head: "BY", cell: func(o PlanOperator) string { return string(o.By) }},
	{head: "LOAD", cell: func(o PlanOperator) string { return load(o.Load) }},
	{head: "SIZE", wide: true, cell: func(o PlanOperator) string { return load(o.Size) }},
	{head: "REASON", cell: func(o PlanOperator) string { return string(o.Reason) }},
}

var planNodeColumns = []column[PlanNode]{
	{head: "NODE", cell: func(n PlanNode) string { return n.Name }},
	{head: "STATE", cell: func(n PlanNode) string { return n.State }},
	{head: "SPANS", cell: func(n PlanNode) string { return strconv.FormatInt(n.SpansBefore, 10) }},
	{head: "SPANS_AFTER", cell: func(n PlanNode) string { return strconv.FormatInt(n.SpansAfter, 10) }},
	{head: "LOAD", cell: func(n PlanNode) string { return load(&n.LoadBefore) }},
	{head: "LOAD_AFTER", cell: func(n PlanNode) string { return load(&n.LoadAfter) }},
	{head: "WEIGHT", wide: true, cell: func(n PlanNode) string { return load(&n.Weight) }},
	{head: "CAPACITY", wide: true, cell: func(n PlanNode) string { return strconv.FormatInt(n.Capacity, 10) }},
}

var planStuckColumns = []column[PlanStuck]{
	{head: "CANNOT_MOVE", cell: func(s PlanStuck) string { return s.Span }},
	{head: "KEYSPACE", cell: func(s PlanStuck) string { return s.Keyspace }},
	{head: "NODE", cell: func(s PlanStuck) string { return string(s.Node) }},
	{head: "REASON", cell: func(s PlanStuck) string { return s.Reason }},
}

// Plan prints what would follow, what it would do to the nodes, and what can go nowhere.
func (p Printer) Plan(plan Plan) error {
	if p.Format == JSON {
		return p.json(plan)
	}
	b := &strings.Builder{}
	fmt.Fprintln(b, plan.Summary())
	excerpt(b, p.Format, grouped(plan.Operators), planColumns)
	excerpt(b, p.Format, plan.Nodes, planNodeColumns)
	for _, line := range plan.balance() {
		fmt.Fprintln(b, line)
	}
	excerpt(b, p.Format, plan.Stuck, planStuckColumns)
	_, err := io.WriteString(p.Out, b.String())
	return err
}

// shownRows is how many rows a person is shown of a list that may be very long; -o wide and JSON have all of them.
const shownRows = 50

// excerpt prints the first rows of a table, after an empty line. What a person needs to decide is never cut short.
func excerpt[T any](b *strings.Builder, f Format, rows []T, cols []column[T]) {
	if len(rows) == 0 {
		return
	}
	more := len(rows) - shownRows
	if f != Wide {
		cols = slices.DeleteFunc(slices.Clone(cols), func(c column[T]) bool { return c.wide })
		rows = rows[:min(len(rows), shownRows)]
	}
	b.WriteByte('\n')
	_ = writeTable(b, true, rows, cols) // a Builder takes everything
	if f != Wide && more > 0 {
		fmt.Fprintf(b, "… and %d more: -o wide shows all\n", more)
	}
}

// causes of operators, what goes first in front.
var causes = []string{"failover", "user", "drain", "balance", "load"}

// grouped puts together what a person reads together; in the plan itself operators have the order in which they are asked for.
func grouped(in []PlanOperator) []PlanOperator {
	out := slices.Clone(in)
	rank := func(o PlanOperator) int { return slices.Index(causes, string(o.By)) }
	slices.SortStableFunc(out, func(a, b PlanOperator) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Keyspace, b.Keyspace))
	})
	return out
}

// Summary says in a line what the plan would do.
func (p Plan) Summary() string {
	text := "nothing to do: the scheduler would leave every span as it is"
	switch {
	case len(p.Operators) > 0:
		text = p.counted()
	case len(p.Stuck) > 0:
		text = "nothing can be done"
	}
	if n := len(p.Stuck); n > 0 {
		text += fmt.Sprintf("; %s can go nowhere", plural(n, "span"))
	}
	if len(p.Paused) > 0 {
		text += fmt.Sprintf("; paused, and would do nothing of it now: %s", strings.Join(p.Paused, ", "))
	}
	return text
}

// counted tells operators by type, and what they are for.
func (p Plan) counted() string {
	kinds, by := map[string]int{}, map[string]int{}
	sum := 0.0
	for _, o := range p.Operators {
		kinds[o.Type]++
		by[string(o.By)]++
		if o.Load != nil {
			sum += *o.Load
		}
	}
	text := numbers([]string{"move", "split", "merge"}, kinds, plural)
	text += " (" + numbers(causes, by, func(n int, name string) string { return fmt.Sprintf("%d for %s", n, name) }) + ")"
	if sum > 0 {
		text += ", of load " + load(&sum)
	}
	return text
}

// numbers tells how many there are of each name, those first that are known here.
func numbers(first []string, of map[string]int, say func(int, string) string) string {
	var out []string
	for _, name := range append(slices.Clone(first), slices.Sorted(maps.Keys(of))...) {
		if of[name] > 0 {
			out = append(out, say(of[name], name))
			delete(of, name)
		}
	}
	return strings.Join(out, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// balance says how even the nodes are that count before, and those that count after.
func (p Plan) balance() []string {
	before, after := p.carriers()
	if len(before) == 0 && len(after) == 0 {
		return nil
	}
	weighed := slices.ContainsFunc(p.Nodes, func(n PlanNode) bool { return n.Weight != p.Nodes[0].Weight })
	line := func(what string, was, is func(PlanNode) float64) string {
		if weighed {
			what += " and weight"
		}
		return fmt.Sprintf("%s: %s before; %s after", what, evenness(before, was), evenness(after, is))
	}
	out := []string{"", line("spans per node", func(n PlanNode) float64 { return float64(n.SpansBefore) }, func(n PlanNode) float64 { return float64(n.SpansAfter) })}
	if slices.ContainsFunc(p.Nodes, func(n PlanNode) bool { return n.LoadBefore > 0 || n.LoadAfter > 0 }) {
		out = append(out, line("load per node", func(n PlanNode) float64 { return n.LoadBefore }, func(n PlanNode) float64 { return n.LoadAfter }))
	}
	return out
}

// carriers are the nodes that are there to carry spans, before and after.
func (p Plan) carriers() (before, after []PlanNode) {
	for _, n := range p.Nodes {
		leaves := slices.Contains(p.Drain, n.Name) || slices.Contains(p.RemoveNodes, n.Name)
		switch n.State {
		case "new":
			after = append(after, n)
		case "gone", "drained":
		case "draining", "unreachable":
			before = append(before, n)
		default:
			before = append(before, n)
			if !leaves {
				after = append(after, n)
			}
		}
	}
	return before, after
}

// evenness compares the fullest node with the mean, each divided by its weight.
func evenness(nodes []PlanNode, carries func(PlanNode) float64) string {
	if len(nodes) == 0 {
		return "none"
	}
	most, sum, weight := 0.0, 0.0, 0.0
	for _, n := range nodes {
		w := n.Weight
		if w <= 0 {
			w = 1
		}
		most = max(most, carries(n)/w)
		sum, weight = sum+carries(n), weight+w
	}
	mean := sum / weight
	text := fmt.Sprintf("max %s, mean %s", load(&most), load(&mean))
	if mean > 0 {
		text += fmt.Sprintf(" (%.2f)", most/mean)
	}
	return text
}

// appliedColumns leave out what is the same for all operators of a plan.
var appliedColumns = slices.DeleteFunc(slices.Clone(operatorColumns), func(c column[Operator]) bool {
	return c.head == "BY" || c.head == "CREATED"
})

var refusedColumns = []column[Refused]{
	{head: "REFUSED", cell: func(r Refused) string { return r.Type }},
	{head: "KEYSPACE", cell: func(r Refused) string { return r.Keyspace }},
	{head: "SPANS", cell: func(r Refused) string { return strings.Join(r.Spans, " ") }},
	{head: "FROM", cell: func(r Refused) string { return string(r.From) }},
	{head: "TO", cell: func(r Refused) string { return string(r.To) }},
	{head: "REASON", cell: func(r Refused) string { return r.Reason }},
	{head: "MESSAGE", cell: func(r Refused) string {
		if r.Remedy == "" {
			return r.Message
		}
		return r.Message + "; " + r.Remedy
	}},
}

// Applied prints which operators of a plan were accepted, and which were not and why.
func (p Printer) Applied(a Applied) error {
	if p.Format == JSON {
		a.Operators, a.Refused = some(a.Operators), some(a.Refused)
		return p.json(a)
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s accepted, %d refused\n", plural(len(a.Operators), "operator"), len(a.Refused))
	excerpt(b, p.Format, a.Operators, appliedColumns)
	excerpt(b, p.Format, a.Refused, refusedColumns)
	_, err := io.WriteString(p.Out, b.String())
	return err
}

// EmptyPlan prints that a plan has asked for nothing.
func (p Printer) EmptyPlan() error {
	if p.Format == JSON {
		return p.Applied(Applied{})
	}
	_, err := fmt.Fprintln(p.Out, "the plan has no operators: nothing to do")
	return err
}

// Checked prints which operators of a plan would be asked for, and which would be refused and why.
func (p Printer) Checked(c Checked) error {
	if p.Format == JSON {
		c.Operators, c.Refused = some(c.Operators), some(c.Refused)
		return p.json(c)
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s would be asked for, %d refused\n", plural(len(c.Operators), "operator"), len(c.Refused))
	excerpt(b, p.Format, c.Operators, planColumns)
	excerpt(b, p.Format, c.Refused, refusedColumns)
	_, err := io.WriteString(p.Out, b.String())
	return err
}
