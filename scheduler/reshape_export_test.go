package scheduler

import (
	"maps"
	"slices"
	"time"

	"github.com/spanward/spanward/operator"
)

// ExplainReshape is what Explain has of splits and merges.
func ExplainReshape(f *Fleet, r operator.Ref, now time.Time) string {
	return f.explainReshape(f.items[r], now)
}

// FromScratch is a fleet that knows what this one does, made anew.
func (f *Fleet) FromScratch() *Fleet {
	n := NewFleet()
	n.Configure(f.cfg, f.reshapeInFlight)
	n.reshape.tick(f.reshape.epoch)
	n.reshape.now, n.reshape.turn = f.reshape.now, f.reshape.turn
	for name, ks := range f.reshape.keyspaces {
		n.SetKeyspace(name, ks.cfg)
	}
	for _, h := range f.hosts {
		if h.known {
			n.SetNode(h.node)
		}
	}
	ops := map[*reshapeOp]*reshapeOp{}
	for _, it := range f.items {
		s := it.Span
		s.Flight = Flight{}
		n.SetSpan(s)
		made := n.items[s.Ref]
		if op := it.op; op != nil {
			if ops[op] == nil {
				ops[op] = &reshapeOp{keyspace: n.reshape.keyspace(op.keyspace.name), node: op.node, more: op.more}
			}
			n.reshape.join(made, ops[op])
		}
		n.SetSpan(it.Span)
		if !it.reported.IsZero() {
			n.SetLoad(s.Ref, it.load, it.reported)
		}
		made.turned, made.rest = it.turned, it.rest
		n.reshape.file(made)
	}
	return n
}

// Reshaping counts the splits and merges in flight, and the spans that those of a keyspace will make in addition.
func (f *Fleet) Reshaping(keyspace string) (inFlight, coming int) {
	return f.reshape.inFlight, f.reshape.keyspace(keyspace).coming
}

// EachSpan gives all spans, in the order of their names.
func (f *Fleet) EachSpan(do func(Span)) {
	for _, it := range slices.SortedFunc(maps.Values(f.items), refOrder) {
		do(it.Span)
	}
}
