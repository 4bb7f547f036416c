package keys

import (
	"fmt"

	"github.com/spanward/spanward/span"
)

// base is above the clusters; nothing of ours is outside it.
const base = "/spanward/"

// The first part of every key below the root of a cluster.
const (
	leader      = "leader"
	cluster     = "cluster"
	config      = "config"
	maintainers = "maintainers/"
	nodes       = "nodes/"
	nodeConfigs = "nodeconfig/"
	keyspaces   = "keyspaces/"
	spans       = "spans/"
	operators   = "operators/"
	progress    = "progress/"
	history     = "history/"
)

// Layout spells and reads the keys of one cluster. The zero Layout is invalid.
type Layout struct{ root string }

// New is the layout of the named cluster.
func New(name string) (Layout, error) {
	if err := CheckName("cluster", name); err != nil {
		return Layout{}, err
	}
	return Layout{root: base + name + "/"}, nil
}

// Root is the prefix of all keys of the cluster.
func (l Layout) Root() string { return l.root }

// ClusterName is the name that the layout was made for.
func (l Layout) ClusterName() string { return l.root[len(base) : len(l.root)-1] }

// Leader is the one key that is fought for.
func (l Layout) Leader() string { return l.root + leader }

// Cluster holds what is true of the cluster as a whole: its generation.
func (l Layout) Cluster() string { return l.root + cluster }

// Config holds what administrators have set for the whole cluster.
func (l Layout) Config() string { return l.root + config }

// Maintainers is the prefix of the registrations of maintainers.
func (l Layout) Maintainers() string { return l.root + maintainers }

// Maintainer is the registration of one maintainer.
func (l Layout) Maintainer(name string) string { return l.Maintainers() + name }

// Nodes is the prefix of the registrations of dispatchers.
func (l Layout) Nodes() string { return l.root + nodes }

// Node is the registration of one dispatcher; its create revision is the session.
func (l Layout) Node(name string) string { return l.Nodes() + name }

// NodeConfigs is the prefix of what administrators decided about nodes.
func (l Layout) NodeConfigs() string { return l.root + nodeConfigs }

// NodeConfig outlives the registration of the node.
func (l Layout) NodeConfig(name string) string { return l.NodeConfigs() + name }

// Keyspaces is the prefix of the keyspace records.
func (l Layout) Keyspaces() string { return l.root + keyspaces }

// Keyspace is the record of one keyspace.
func (l Layout) Keyspace(ks string) string { return l.Keyspaces() + ks }

// AllSpans is the prefix of the span records of all keyspaces.
func (l Layout) AllSpans() string { return l.root + spans }

// Spans is the prefix of the span records of one keyspace.
func (l Layout) Spans(ks string) string { return l.AllSpans() + ks + "/" }

// Span is one span record.
func (l Layout) Span(ks string, id span.ID) string { return l.Spans(ks) + string(id) }

// AllOperators is the prefix of the claims of all keyspaces.
func (l Layout) AllOperators() string { return l.root + operators }

// Operators is the prefix of the claims of one keyspace.
func (l Layout) Operators(ks string) string { return l.AllOperators() + ks + "/" }

// Operator is the claim of one span.
func (l Layout) Operator(ks string, id span.ID) string { return l.Operators(ks) + string(id) }

// AllProgress is the prefix of the checkpoints of all keyspaces.
func (l Layout) AllProgress() string { return l.root + progress }

// ProgressOf is the prefix of the checkpoints of one keyspace.
func (l Layout) ProgressOf(ks string) string { return l.AllProgress() + ks + "/" }

// Progress is one bucket of checkpoints.
func (l Layout) Progress(ks string, bucket uint32) string {
	return fmt.Sprintf("%s%03x", l.ProgressOf(ks), bucket)
}

// AllHistory is the prefix of the finished operators of all keyspaces.
func (l Layout) AllHistory() string { return l.root + history }

// HistoryOf is the prefix of the finished operators of one keyspace.
func (l Layout) HistoryOf(ks string) string { return l.AllHistory() + ks + "/" }

// History is one finished operator.
func (l Layout) History(ks, operator string) string { return l.HistoryOf(ks) + operator }
