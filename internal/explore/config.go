package explore

import (
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// Config bounds an exploration.
type Config struct {
	Name string
	// Nodes that exist; each has one living process at the start.
	Nodes []string
	// Spans at the start.
	Spans []Start
	// Ops that may be accepted, each once, in any order and at any moment at which the leader would.
	Ops []Op
	Budget
	// Unfenced: the sink takes every write, so that only waiting protects it. Sessions then end either by expiry, with
	// their process, or from outside, under a process that acts until its own clock stops it.
	Unfenced bool
	// Coarse: instances cannot choose the position that they close at.
	Coarse bool
	// Keyspace is the state of the only keyspace; zero is running.
	Keyspace record.KeyspaceState
	// MaxStates ends the exploration early; what it has not seen is not claimed. Zero is no bound.
	MaxStates int
	// Mutant, if set, breaks a rule.
	Mutant Mutant
}

// Start is a span at the start. Owner is a node, or empty.
type Start struct {
	ID    span.ID
	Range span.Range
	Owner string
}

// Op is a change that a user asks for.
type Op struct {
	Kind  record.Kind
	Spans []span.ID
	To    string   // of a move
	At    []string // of a split
}

// Budget bounds the faults of an exploration. Whoever spends from it does so at any moment.
type Budget struct {
	Kills   uint8 // kill -9; the session ends later
	Zombies uint8 // sessions that end under a process that goes on
	Leaders uint8 // changes of the leader
	Lost    uint8 // answers of transactions that were carried out and whose senders do not learn it
	Slow    uint8 // answers that arrive later than what happens meanwhile
	Late    uint8 // requests of a leader that arrive late, perhaps in another term
	Copies  uint8 // transactions sent twice, whose second copy lands whenever it likes; late writes of the leader
	Cancels uint8 // cancels by the user
	Aborts  uint8 // aborts of late openings
	Stops   uint8 // clean stops of a process
	Fails   uint8 // failures of a workload: to open, to close, to go on
	Steps   uint8 // progress of an instance
}

// Mutant takes a rule away.
type Mutant struct {
	// Send changes a transaction before it is sent. Leader says that it is the leader's.
	Send func(s Sent) Sent
	// Fenceless says that transactions of sessions that are over may land, so that the model must not take them for dead.
	Fenceless bool
	// Early says that Close is taken to have ended at once, while the instance goes on.
	Early bool
}

// Sent is a transaction on its way.
type Sent struct {
	Part   txn.Part
	Outer  []txn.Cmp
	Leader bool
}

// Result is what an exploration came to.
type Result struct {
	States, Transitions, Depth int
	// Clean counts the states in which everything accepted has ended and every span runs.
	Clean int
	Time  time.Duration
	// Truncated: MaxStates was reached; liveness was not looked at.
	Truncated bool
	Violation *Violation
}

// Violation is what must not be, with the shortest way there.
type Violation struct {
	What  string
	Trace []string
	// After is how many states had been seen.
	After int
}

const (
	clusterName  = "c"
	keyspaceName = "k"
)

var epoch = time.Unix(1_000_000, 0).UTC()

func refOf(id span.ID) operator.Ref { return operator.Ref{Keyspace: keyspaceName, ID: id} }
