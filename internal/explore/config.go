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
	// Faults is how many faults of the kinds Of may happen in all, each at any moment.
	Faults uint8
	Of     Fault
	// Cancels is how many operators users may cancel.
	Cancels uint8
	// Unfenced: the sink takes every write, so that only waiting protects it. Sessions then end either by expiry, with
	// their process, or from outside, under a process that acts until its own clock stops it.
	Unfenced bool
	// OneAsk: an opening is not asked of a node while another one may still come to an earlier ask of the same span, so
	// there are no late asks, and no late copies of claims.
	OneAsk bool
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

// Fault is a kind of event that nobody wishes for; a set of them, too.
type Fault uint16

const (
	// Kill is kill -9; the session ends later.
	Kill Fault = 1 << iota
	// Zombie is a session that ends, by expiry, revocation or eviction, under a process that goes on.
	Zombie
	// NewLeader is a change of the leader.
	NewLeader
	// LostAnswer is a transaction that was carried out, and whose sender does not learn it.
	LostAnswer
	// SlowAnswer is an answer that arrives later than other things that happen meanwhile.
	SlowAnswer
	// LateAsk is a request of a leader that arrives whenever it likes, perhaps in another term.
	LateAsk
	// LateCopy is a transaction that was sent twice, whose second copy lands whenever it likes; or a leader's late write.
	LateCopy
	// TooLong is an opening that the leader asks to give up.
	TooLong
	// CleanStop is a process that stops.
	CleanStop
	// Failure of a workload: to open, to hold, to close, to go on.
	Failure
	// Progress of an instance. It is no fault, but must be bounded like one.
	Progress

	// NodeKey is the key of a node deleted by hand: its lease, and the claims on it, stay for a while.
	NodeKey
	// Claim is a claim deleted by hand. Who acts under it learns that when he ends his step; until then there may be two
	// owners, and only a fenced sink helps, so that is not looked at.
	Claim

	// Any fault but what people do by hand.
	Any = NodeKey - 1
)

// can reports whether another fault of a kind may happen.
func (x *explorer) can(s *state, f Fault) bool {
	if x.cfg.OneAsk && f&(LateAsk|LateCopy) != 0 {
		return false
	}
	return s.left > 0 && x.cfg.Of&f != 0
}

// Mutant takes a rule away.
type Mutant struct {
	// Send changes a transaction before it is sent. Leader says that it is the leader's.
	Send func(s Sent) Sent
	// Fenceless says that transactions of sessions that are over may land, so that the model must not take them for dead.
	Fenceless bool
	// Termless says that what a former leader wanted may be carried out; else that alone is a violation.
	Termless bool
	// Early says that Close is taken to have ended at once, while the instance goes on for a while.
	Early bool
	// Next changes what the leader does.
	Next func(r operator.Records, out []operator.Action) []operator.Action
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
