package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spanward/spanward/span"
)

// NodeLabel is a label that every node has without being started with it: its name.
const NodeLabel = "node"

// Rules say which nodes the spans of a keyspace go to, beyond what these can carry. The zero value lets them go anywhere.
type Rules struct {
	// Require: a node that does not have all of it never takes a span.
	Require Terms
	// Prefer: nodes that have more of it take spans as long as one of them has room, however loaded they are.
	Prefer Terms
	// Spread is a label, "" for none. Of the nodes that are left by now, those are taken that have the value with the fewest
	// spans of the keyspace. Nodes without the label count as if they had one and the same further value.
	Spread string
	// Pins are ranges that only one node may run.
	Pins Pins
}

// Terms of a constraint. All must hold.
type Terms []Term

// Term holds on a node whose label has one of the values.
type Term struct {
	Label  string
	Values []string
}

// Pin ties the keys of a range to a node.
type Pin struct {
	Range span.Range
	Node  string
}

// Pins of a keyspace in the order of their ranges, which do not overlap.
type Pins []Pin

func (t Term) String() string { return t.Label + "=" + strings.Join(t.Values, "|") }

func (ts Terms) String() string {
	out := make([]string, len(ts))
	for i, t := range ts {
		out[i] = t.String()
	}
	return strings.Join(out, ",")
}

// Labels that the rules name, sorted.
func (r *Rules) Labels() []string {
	names := map[string]bool{}
	for _, t := range slices.Concat(r.Require, r.Prefer) {
		names[t.Label] = true
	}
	if r.Spread != "" {
		names[r.Spread] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// Lacks is the first required term that does not hold on the node, false if all hold.
func (r *Rules) Lacks(n Node) (Term, bool) {
	if r == nil {
		return Term{}, false
	}
	i := slices.IndexFunc(r.Require, func(t Term) bool { return !t.holds(n) })
	if i < 0 {
		return Term{}, false
	}
	return r.Require[i], true
}

// Pinned is the node that a span is tied to, "" if it is not: the one of the first pin that has a key of the range. So the
// parts of a span that is split stay pinned, as far as they have keys of the pin, and so does what it is merged into.
func (ps Pins) Pinned(r span.Range) string {
	for _, p := range ps {
		if p.Range.Overlaps(r) {
			return p.Node
		}
	}
	return ""
}

func (t Term) holds(n Node) bool {
	value, ok := n.label(t.Label)
	return ok && slices.Contains(t.Values, value)
}

// label of the node, false if it has none of that name.
func (n Node) label(name string) (string, bool) {
	if v, ok := n.Labels[name]; ok {
		return v, true
	}
	return n.Name, name == NodeLabel
}

// score is how many preferred terms hold on the node.
func (r *Rules) score(n Node) (held int) {
	for _, t := range r.Prefer {
		if t.holds(n) {
			held++
		}
	}
	return held
}

// spreadValue is what of the label that the keyspace is spread over the node has. It is empty for all nodes without it, and
// begins with = for the others, so that an empty value is one, too.
func (r *Rules) spreadValue(n Node) string {
	if v, ok := n.label(r.Spread); ok && r.Spread != "" {
		return "=" + v
	}
	return ""
}

// shape is equal for rules under which all nodes are ordered alike.
func (r *Rules) shape() string {
	return fmt.Sprintf("%q %q %q", r.Require.String(), r.Prefer.String(), r.Spread)
}
