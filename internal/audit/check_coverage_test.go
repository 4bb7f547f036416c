package audit

import (
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// coverageCases break the cover of a keyspace.
var coverageCases = []mistake{
	{
		"an add covers what is covered", Coverage, nil,
		func(w *world) *tx { return w.swapReady("x", span.Range{Start: "x"}) },
		func(w *world, x *tx) {
			w.edit(x, "x", func(s *record.Span) { s.Range = span.Range{Start: "l", End: "n"} })
		},
	},
	{
		"an add without the keyspace record", Coverage, removedB,
		func(w *world) *tx { return w.add("c", span.Range{Start: "m"}) },
		func(w *world, x *tx) { x.forget(w.layout.Keyspace(ks)) },
	},
	{
		"an add with the old range generation", Coverage, removedB,
		func(w *world) *tx { return w.add("c", span.Range{Start: "m"}) },
		func(w *world, x *tx) { x.put(w.layout.Keyspace(ks), record.EncodeKeyspace(w.keyspace())) },
	},
	{
		"an add without history", Coverage, removedB,
		func(w *world) *tx { return w.add("c", span.Range{Start: "m"}) },
		func(w *world, x *tx) { w.forgetHistories(x) },
	},
	{
		"a split that loses keys", Coverage, splitClaimed,
		splitOf("g"),
		func(w *world, x *tx) {
			w.edit(x, "a1", func(s *record.Span) { s.Range.Start = "h" })
		},
	},
	{
		"a range that changes", Coverage + ": the range of the span changed", nil,
		func(w *world) *tx { return w.handBack("a") },
		func(w *world, x *tx) { w.edit(x, "a", func(s *record.Span) { s.Range.End = "k" }) },
	},
	{
		"a span of no keyspace", Coverage + ": keyspace that has no record", func(w *world) { w.apply(w.removeAll()) },
		func(w *world) *tx { return w.add("c", span.Range{}) },
		func(w *world, x *tx) { x.forget(w.layout.Keyspace(ks)); x.del(w.layout.Keyspace(ks)) },
	},
	{
		"a keyspace completed too early", Coverage,
		func(w *world) {
			w.removeAll()
			w.apply(w.begin(2), w.newSpan("c", span.Range{End: "m"}), w.newSpan("d", span.Range{Start: "m"}))
		},
		func(w *world) *tx { return w.complete() },
		func(w *world, x *tx) {
			k := w.keyspace()
			k.ExpectedSpans, k.State = 3, record.KeyspaceRunning
			x.put(w.layout.Keyspace(ks), record.EncodeKeyspace(k))
		},
	},
	{
		"a keyspace record that goes before its spans", Coverage + ": keyspace record went", nil,
		func(w *world) *tx { return w.handBack("a") },
		func(w *world, x *tx) { x.del(w.layout.Keyspace(ks)) },
	},
	{
		"a span deleted without an operator", Coverage + ": went without a remove", nil,
		func(w *world) *tx { return w.handBack("a") },
		func(w *world, x *tx) { w.apply(x); *x = *newTx().del(w.spanKey("a")) },
	},
	{
		"a span that just goes", Coverage, removeClaimed,
		func(w *world) *tx { return w.remove("b") },
		func(w *world, x *tx) { w.forgetHistories(x) },
	},
}
