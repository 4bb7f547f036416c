package sim

import "time"

// Scenario is a cluster, and what happens to it.
type Scenario struct {
	Name string
	// Seed of everything that is left to chance.
	Seed uint64
	// Duration is how long is simulated, Tick how often the leader plans at most, Sample how often is measured, and Report
	// how often spans tell a load that changes.
	Duration, Tick, Sample, Report time.Duration
	// Settings of the cluster, as they are written.
	Settings  map[string]string
	Nodes     []Group
	Keyspaces []Keyspace
	Costs     Costs
	// Events in the order of their times.
	Events []Event
}

// Group is nodes that are alike. Their names are Name with a number each.
type Group struct {
	Count    int
	Name     string
	Labels   map[string]string
	Capacity int
	Weight   float64
	// Names are those that they get.
	Names []string
}

// Keyspace has spans of equal width over all keys.
type Keyspace struct {
	Name     string
	Spans    int
	Settings map[string]string
	// Created is when it is made. One that is made at 0 has been there for long, with every span at its place.
	Created time.Duration
	Load    Load
	Size    Amount
}

// Amount is a number of each span.
type Amount struct {
	// Mean over all spans of the keyspace; 0 is unknown.
	Mean float64
	// Among says how it differs between them.
	Among Among
	// Exponent of AmongZipf.
	Exponent float64
}

// Among says how a number differs between the spans of a keyspace.
type Among string

// Equal, anything up to twice the mean, or the n-th of them 1/n^Exponent as much as the first.
const (
	AmongEqual   Among = "equal"
	AmongUniform Among = "uniform"
	AmongZipf    Among = "zipf"
)

// Load is an amount that changes.
type Load struct {
	Amount
	// Curve of all spans together.
	Curve Curve
	// Period of the curve, and what it multiplies the amounts by in its valleys and on its peaks.
	Period    time.Duration
	Low, High float64
	// Changing is the share of the spans whose amount changes in a minute, each time by up to By, up or down.
	Changing, By float64
}

// Curve says how the load of a keyspace changes as time goes by.
type Curve string

// The curves.
const (
	CurveSteady Curve = "steady"
	CurveSquare Curve = "square"
	CurveSine   Curve = "sine"
)

// Costs are what operators cost, and how they go wrong.
type Costs struct {
	// Open and Close are how long one opening and one closing take.
	Open, Close time.Duration
	// SessionTTL is how long after its death a node is noticed to be gone.
	SessionTTL time.Duration
	// Failures is the share of openings that fail, Refused that of operators that are refused.
	Failures, Refused float64
}

// Event is something that happens to the cluster.
type Event struct {
	At time.Duration
	Do Action
}

// Action is what happens.
type Action interface {
	// String says it in a few words.
	String() string
	apply(e *engine)
}

// What a file may have in it.
const (
	maxDuration  = 366 * 24 * time.Hour
	maxNodes     = 100_000
	maxSpans     = 10_000_000
	maxKeyspaces = 10_000
	maxEvents    = 10_000
	maxSamples   = 100_000
	maxNumber    = 1e15
)
