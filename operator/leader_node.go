package operator

import (
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
)

// Evict declares a session of a node dead: next.Evicted. It compares that the node still has that session, so that a
// request which comes late does not hit the one that has taken its place.
func Evict(l keys.Layout, node string, mod int64, next record.NodeConfig) txn.Part {
	return Configure(l, node, mod, next.Evicted, next)
}

// Configure puts what administrators have decided about a node: cordon, drain, eviction. It compares that the node has
// the session that the decision was made about. mod is that of the node's configuration as it was read, 0 for none.
func Configure(l keys.Layout, node string, mod, session int64, next record.NodeConfig) txn.Part {
	key, value := l.NodeConfig(node), record.EncodeNodeConfig(next)
	return txn.Part{
		If:   []txn.Cmp{txn.At(key, mod), txn.Created(l.Node(node), session)},
		Then: []txn.Op{txn.Put(key, value)},
		Mine: func(f txn.Found) bool { return string(f[key].Value) == string(value) },
	}
}
