package audit

import (
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// monotoneCases let something go back that only goes forward, or use an id again.
var monotoneCases = []mistake{
	{
		"a checkpoint that goes back", Monotone, moveClaimed,
		func(w *world) *tx { return w.handOff("a", 20) },
		func(w *world, x *tx) {
			w.apply(w.handOff("a", 30))
			w.edit(x, "a", func(s *record.Span) { s.Checkpoint = record.At(20) })
		},
	},
	{
		"a checkpoint that is forgotten", Monotone, moveHandedOff,
		func(w *world) *tx { w.apply(w.claims("n2", record.StageOpening, "a")); return w.commit("a") },
		func(w *world, x *tx) { w.edit(x, "a", func(s *record.Span) { s.Checkpoint = record.Position{} }) },
	},
	{
		"an opening below what is durable", Monotone,
		func(w *world) { w.apply(w.handBack("a")); w.apply(w.claims("n2", record.StageOpening, "a")) },
		func(w *world) *tx { return w.commit("a") },
		func(w *world, x *tx) { w.edit(x, "a", func(s *record.Span) { s.Checkpoint = record.At(9) }) },
	},
	{
		"a progress entry that goes back", Monotone + ": entry went back", nil,
		func(w *world) *tx { return w.report("a", 11) },
		func(w *world, x *tx) { *x = *w.report("a", 9) },
	},
	{
		"a progress entry that is forgotten", Monotone, nil,
		func(w *world) *tx { return w.report("a", 11) },
		func(w *world, x *tx) { *x = *newTx().del(w.layout.Progress(ks, w.buckets["a"])) },
	},
	{
		"a late report during an opening", Monotone, nil,
		func(w *world) *tx { return w.report("a", 11) },
		func(w *world, _ *tx) { w.apply(w.claims("n1", record.StageOpening, "a")) },
	},
	{
		"children below their parent", Monotone, splitClaimed, splitOf("g"),
		func(w *world, x *tx) { w.edit(x, "a0", func(s *record.Span) { s.Checkpoint = record.At(9) }) },
	},
	{
		"a token below a former owner's", Monotone,
		func(w *world) {
			// What only a restored etcd can show: a token of a generation that is not there any more.
			w.apply(newTx().put(w.layout.Cluster(), record.EncodeCluster(record.Cluster{Generation: 1})))
			moveHandedOff(w)
			w.apply(w.claims("n2", record.StageOpening, "a"))
			w.apply(w.commit("a"))
			w.apply(w.handBack("a"))
			w.apply(w.claims("n1", record.StageOpening, "a"))
		},
		func(w *world) *tx { return w.commit("a") },
		func(w *world, x *tx) {
			w.edit(x, "a", func(s *record.Span) { s.Owner.Token &= 1<<48 - 1 })
		},
	},
	{
		"a generation of the cluster that goes back", Monotone,
		func(w *world) {
			w.apply(newTx().put(w.layout.Cluster(), record.EncodeCluster(record.Cluster{Generation: 1})))
		},
		func(w *world) *tx {
			return newTx().put(w.layout.Cluster(), record.EncodeCluster(record.Cluster{Generation: 2}))
		},
		func(w *world, x *tx) { *x = *newTx().del(w.layout.Cluster()) },
	},
	{
		"a range generation that goes back", Monotone, removedB,
		func(w *world) *tx { return w.add("c", span.Range{Start: "m"}) },
		func(w *world, x *tx) {
			k := w.keyspace()
			k.RangeGeneration = 0
			x.put(w.layout.Keyspace(ks), record.EncodeKeyspace(k))
		},
	},
	{
		"a hand-off taken back", Monotone, moveHandedOff,
		func(w *world) *tx { w.apply(w.claims("n2", record.StageOpening, "a")); return w.abort("a") },
		func(w *world, x *tx) {
			s := w.span("a")
			i := *s.Intent
			i.HandedOff = false
			s.Intent = &i
			x.put(w.spanKey("a"), record.EncodeSpan(s))
		},
	},
	{
		"a span id used again", UniqueIDs, removedB,
		func(w *world) *tx { return w.add("c", span.Range{Start: "m"}) },
		func(w *world, x *tx) { *x = *w.add("b", span.Range{Start: "m"}) },
	},
}
