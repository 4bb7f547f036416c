package operator

import (
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
)

// SetConfig puts what administrators have set for the whole cluster. mod is that of the record as it was read, 0 for none.
func SetConfig(l keys.Layout, mod int64, next record.Config) txn.Part {
	key, value := l.Config(), record.EncodeConfig(next)
	return txn.Part{
		If:   []txn.Cmp{txn.At(key, mod)},
		Then: []txn.Op{txn.Put(key, value)},
		Mine: func(f txn.Found) bool { return string(f[key].Value) == string(value) },
	}
}

// Configure puts what administrators have decided about a node: a cordon, a drain, an eviction. It compares that the node
// still has the session that they meant, so that a request which comes late does not hit the one that has taken its
// place. mod is that of the node's configuration as it was read, 0 for none.
func Configure(l keys.Layout, node string, mod, session int64, next record.NodeConfig) txn.Part {
	key, value := l.NodeConfig(node), record.EncodeNodeConfig(next)
	return txn.Part{
		If:   []txn.Cmp{txn.At(key, mod), txn.Created(l.Node(node), session)},
		Then: []txn.Op{txn.Put(key, value)},
		Mine: func(f txn.Found) bool { return string(f[key].Value) == string(value) },
	}
}
