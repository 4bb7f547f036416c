package scheduler

import (
	"time"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// Fleet is a cluster as the planners see it: nodes, and spans as they will be once everything in flight is done. It is
// changed as things change, so that a plan costs what follows from the changes, and neither it nor anything in it knows
// a clock. What a planner returns it has already noted as being in flight; SetSpan says what has become of it.
//
// It is not safe for concurrent use.
type Fleet struct {
	cfg BalanceConfig
	// TODO(H1): indexes
}

// Span is a span as the planners see it.
type Span struct {
	Ref      operator.Ref
	Range    span.Range
	Workload string
	// Rules and Pin are as those of a Want. Spans of a keyspace share one Rules.
	Rules *Rules
	Pin   string
	// Node that it is on once what is in flight on it is done, "" for none.
	Node string
	// Flight is the operator in flight on it; its zero value is none.
	Flight Flight
	// Settled: it runs on Node and is well. What is not settled is counted, and left alone.
	Settled bool
	// Avoid are nodes that failed to run it.
	Avoid []string
	// Since is when it came to its node, and Made when it was made; zero times are long ago.
	Since, Made time.Time
}

// Flight is an operator in flight on a span.
type Flight struct {
	// Class says whose budget it takes of; 0 for none: it is stuck, or nothing is in flight.
	Class Class
	// From and To are the nodes that take part, "" for none.
	From, To string
}

// Class of an operator, by what it is for. What is smaller goes first.
type Class uint8

// The classes.
const (
	ClassFailover Class = iota + 1
	ClassUser
	ClassDrain
	ClassBalance
	ClassReshape
)

// Load is what a span reports of itself. Negative values are unknown.
type Load struct {
	// Load is what nodes are balanced by, in units that can be added up over all spans.
	Load float64
	// Size of what it holds.
	Size float64
	// SplitKeys are keys at which it would split well.
	SplitKeys []string
}

// BalanceConfig is what Balance goes by.
type BalanceConfig struct {
	// CountTolerance and LoadTolerance are how far apart two nodes may be, as a part of their mean.
	CountTolerance, LoadTolerance float64
	// Cooldown is how long a span stays where it has come to.
	Cooldown time.Duration
	// InFlight is the most moves in flight, NodeInFlight of them with a part of one node, KeyspaceInFlight of one keyspace.
	// Zero is no limit.
	InFlight, NodeInFlight, KeyspaceInFlight int
}

// ReshapeConfig is what SplitsAndMerges goes by in a keyspace. A threshold of 0 is none.
type ReshapeConfig struct {
	SplitLoad, SplitSize float64
	SplitAfter           time.Duration
	MergeLoad, MergeSize float64
	MergeAfter           time.Duration
	// MinAge is how old a span must be.
	MinAge time.Duration
	// MaxSpans is the most that the keyspace may have; 0 is no limit.
	MaxSpans int
}

// NewFleet is empty.
func NewFleet() *Fleet { return &Fleet{} }

// Configure changes what Balance goes by, and how many splits and merges may be in flight; 0 is no limit.
func (f *Fleet) Configure(b BalanceConfig, reshapeInFlight int) {}

// SetKeyspace changes what SplitsAndMerges goes by in a keyspace.
func (f *Fleet) SetKeyspace(name string, c ReshapeConfig) {}

// SetNode adds a node or changes it. Its Spans, Of, Load and Budget are not looked at: the fleet knows them.
func (f *Fleet) SetNode(n Node) {}

// RemoveNode forgets a node. Spans on it stay on it until SetSpan says otherwise.
func (f *Fleet) RemoveNode(name string) {}

// SetSpan adds a span or changes it. What it has reported stays.
func (f *Fleet) SetSpan(s Span) {}

// RemoveSpan forgets a span.
func (f *Fleet) RemoveSpan(r operator.Ref) {}

// SetLoad takes what a span has reported. One that is not in the fleet is ignored.
func (f *Fleet) SetLoad(r operator.Ref, l Load, now time.Time) {}

// Nodes are all nodes as they will be, in the order of their names, without budgets. Of has what keyspaces with a spread
// have on them.
func (f *Fleet) Nodes() []Node { return nil }

// Balance moves spans so that nodes carry alike.
func (f *Fleet) Balance(now time.Time) []Move { return nil }

// SplitsAndMerges by load.
func (f *Fleet) SplitsAndMerges(now time.Time) ([]Split, []Merge) { return nil, nil }

// Split of a span for its load or size.
type Split struct {
	Ref    operator.Ref
	Node   string
	At     []string
	Reason string
	Load   Load
}

// Merge of neighbours for their load, in the order of their ranges.
type Merge struct {
	Keyspace string
	Spans    []span.ID
	Reason   string
	Load     Load
}

// NextBalance and NextReshape say when the planners may find something though nothing changes until then: false for never.
func (f *Fleet) NextBalance(now time.Time) (time.Time, bool) { return time.Time{}, false }

// NextReshape is the other one.
func (f *Fleet) NextReshape(now time.Time) (time.Time, bool) { return time.Time{}, false }

// Explain says what the planners would do next with a span, or why nothing: one sentence.
func (f *Fleet) Explain(r operator.Ref, now time.Time) string { return "" }
