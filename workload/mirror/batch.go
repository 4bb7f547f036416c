package mirror

import (
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A change is what one source transaction did to one key.
type change struct {
	key   string // as it is at the source
	value []byte
	put   bool
	lease int64
	// grows is by how many keys it makes the source larger: one that it creates, or minus one that it deletes.
	grows int64
}

// A group has the changes that one source transaction made within a span, each key once.
type group struct {
	rev     int64
	changes []change
}

// Limits of one destination transaction. Larger ones are hardly faster and make other clients wait.
const (
	batchOps   = 1024
	batchBytes = 1 << 20
	// opBytes is what an operation costs beside its key and value.
	opBytes = 48
)

// bytes is an upper bound of what the group takes in a request.
func (g group) bytes(m mapping) int {
	n := 0
	for _, c := range g.changes {
		n += len(c.key) + len(m.prepend) + len(c.value) + opBytes
	}
	return n
}

// add takes one more change; of several to one key in a transaction only the last one was ever visible.
func (g *group) add(c change) {
	if n := len(g.changes); n > 0 && n <= smallGroup {
		for i := range g.changes {
			if g.changes[i].key == c.key {
				c.grows += g.changes[i].grows
				g.changes = append(append(g.changes[:i:i], g.changes[i+1:]...), c)
				return
			}
		}
	}
	g.changes = append(g.changes, c)
}

// smallGroup is up to where looking for a repeated key in a group is cheap; larger groups are cleaned when complete.
const smallGroup = 16

// distinct keeps the last change of every key.
func (g *group) distinct() {
	if len(g.changes) <= smallGroup {
		return
	}
	last := make(map[string]int, len(g.changes))
	for i, c := range g.changes {
		if before, ok := last[c.key]; ok {
			g.changes[i].grows += g.changes[before].grows
		}
		last[c.key] = i
	}
	if len(last) == len(g.changes) {
		return
	}
	kept := make([]change, 0, len(last))
	for i, c := range g.changes {
		if last[c.key] == i {
			kept = append(kept, c)
		}
	}
	g.changes = kept
}

// pack gives how many of the leading groups may share one transaction: no key twice, within the limits. It is at least
// one: a group that is too large alone is for the destination to refuse.
func pack(gs []group, m mapping, maxOps, maxBytes int) int {
	if len(gs) < 2 {
		return len(gs)
	}
	seen := make(map[string]struct{}, min(maxOps, 2*len(gs)))
	ops, size := 0, 0
	for i, g := range gs {
		ops += len(g.changes)
		size += g.bytes(m)
		if i > 0 && (ops > maxOps || size > maxBytes) {
			return i
		}
		for _, c := range g.changes {
			if _, ok := seen[c.key]; ok && i > 0 {
				return i
			}
		}
		for _, c := range g.changes {
			seen[c.key] = struct{}{}
		}
	}
	return len(gs)
}

// txnSlots is etcd's limit: at each depth of a transaction the larger of compares and operations counts, and nested
// transactions may use what is left.
const txnSlots = 128

// nested folds any number of operations into at most budget operations of nested transactions, and false if even three
// levels cannot hold them. All of them act in one revision.
func nested(ops []clientv3.Op, budget int) ([]clientv3.Op, bool) {
	if len(ops) <= budget {
		return ops, true
	}
	for depth := 2; depth <= 3; depth++ {
		if n := children(len(ops), budget, depth); n > 0 {
			return fold(ops, n, budget-n)
		}
	}
	return nil, false
}

// children is the least number of nested transactions that hold n operations, 0 if none does.
func children(n, budget, depth int) int {
	for c := 1; c < budget; c++ {
		if c*room(budget-c, depth-1) >= n {
			return c
		}
	}
	return 0
}

// room is how many operations fit into budget slots at that many levels.
func room(budget, depth int) int {
	if depth == 1 {
		return budget
	}
	best := 0
	for c := 1; c < budget; c++ {
		best = max(best, c*room(budget-c, depth-1))
	}
	return best
}

// fold splits the operations evenly over n nested transactions with so many slots each.
func fold(ops []clientv3.Op, n, budget int) ([]clientv3.Op, bool) {
	out := make([]clientv3.Op, 0, n)
	for i := range n {
		inner, ok := nested(ops[i*len(ops)/n:(i+1)*len(ops)/n], budget)
		if !ok {
			return nil, false
		}
		out = append(out, clientv3.OpTxn(nil, inner, nil))
	}
	return out, true
}
