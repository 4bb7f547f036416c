package record

import (
	"time"

	storev1 "github.com/spanward/spanward/api/store/v1"
	"github.com/spanward/spanward/span"
)

// The enumerations are those of the stored records.
type (
	Kind          = storev1.Kind
	Stage         = storev1.Stage
	Outcome       = storev1.Outcome
	By            = storev1.By
	Ended         = storev1.Node_Ended
	KeyspaceState = storev1.Keyspace_State
)

// Short names of the enumeration values.
const (
	KindAdd      = storev1.Kind_KIND_ADD
	KindRemove   = storev1.Kind_KIND_REMOVE
	KindMove     = storev1.Kind_KIND_MOVE
	KindSplit    = storev1.Kind_KIND_SPLIT
	KindMerge    = storev1.Kind_KIND_MERGE
	KindKeyspace = storev1.Kind_KIND_KEYSPACE

	StageQueued    = storev1.Stage_STAGE_QUEUED
	StageClosing   = storev1.Stage_STAGE_CLOSING
	StageHandedOff = storev1.Stage_STAGE_HANDED_OFF
	StageOpening   = storev1.Stage_STAGE_OPENING
	StageFinished  = storev1.Stage_STAGE_FINISHED

	OutcomeDone      = storev1.Outcome_OUTCOME_DONE
	OutcomeFailed    = storev1.Outcome_OUTCOME_FAILED
	OutcomeCancelled = storev1.Outcome_OUTCOME_CANCELLED

	ByUser      = storev1.By_BY_USER
	ByPlacement = storev1.By_BY_PLACEMENT
	ByFailover  = storev1.By_BY_FAILOVER
	ByDrain     = storev1.By_BY_DRAIN
	ByBalance   = storev1.By_BY_BALANCE
	ByLoad      = storev1.By_BY_LOAD

	EndedNot   = storev1.Node_ENDED_UNSPECIFIED
	EndedClean = storev1.Node_ENDED_CLEAN
	EndedDead  = storev1.Node_ENDED_DEAD

	KeyspaceCreating = storev1.Keyspace_STATE_CREATING
	KeyspaceRunning  = storev1.Keyspace_STATE_RUNNING
	KeyspacePaused   = storev1.Keyspace_STATE_PAUSED
	KeyspaceDeleting = storev1.Keyspace_STATE_DELETING
)

// Position is a checkpoint that may be unknown. The zero Position is unknown: it is never the number 0.
type Position struct {
	Known bool
	At    uint64
}

// At is the known position p.
func At(p uint64) Position { return Position{Known: true, At: p} }

// Max is the higher of two positions; an unknown one is below every known one.
func (p Position) Max(o Position) Position {
	if !p.Known || o.Known && o.At > p.At {
		return o
	}
	return p
}

// Min is the lower of two positions; if either is unknown, so is the result.
func (p Position) Min(o Position) Position {
	if !p.Known || !o.Known {
		return Position{}
	}
	if o.At < p.At {
		return o
	}
	return p
}

// Less reports whether p is known to be below o, or unknown while o is known.
func (p Position) Less(o Position) bool {
	return o.Known && (!p.Known || p.At < o.At)
}

// Owner is who runs a span. The zero Owner is nobody (∅).
type Owner struct {
	Node    string
	Session int64
	Token   uint64
}

// Nobody reports whether o is ∅.
func (o Owner) Nobody() bool { return o.Session == 0 }

// Cluster is the record at "cluster".
type Cluster struct{ Generation uint64 }

// Config is the record at "config": values of settings by name, as text.
type Config struct {
	Settings map[string]string
	Requests []Request
}

// Leader is the record at "leader".
type Leader struct {
	Maintainer, Instance, Address string
	Resigned                      bool
	Successor                     string
}

// Maintainer is the record at "maintainers/<name>".
type Maintainer struct {
	Name, Instance, Address, Version string
	StartedAt                        time.Time
	Draining                         bool
}

// Node is the record at "nodes/<name>".
type Node struct {
	Name, Instance, Address, Version string
	Labels                           map[string]string
	Capacity                         int64
	Workloads                        []string
	TTL                              time.Duration
	StartedAt                        time.Time
	Ended                            Ended
	Lease                            int64
}

// NodeConfig is the record at "nodeconfig/<name>".
type NodeConfig struct {
	Cordoned, Draining bool
	Weight             float64
	Evicted            int64
	// DrainSession is the one session that a drain holds for, 0 for all.
	DrainSession int64
	Requests     []Request
}

// Drains reports whether a session of the node is to be emptied.
func (c NodeConfig) Drains(session int64) bool {
	return c.Draining && (c.DrainSession == 0 || c.DrainSession == session)
}

// Request remembers a changing command.
type Request struct {
	ID       string
	Body     []byte
	Operator string
	At       time.Time
}

// Keyspace is the record at "keyspaces/<ks>".
type Keyspace struct {
	Workload        string
	Settings        map[string]string
	State           KeyspaceState
	RangeGeneration uint64
	Requests        []Request
	CreatedBy       string
	CreatedAt       time.Time
	ExpectedSpans   int64
	// Pending is the operator in flight that pauses or deletes the keyspace, nil if there is none.
	Pending *Intent
}

// Span is the record at "spans/<ks>/<id>".
type Span struct {
	Range      span.Range
	Owner      Owner
	Checkpoint Position
	// Intent is the operator in flight, nil if there is none.
	Intent    *Intent
	Parents   []string
	LastNode  string
	CreatedAt time.Time
}

// Intent is an operator as it stands in the record of each of its spans. It is never changed in place: records
// in the view share it.
type Intent struct {
	Operator  string
	Kind      Kind
	By        By
	Reason    string
	RequestID string
	Body      []byte
	CreatedAt time.Time
	From, To  string
	HandedOff bool
	At        []string
	Spans     []string
	Results   []string
	Marks     []Mark
}

// Mark is the moment at which an operator reached a stage.
type Mark struct {
	Stage Stage
	At    time.Time
	Node  string
	// Span that reached it, "" for the only one.
	Span span.ID
}

// Marked is a copy of i with one more mark.
func (i *Intent) Marked(m Mark) *Intent {
	c := *i
	c.Marks = append(append([]Mark(nil), i.Marks...), m)
	return &c
}

// Claim is the record at "operators/<ks>/<span>".
type Claim struct {
	// Operator is empty for a placement.
	Operator string
	Kind     Kind
	// Stage is StageClosing or StageOpening.
	Stage   Stage
	Node    string
	Session int64
	At      time.Time
	By      By
	Term    int64
}

// Progress is the record at "progress/<ks>/<bucket>": known positions by span.
type Progress map[span.ID]uint64

// History is the record at "history/<ks>/<operator>".
type History struct {
	Intent     Intent
	Outcome    Outcome
	FinishedAt time.Time
	Error      string
	Ranges     []span.Range
	// Cause is what ended the operator before it was done, nil if nothing did.
	Cause *Cause
}

// Cause is a changing command, or an operator, that ends another operator.
type Cause struct {
	By        By
	Reason    string
	RequestID string
	Body      []byte
	// Operator that took the place of the ended one, "" for a cancel.
	Operator string
}
