package audit

import (
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// operatorCases lose operators, end them twice, or leave something behind.
var operatorCases = []mistake{
	{
		"a pause that leaves no history", NoLoss, func(w *world) { w.apply(w.pause()) },
		func(w *world) *tx { return w.paused() },
		func(w *world, x *tx) { w.forgetHistories(x) },
	},
	{
		"a claim for another operator than the record's", OneOperator, func(w *world) { w.apply(w.accept(record.KindMove, "a")) },
		func(w *world) *tx { return w.claims("n1", record.StageClosing, "a") },
		func(w *world, x *tx) { w.editClaim(x, "a", func(c *record.Claim) { c.Operator = "1-99" }) },
	},
	{
		"a move that takes two spans", OneOperator, nil,
		func(w *world) *tx { return w.accept(record.KindMove, "a") },
		func(w *world, x *tx) { *x = *w.accept(record.KindMove, "a", "b") },
	},
	{
		"a merge that takes one of its spans", OneOperator, nil,
		func(w *world) *tx { return w.accept(record.KindMerge, "a", "b") },
		func(w *world, x *tx) { x.forget(w.spanKey("b")) },
	},
	{
		"a merge that leaves one of its spans behind", OneOperator, func(w *world) { w.apply(w.accept(record.KindMerge, "a", "b")) },
		func(w *world) *tx { return w.endAll(record.OutcomeCancelled, "a", "b") },
		func(w *world, x *tx) { x.forget(w.spanKey("b")) },
	},
	{
		"a move that takes another's place", OneOperator, func(w *world) { w.apply(w.accept(record.KindMove, "a")) },
		func(w *world) *tx { return w.supersede("a") },
		func(w *world, x *tx) { w.edit(x, "a", func(s *record.Span) { s.Intent.Kind = record.KindMove }) },
	},
	{
		"a commit without history", NoLoss, moveHandedOff,
		func(w *world) *tx { w.apply(w.claims("n2", record.StageOpening, "a")); return w.commit("a") },
		func(w *world, x *tx) { w.forgetHistories(x) },
	},
	{
		"history while the intent stays", NoLoss, moveHandedOff,
		func(w *world) *tx { w.apply(w.claims("n2", record.StageOpening, "a")); return w.commit("a") },
		func(w *world, x *tx) { w.edit(x, "a", func(s *record.Span) { s.Intent = w.span("a").Intent }) },
	},
	{
		"a history put twice", NoLoss, func(w *world) { w.apply(w.accept(record.KindMove, "a")) },
		func(w *world) *tx { return w.endAll(record.OutcomeFailed, "a") },
		func(w *world, x *tx) {
			w.apply(x)
			*x = tx{puts: onlyHistories(w, x.puts)}
		},
	},
	{
		"a history put again after it was trimmed", NoLoss + ": was put again", func(w *world) { w.apply(w.accept(record.KindMove, "a")) },
		func(w *world) *tx { return w.endAll(record.OutcomeFailed, "a") },
		func(w *world, x *tx) {
			w.apply(x)
			kept := onlyHistories(w, x.puts)
			trim := newTx()
			for k := range kept {
				trim.del(k)
			}
			w.apply(trim)
			*x = tx{puts: kept}
		},
	},
	{
		"an operator that is back after it was forgotten", NoLoss + ": in flight again", nil,
		func(w *world) *tx { return w.accept(record.KindMove, "a") },
		func(w *world, x *tx) {
			w.apply(x)
			w.apply(w.endAll(record.OutcomeCancelled, "a"))
			for forgotten := w.trim(); len(forgotten.dels) > 0; forgotten = w.trim() {
				w.apply(forgotten)
			}
		},
	},
	{
		"a history that changes", NoLoss + ": put twice",
		func(w *world) {
			w.apply(w.accept(record.KindMove, "a"))
			w.apply(w.endAll(record.OutcomeCancelled, "a"))
		},
		func(w *world) *tx { return w.trim() },
		func(w *world, x *tx) {
			for k := range x.dels {
				h, _ := record.DecodeHistory(w.store[k].Value)
				h.Outcome = record.OutcomeDone
				x.forget(k)
				x.put(k, record.EncodeHistory(h))
			}
		},
	},
	{
		"one cancel, two operators", AtMostOnce,
		func(w *world) {
			for _, id := range []span.ID{"a", "b"} {
				w.apply(w.accept(record.KindMove, id))
			}
			w.apply(w.endedBy("cancel", "a"))
		},
		func(w *world) *tx { return w.endedBy("another cancel", "b") },
		func(w *world, x *tx) { *x = *w.endedBy("cancel", "b") },
	},
	{
		"an operator that is back after its end", NoLoss + ": in flight again", nil,
		func(w *world) *tx { return w.accept(record.KindMove, "a") },
		func(w *world, x *tx) { w.apply(x); w.apply(w.endAll(record.OutcomeCancelled, "a")) },
	},
	{
		"the end of what was never accepted", NoLoss, func(w *world) { w.apply(w.accept(record.KindMove, "a")) },
		func(w *world) *tx { return w.endAll(record.OutcomeCancelled, "a") },
		func(w *world, x *tx) {
			h := record.History{Intent: record.Intent{Operator: "1-77", Kind: record.KindMove, By: record.ByUser}, Outcome: record.OutcomeDone}
			x.put(w.layout.History(ks, "1-77"), record.EncodeHistory(h))
		},
	},
	{
		"one request, two operators", AtMostOnce, func(w *world) { w.apply(w.accept(record.KindMove, "b")) },
		func(w *world) *tx { return w.accept(record.KindMove, "a") },
		func(w *world, x *tx) {
			w.edit(x, "a", func(s *record.Span) { s.Intent.RequestID = w.span("b").Intent.RequestID })
		},
	},
	{
		"one request, two operators, one of them history", AtMostOnce,
		func(w *world) { w.apply(w.accept(record.KindMove, "b")); w.apply(w.endAll(record.OutcomeFailed, "b")) },
		func(w *world) *tx { return w.accept(record.KindMove, "a") },
		func(w *world, x *tx) {
			w.edit(x, "a", func(s *record.Span) { s.Intent.RequestID = "r-" + w.operatorBefore() })
		},
	},
	{
		"one request, two bodies", AtMostOnce + ": two bodies", nil,
		func(w *world) *tx { return w.accept(record.KindMove, "a") },
		func(w *world, x *tx) {
			k := w.keyspace()
			s, _ := record.DecodeSpan(x.puts[w.spanKey("a")])
			k.Requests = []record.Request{{ID: s.Intent.RequestID, Operator: s.Intent.Operator, Body: []byte("other")}}
			x.put(w.layout.Keyspace(ks), record.EncodeKeyspace(k))
		},
	},
	{
		"a history under another's key", NoLoss + ": says", func(w *world) { w.apply(w.accept(record.KindMove, "a")) },
		func(w *world) *tx { return w.endAll(record.OutcomeFailed, "a") },
		func(w *world, x *tx) {
			for k := range onlyHistories(w, x.puts) {
				h, _ := record.DecodeHistory(x.puts[k])
				h.Intent.Operator = "1-88"
				x.put(k, record.EncodeHistory(h))
			}
		},
	},
	{
		"a history of another body", AtMostOnce + ": tells of another", func(w *world) { w.apply(w.accept(record.KindMove, "a")) },
		func(w *world) *tx { return w.endAll(record.OutcomeFailed, "a") },
		func(w *world, x *tx) {
			for k := range onlyHistories(w, x.puts) {
				h, _ := record.DecodeHistory(x.puts[k])
				h.Intent.Body = []byte("other")
				x.put(k, record.EncodeHistory(h))
			}
		},
	},
	{
		"an operator that becomes another", AtMostOnce, moveClaimed,
		func(w *world) *tx { return w.handOff("a", 20) },
		func(w *world, x *tx) {
			w.edit(x, "a", func(s *record.Span) { s.Intent.Spans = []string{"a", "b"} })
		},
	},
	{
		"a claim without its span", NoResidue, removeClaimed,
		func(w *world) *tx { return w.remove("b") },
		func(w *world, x *tx) { x.forget(w.claimKey("b")) },
	},
}
