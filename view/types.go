package view

import (
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
)

// All values that a State hands out are immutable: a change of a record makes a new value. They may be kept as long
// as wanted, and must not be written to.

// Span is a span record as it was read.
type Span = operator.Span

// Keyspace is a keyspace record as it was read.
type Keyspace = operator.Keyspace

// Leader is the leader record. Its mod revision is the term.
type Leader struct {
	record.Leader
	Term int64
	// LeaseID is the lease that the key hangs on, 0 once its holder has resigned.
	LeaseID int64
}

// Cluster is the cluster record; the zero value if there is none.
type Cluster struct {
	record.Cluster
	Mod int64
}

// ClusterConfig is what administrators have set for the whole cluster; the zero value if there is no record.
type ClusterConfig struct {
	record.Config
	Mod int64
}

// Maintainer is the registration of a maintainer.
type Maintainer struct {
	record.Maintainer
	Session, Mod int64
	LeaseID      int64
}

// Node is the registration of a dispatcher.
type Node struct {
	record.Node
	// Session is the create revision of the key.
	Session, Mod int64
	// LeaseID is the lease that the key hangs on; Node.Lease is what the record says about it.
	LeaseID int64
}

// NodeConfig is what administrators decided about a node.
type NodeConfig struct {
	record.NodeConfig
	Name string
	Mod  int64
}

// Claim is a claim as it was read.
type Claim struct {
	operator.Claim
	Ref    operator.Ref
	Create int64
	// LeaseID is the lease that the key hangs on, which should be that of the acting session.
	LeaseID int64
}

// Progress is one progress record as it was read.
type Progress struct {
	record.Progress
	Keyspace string
	Bucket   uint32
	Mod      int64
}

// History is a finished operator as it was read.
type History struct {
	record.History
	Keyspace string
	Mod      int64
}

// Request is a request id that was used, and what for.
type Request struct {
	ID       string
	Operator string
	Body     []byte
	// Keyspace is empty for commands about nodes and about the cluster.
	Keyspace string
	// Key is the record that remembers the request.
	Key string
}

// Quarantine is a key whose value, or name, makes no sense to this version.
type Quarantine struct {
	Key string
	// Parsed says what the key should hold; its Kind is 0 for a key outside the layout.
	Parsed keys.Parsed
	Reason string
	// Since is the mod revision of the value.
	Since int64
}

// Foreign reports a key that the layout does not know.
func (q Quarantine) Foreign() bool { return q.Parsed.Kind == 0 }

// Change is one key put or deleted.
type Change struct {
	Key     string
	Value   []byte
	Deleted bool
	// Create, Mod and Lease are those of the key. A deletion has none.
	Create, Mod, Lease int64
}
