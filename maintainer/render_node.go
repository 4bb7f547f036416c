package maintainer

import (
	"maps"
	"slices"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/view"
)

// The states of a node, as the contract names them.
const (
	nodeReady       = "ready"
	nodeCordoned    = "cordoned"
	nodeDraining    = "draining"
	nodeDrained     = "drained"
	nodeUnreachable = "unreachable"
	nodeGone        = "gone"
)

// nodeFacts is what the records say of one node. The node is nil if it is gone.
type nodeFacts struct {
	name   string
	node   *view.Node
	config record.NodeConfig
	// spans that record the node as their owner; acts are the claims of its session.
	spans, acts int
}

// nodesOf are all nodes that are registered, were configured, or are recorded as an owner, by name.
func nodesOf(s *view.State) []nodeFacts {
	all := map[string]nodeFacts{}
	for n := range s.Nodes() {
		all[n.Name] = nodeFacts{name: n.Name, node: n, spans: s.CountOwnedBy(n.Session), acts: s.CountClaimedBy(n.Session)}
	}
	for _, session := range s.Owners() {
		if s.Session(session) != nil {
			continue
		}
		for sp := range s.OwnedBy(session) {
			f := all[sp.Owner.Node]
			f.name = sp.Owner.Node
			f.spans += s.CountOwnedBy(session)
			all[f.name] = f
			break
		}
	}
	for c := range s.NodeConfigs() {
		f := all[c.Name]
		f.name, f.config = c.Name, c.NodeConfig
		all[c.Name] = f
	}
	var out []nodeFacts
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[name])
	}
	return out
}

// nodeFactsOf is one of them, false if nothing is known under the name.
func nodeFactsOf(s *view.State, name string) (nodeFacts, bool) {
	for _, f := range nodesOf(s) {
		if f.name == name {
			return f, true
		}
	}
	return nodeFacts{}, false
}

func (f nodeFacts) session() int64 {
	if f.node == nil {
		return 0
	}
	return f.node.Session
}

func (f nodeFacts) state(k nodeKnown) string {
	switch {
	case f.node == nil:
		return nodeGone
	case !k.connected:
		return nodeUnreachable
	case f.drains() && f.spans+f.acts == 0 && k.idle:
		return nodeDrained
	case f.drains():
		return nodeDraining
	case f.config.Cordoned:
		return nodeCordoned
	}
	return nodeReady
}

func (f nodeFacts) drains() bool { return f.config.Drains(f.node.Session) }

// takes reports whether one more span of the workload may be opened on the node by itself.
func (f nodeFacts) takes(workload string, k nodeKnown) bool {
	return f.state(k) == nodeReady && f.runs(workload) && !f.full() && f.config.Evicted != f.node.Session
}

func (f nodeFacts) runs(workload string) bool {
	return f.node != nil && slices.Contains(f.node.Workloads, workload)
}

func (f nodeFacts) full() bool { return f.node.Capacity > 0 && int64(f.spans) >= f.node.Capacity }

// renderNode shows a node. The moment up to which it may act is one of the leader's clock that counts suspends, which
// nobody else reads: what is shown is how much is left of it now, and 0 once it has passed.
func renderNode(f nodeFacts, k nodeKnown, elapsed time.Duration) *controlv1.Node {
	out := &controlv1.Node{Name: f.name, State: f.state(k), Spans: int64(f.spans), Weight: f.weight()}
	if f.node == nil {
		return out
	}
	out.Session, out.Address, out.Version = f.node.Session, f.node.Address, f.node.Version
	out.Workloads, out.Labels, out.Capacity, out.Why = f.node.Workloads, f.node.Labels, f.node.Capacity, k.why
	if k.mayActUntil != 0 {
		left := max(0, k.mayActUntil-elapsed).Milliseconds()
		out.MayActUntilMs = &left
	}
	return out
}
