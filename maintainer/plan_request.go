package maintainer

import (
	"cmp"
	"maps"
	"math"
	"slices"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/scheduler"
)

// maxPlannedNodes bounds the nodes that a plan is asked about.
const maxPlannedNodes = 10_000

// The states of nodes that are not what they are now.
const (
	nodeNew     = "new"
	nodeRemoved = "removed"
)

// nodeChanges are the nodes that a plan is asked about: what becomes of those that are there, by name, and those that come.
type nodeChanges struct {
	leaving map[string]string
	added   []scheduler.Node
}

// checkPlan reads a request, and refuses what it can not mean.
func checkPlan(f planFacts, q *controlv1.PlanRequest) (nodeChanges, error) {
	out := nodeChanges{leaving: map[string]string{}}
	if n := len(q.GetDrain()) + len(q.GetRemoveNode()) + len(q.GetAddNode()); n > maxPlannedNodes {
		return out, fault.New(fault.InvalidArgument, "%d nodes are too many for one plan", n).On("node", "").Fix("name at most %d", maxPlannedNodes)
	}
	for _, change := range []struct {
		field, becomes string
		names          []string
	}{{"drain", nodeDraining, q.GetDrain()}, {"remove-node", nodeRemoved, q.GetRemoveNode()}} {
		for _, name := range change.names {
			if err := f.checkThere(change.field, name); err != nil {
				return out, err
			}
			if was := out.leaving[name]; was != "" && was != change.becomes {
				return out, fault.New(fault.InvalidArgument, "is to be drained and removed").On(change.field, name).
					Fix("choose one: a node that is drained is moved off, one that is removed is lost")
			}
			out.leaving[name] = change.becomes
		}
	}
	for _, a := range q.GetAddNode() {
		n, err := f.newNode(a)
		if err == nil && slices.ContainsFunc(out.added, func(b scheduler.Node) bool { return b.Name == n.Name }) {
			err = fault.New(fault.InvalidArgument, "is to be added twice").On("add-node", n.Name).Fix("name every node once")
		}
		if err != nil {
			return out, err
		}
		out.added = append(out.added, n)
	}
	return out, nil
}

func (f planFacts) node(name string) (nodeFacts, bool) {
	at, ok := slices.BinarySearchFunc(f.nodes, name, func(n nodeFacts, name string) int { return cmp.Compare(n.name, name) })
	if !ok {
		return nodeFacts{name: name}, false
	}
	return f.nodes[at], true
}

// checkThere refuses a node that is not registered.
func (f planFacts) checkThere(field, name string) error {
	if err := keys.CheckName(field, name); err != nil {
		return err
	}
	switch n, ok := f.node(name); {
	case !ok:
		return unknownNode(field, name)
	case n.node == nil:
		return fault.New(fault.UnknownNode, "is gone: its session is over").On(field, name).Fix("name one that is registered; see `spanward node list`")
	}
	return nil
}

// newNode is a node that comes. What administrators have decided about its name holds for it as well.
func (f planFacts) newNode(a *controlv1.PlanRequest_AddedNode) (scheduler.Node, error) {
	name := a.GetName()
	if err := keys.CheckName("add-node", name); err != nil {
		return scheduler.Node{}, err
	}
	there, _ := f.node(name)
	bad := func(r fault.Reason, format string, args ...any) *fault.Error {
		return fault.New(r, format, args...).On("add-node", name)
	}
	switch w := a.GetWeight(); {
	case there.node != nil:
		return scheduler.Node{}, bad(fault.AlreadyExists, "is registered").Fix("choose a name that no node has; see `spanward node list`")
	case a.GetCapacity() < 0:
		return scheduler.Node{}, bad(fault.InvalidArgument, "has a capacity of %d", a.GetCapacity()).Fix("give 0 for no limit, or a number of spans")
	case w < 0 || math.IsNaN(w) || math.IsInf(w, 0):
		return scheduler.Node{}, bad(fault.InvalidArgument, "has a weight of %g", w).Fix("give a positive number; 1 is that of other nodes")
	}
	n := scheduler.Node{
		Name: name, Workloads: a.GetWorkloads(), Labels: a.GetLabels(), Capacity: int(a.GetCapacity()),
		Weight: cmp.Or(a.GetWeight(), there.config.Weight), Eligible: true,
	}
	if len(n.Workloads) == 0 {
		n.Workloads = f.offered()
	}
	switch {
	case there.config.Draining && there.config.DrainSession == 0:
		n.Eligible, n.Why = false, nodeDraining
	case there.config.Cordoned:
		n.Eligible, n.Why = false, nodeCordoned
	}
	return n, nil
}

// offered are the workloads that registered nodes run. Where there are none, those that keyspaces have.
func (f planFacts) offered() []string {
	all := map[string]bool{}
	for _, n := range f.nodes {
		if n.node == nil {
			continue
		}
		for _, w := range n.node.Workloads {
			all[w] = true
		}
	}
	if len(all) == 0 {
		for _, ks := range f.keyspaces {
			all[ks.Workload] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
