package audit

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// standard is a keyspace of two spans, a up to m and b from there, both owned by n1; n2 is there, too.
func standard(tb testing.TB) *world {
	w := newWorld(tb)
	w.apply(w.lead())
	w.apply(w.start("n1"), w.start("n2"))
	w.apply(w.begin(2))
	w.apply(w.newSpan("a", span.Range{End: "m"}))
	w.apply(w.newSpan("b", span.Range{Start: "m"}))
	w.apply(w.complete())
	w.apply(w.claims("n1", record.StageOpening, "a", "b"))
	w.apply(w.commit("a"))
	w.apply(w.commit("b"))
	w.apply(w.report("a", 10))
	return w
}

// cases are one transaction each, which is right, and one way to spoil it, which violates the named invariant; after a
// colon comes what the message must say where another rule would notice, too.
var cases = []struct {
	name, want string
	setup      func(*world)
	tx         func(*world) *tx
	bad        func(*world, *tx)
}{
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
		"a pause that leaves no history", NoLoss, func(w *world) { w.apply(w.pause()) },
		func(w *world) *tx { return w.paused() },
		func(w *world, x *tx) { w.forgetHistories(x) },
	},
	{
		"a pause in the name of a former term", Fencing, nil,
		func(w *world) *tx { return w.pause() },
		func(w *world, x *tx) {
			k := w.keyspace()
			k.Pending = &record.Intent{Operator: "1-1", Kind: record.KindKeyspace, By: record.ByUser}
			x.put(w.layout.Keyspace(ks), record.EncodeKeyspace(k))
		},
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
	{
		"a commit without a claim", OneOwner, moveHandedOff,
		func(w *world) *tx { w.apply(w.claims("n2", record.StageOpening, "a")); return w.commit("a") },
		func(w *world, x *tx) {
			w.apply(newTx().del(w.claimKey("a")))
			x.forget(w.claimKey("a"))
		},
	},
	{
		"a commit under somebody else's claim", OneOwner, moveHandedOff,
		func(w *world) *tx { w.apply(w.claims("n2", record.StageOpening, "a")); return w.commit("a") },
		func(w *world, x *tx) {
			w.edit(x, "a", func(s *record.Span) { s.Owner.Node, s.Owner.Session = "n1", w.session("n1") })
		},
	},
	{
		"a token that is not the claim's", OneOwner, moveHandedOff,
		func(w *world) *tx { w.apply(w.claims("n2", record.StageOpening, "a")); return w.commit("a") },
		func(w *world, x *tx) { w.edit(x, "a", func(s *record.Span) { s.Owner.Token++ }) },
	},
	{
		"a token of no generation", OneOwner,
		func(w *world) {
			w.apply(newTx().put(w.layout.Cluster(), record.EncodeCluster(record.Cluster{Generation: 2})))
			moveHandedOff(w)
			w.apply(w.claims("n2", record.StageOpening, "a"))
		},
		func(w *world) *tx { return w.commit("a") },
		func(w *world, x *tx) { w.edit(x, "a", func(s *record.Span) { s.Owner.Token &= 1<<48 - 1 }) },
	},
	{
		"an opening while the owner is there", OneOwner, func(w *world) { w.apply(w.handBack("a")) },
		func(w *world) *tx { return w.claims("n2", record.StageOpening, "a") },
		func(w *world, x *tx) {
			*x = *w.claims("n2", record.StageOpening, "b")
		},
	},
	{
		"a commit over a present owner", OneOwner + ": was replaced by",
		func(w *world) { w.apply(w.lose("n1")); w.apply(w.claims("n2", record.StageOpening, "a")) },
		func(w *world) *tx { return w.commit("a") },
		func(w *world, _ *tx) {
			// The same commit, from a record whose owner is the session of n2's neighbour that just came.
			w.apply(w.start("n1"))
			s := w.span("a")
			s.Owner.Session = w.session("n1")
			w.apply(newTx().put(w.spanKey("a"), record.EncodeSpan(s)))
		},
	},
	{
		"a closing claim of somebody else", OneOwner, func(w *world) { w.apply(w.accept(record.KindMove, "a")) },
		func(w *world) *tx { return w.claims("n1", record.StageClosing, "a") },
		func(w *world, x *tx) { *x = *w.claims("n2", record.StageClosing, "a") },
	},
	{
		"an owner taken out after its session", OneOwner, nil,
		func(w *world) *tx { return w.handBack("a") },
		func(w *world, _ *tx) { w.apply(w.lose("n1")) },
	},
	{
		"an owner taken out under another's claim", OneOwner + ": under the claim of", nil,
		func(w *world) *tx { return w.handBack("a") },
		func(w *world, _ *tx) { w.apply(w.claims("n2", record.StageOpening, "a")) },
	},
	{
		"a hand-off without a claim", OneOwner, moveClaimed,
		func(w *world) *tx { return w.handOff("a", 20) },
		func(w *world, x *tx) { w.apply(newTx().del(w.claimKey("a"))); x.forget(w.claimKey("a")) },
	},
	{
		"handed off and still owned", OneOwner, moveClaimed,
		func(w *world) *tx { return w.handOff("a", 20) },
		func(w *world, x *tx) { w.edit(x, "a", func(s *record.Span) { s.Owner = w.span("a").Owner }) },
	},
	{
		"a removed span that nobody closed", OneOwner,
		func(w *world) {
			w.apply(w.accept(record.KindRemove, "b"))
			w.apply(w.lose("n1"))
			w.apply(w.claims("n2", record.StageOpening, "b"))
			w.apply(w.commit("b"))
			w.apply(w.claims("n2", record.StageClosing, "b"))
		},
		func(w *world) *tx { return w.remove("b") },
		func(w *world, x *tx) { w.apply(w.lose("n2")); x.forget(w.claimKey("b")); w.apply(w.start("n3")) },
	},
	{
		"a swap by the leader over a live owner", OneOwner,
		func(w *world) { w.apply(w.accept(record.KindSplit, "a")); w.apply(w.handBack("a")) },
		splitOf("g"),
		func(w *world, _ *tx) {
			w.apply(w.claims("n2", record.StageOpening, "a"))
			w.apply(w.commit("a"))
		},
	},
	{
		"a span that comes with an owner", OneOwner, splitClaimed, splitOf("g"),
		func(w *world, x *tx) { w.edit(x, "a0", func(s *record.Span) { s.Owner = w.span("a").Owner }) },
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
		"a claim over a claim", Fencing, func(w *world) { w.apply(w.handBack("a")) },
		func(w *world) *tx { return w.claims("n2", record.StageOpening, "a") },
		func(w *world, _ *tx) { w.apply(w.claims("n1", record.StageOpening, "a")) },
	},
	{
		"a claim put again", Fencing, func(w *world) { w.apply(w.handBack("a")) },
		func(w *world) *tx { return w.claims("n2", record.StageOpening, "a") },
		func(w *world, _ *tx) { w.apply(w.claims("n2", record.StageOpening, "a")) },
	},
	{
		"a claim of a session that is over", Fencing, func(w *world) { w.apply(w.handBack("a")) },
		func(w *world) *tx { return w.claims("n2", record.StageOpening, "a") },
		func(w *world, _ *tx) { w.apply(w.lose("n2")); w.apply(w.start("n2")) },
	},
	{
		"a claim on no lease", Fencing, func(w *world) { w.apply(w.handBack("a")) },
		func(w *world) *tx { return w.claims("n2", record.StageOpening, "a") },
		func(w *world, x *tx) { delete(x.leases, w.claimKey("a")) },
	},
	{
		"a claim on another's lease", Fencing, func(w *world) { w.apply(w.handBack("a")) },
		func(w *world) *tx { return w.claims("n2", record.StageOpening, "a") },
		func(w *world, x *tx) { x.leases[w.claimKey("a")] = w.lease("n1") },
	},
	{
		"a claim for a former term", Fencing, func(w *world) { w.apply(w.handBack("a")) },
		func(w *world) *tx { return w.claims("n2", record.StageOpening, "a") },
		func(w *world, _ *tx) { w.apply(w.lead()) },
	},
	{
		"a claim when the leader has resigned", Fencing, func(w *world) { w.apply(w.handBack("a")) },
		func(w *world) *tx { return w.claims("n2", record.StageOpening, "a") },
		func(w *world, x *tx) {
			w.apply(newTx().put(w.layout.Leader(), record.EncodeLeader(record.Leader{Resigned: true})))
			w.editClaim(x, "a", func(c *record.Claim) { c.Term = w.term() })
		},
	},
	{
		"two sessions in one transaction", Fencing, func(w *world) { w.apply(w.handBack("a"), w.handBack("b")) },
		func(w *world) *tx { return w.claims("n2", record.StageOpening, "a", "b") },
		func(w *world, x *tx) {
			k := w.claimKey("b")
			other := w.claims("n1", record.StageOpening, "b")
			x.leased(k, other.puts[k], other.leases[k])
		},
	},
	{
		"a commit that leaves its claim", Fencing + ": its claim stayed", moveHandedOff,
		func(w *world) *tx { w.apply(w.claims("n2", record.StageOpening, "a")); return w.commit("a") },
		func(w *world, x *tx) { x.forget(w.claimKey("a")) },
	},
	{
		"a commit after the session", Fencing, moveHandedOff,
		func(w *world) *tx { w.apply(w.claims("n2", record.StageOpening, "a")); return w.commit("a") },
		func(w *world, _ *tx) {
			w.apply(newTx().del(w.layout.Node("n2")))
		},
	},
	{
		"an acceptance during a claim", Fencing, nil,
		func(w *world) *tx { return w.accept(record.KindMove, "a") },
		func(w *world, _ *tx) { w.apply(w.claims("n1", record.StageOpening, "a")) },
	},
	{
		"an acceptance of a deposed leader", Fencing, nil,
		func(w *world) *tx { return w.accept(record.KindMove, "a") },
		func(w *world, _ *tx) { w.apply(w.lead()) },
	},
	{
		"a cancel that does not end the operator", Fencing, moveClaimed,
		func(w *world) *tx { return w.cancel("a") },
		func(w *world, x *tx) { w.forgetHistories(x); x.forget(w.spanKey("a")) },
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
		"history trimmed while nobody leads", Fencing + ": while nobody led",
		func(w *world) {
			w.apply(w.accept(record.KindMove, "a"))
			w.apply(w.endAll(record.OutcomeCancelled, "a"))
		},
		func(w *world) *tx { return w.trim() },
		func(w *world, _ *tx) { w.apply(newTx().del(w.layout.Leader())) },
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
	{
		"a claim without its span", NoResidue, removeClaimed,
		func(w *world) *tx { return w.remove("b") },
		func(w *world, x *tx) { x.forget(w.claimKey("b")) },
	},
}

func TestEveryInvariantCanFail(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := standard(t)
			if c.setup != nil {
				c.setup(w)
			}
			w.apply(c.tx(w))
			if vs, _ := w.auditor.Violations(); len(vs) > 0 {
				t.Fatalf("the history without the mistake is reported: %v", vs)
			}
			w = standard(t)
			if c.setup != nil {
				c.setup(w)
			}
			x := c.tx(w)
			c.bad(w, x)
			w.apply(x)
			vs, _ := w.auditor.Violations()
			if !slices.ContainsFunc(vs, as(c.want)) {
				t.Fatalf("no violation of %s in %v", c.want, vs)
			}
		})
	}
}

// as recognises a violation by "invariant" or "invariant: part of the message".
func as(want string) func(Violation) bool {
	invariant, says, _ := strings.Cut(want, ": ")
	return func(v Violation) bool { return v.Invariant == invariant && strings.Contains(v.Message, says) }
}

func moveClaimed(w *world) {
	w.apply(w.accept(record.KindMove, "a"))
	w.apply(w.claims("n1", record.StageClosing, "a"))
}

func moveHandedOff(w *world) {
	moveClaimed(w)
	w.apply(w.handOff("a", 20))
}

func removeClaimed(w *world) {
	w.apply(w.accept(record.KindRemove, "b"))
	w.apply(w.claims("n1", record.StageClosing, "b"))
}

func removedB(w *world) {
	removeClaimed(w)
	w.apply(w.remove("b"))
}

func splitClaimed(w *world) {
	w.apply(w.accept(record.KindSplit, "a"))
	w.apply(w.claims("n1", record.StageClosing, "a"))
}

func splitOf(at string) func(*world) *tx {
	return func(w *world) *tx {
		r := w.span("a").Range
		return w.swap([]span.ID{"a"}, []span.ID{"a0", "a1"}, []span.Range{{Start: r.Start, End: at}, {Start: at, End: r.End}})
	}
}

// swapReady makes room at the end of the keyspace and adds a span there.
func (w *world) swapReady(id span.ID, r span.Range) *tx {
	w.apply(w.accept(record.KindSplit, "b"))
	w.apply(w.claims("n1", record.StageClosing, "b"))
	w.apply(w.swap([]span.ID{"b"}, []span.ID{"b0", "b1"}, []span.Range{{Start: "m", End: r.Start}, r}))
	w.apply(w.commit("b1"))
	w.apply(w.accept(record.KindRemove, "b1"))
	w.apply(w.claims("n1", record.StageClosing, "b1"))
	w.apply(w.remove("b1"))
	return w.add(id, r)
}

// removeAll deletes the keyspace as a whole.
func (w *world) removeAll() *tx {
	k := w.keyspace()
	k.State = record.KeyspaceDeleting
	k.RangeGeneration++
	w.apply(newTx().put(w.layout.Keyspace(ks), record.EncodeKeyspace(k)))
	for _, id := range w.ids() {
		w.apply(w.accept(record.KindRemove, id))
		w.apply(w.claims("n1", record.StageClosing, id))
		w.apply(w.remove(id))
	}
	w.apply(newTx().del(w.layout.Keyspace(ks)))
	k.State = record.KeyspaceRunning
	return newTx().put(w.layout.Keyspace(ks), record.EncodeKeyspace(k))
}

// pause accepts an operator that pauses the keyspace.
func (w *world) pause() *tx {
	k := w.keyspace()
	k.State = record.KeyspacePaused
	k.RangeGeneration++
	k.Pending = &record.Intent{Operator: w.nextOperator(), Kind: record.KindKeyspace, By: record.ByUser}
	return newTx().put(w.layout.Keyspace(ks), record.EncodeKeyspace(k))
}

// paused ends it.
func (w *world) paused() *tx {
	k := w.keyspace()
	h := record.History{Intent: *k.Pending, Outcome: record.OutcomeDone, FinishedAt: time.Unix(9, 0)}
	k.Pending = nil
	return newTx().put(w.layout.Keyspace(ks), record.EncodeKeyspace(k)).put(w.layout.History(ks, h.Intent.Operator), record.EncodeHistory(h))
}

// endAll ends an operator that nobody has begun.
func (w *world) endAll(o record.Outcome, ids ...span.ID) *tx {
	x := w.finish(newTx(), o, ids...)
	for _, id := range ids {
		s := w.span(id)
		s.Intent = nil
		x.put(w.spanKey(id), record.EncodeSpan(s))
	}
	return x
}

// endedBy cancels the operator of a span for a request.
func (w *world) endedBy(request string, id span.ID) *tx {
	x := w.endAll(record.OutcomeCancelled, id)
	for k, v := range onlyHistories(w, x.puts) {
		h, _ := record.DecodeHistory(v)
		h.Cause = &record.Cause{By: record.ByUser, RequestID: request, Body: []byte(request)}
		x.put(k, record.EncodeHistory(h))
	}
	return x
}

func onlyHistories(w *world, puts map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for k, v := range puts {
		if p, err := w.layout.Parse(k); err == nil && p.Operator != "" {
			out[k] = v
		}
	}
	return out
}

// operatorBefore is the last operator whose id was given out but one.
func (w *world) operatorBefore() string {
	w.seq -= 2
	defer func() { w.seq++ }()
	return w.nextOperator()
}

func rangeOf(start, end string) span.Range { return span.Range{Start: start, End: end} }

// A value that nobody can read is a problem as long as it is there, and nothing is concluded from it.
func TestGarbageIsAProblemAndNoViolation(t *testing.T) {
	w := standard(t)
	moveClaimed(w)
	good := newTx()
	for _, k := range []string{w.spanKey("a"), w.claimKey("a"), w.layout.Keyspace(ks), w.layout.Progress(ks, 0), w.layout.Leader()} {
		good.leased(k, w.store[k].Value, w.store[k].Lease)
		w.apply(newTx().leased(k, []byte{0xff}, w.store[k].Lease))
	}
	w.apply(newTx().put(w.layout.Root()+"what", nil).put(w.layout.NodeConfig("n1"), []byte{0xff}))
	if got := len(w.auditor.Problems()); got != 7 {
		t.Errorf("%d problems: %v", got, w.auditor.Problems())
	}
	good.del(w.layout.Root() + "what").del(w.layout.NodeConfig("n1"))
	delete(good.puts, w.layout.Leader())
	w.apply(good, w.lead())
	if got := w.auditor.Problems(); len(got) > 0 {
		t.Errorf("problems that are gone: %v", got)
	}
	w.apply(w.handOff("a", 20))
	if vs, _ := w.auditor.Violations(); len(vs) > 0 {
		t.Errorf("%v", vs)
	}
}

func TestSettled(t *testing.T) {
	for _, c := range []struct {
		name, want string
		setup      func(*world)
	}{
		{"everything runs", "", func(*world) {}},
		{"an owner whose session is over", NoResidue, func(w *world) { w.apply(w.lose("n1")) }},
		{"nobody is there at all", "", func(w *world) { w.apply(w.lose("n1"), w.lose("n2")) }},
		{"a claim whose session is over", NoResidue + ": a claim of n1", func(w *world) { moveClaimed(w); w.apply(newTx().del(w.layout.Node("n1"))) }},
		{"a claim", Ends + ": still holds", moveClaimed},
		{"a pause", Ends + ": operator", func(w *world) { w.apply(w.pause()) }},
		{"an intent", Ends, func(w *world) { w.apply(w.accept(record.KindMove, "a")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := standard(t)
			c.setup(w)
			if vs, _ := w.auditor.Violations(); len(vs) > 0 {
				t.Fatalf("before it settled: %v", vs)
			}
			w.auditor.Settle()
			vs, _ := w.auditor.Violations()
			if c.want == "" && len(vs) > 0 || c.want != "" && !slices.ContainsFunc(vs, as(c.want)) {
				t.Errorf("want %q, got %v", c.want, vs)
			}
		})
	}
}

// What stands when the history begins is judged as far as it can be.
func TestLoadJudgesWhatStands(t *testing.T) {
	for _, c := range []struct {
		name, want string
		spoil      func(w *world) *tx
	}{
		{"overlap", Coverage, func(w *world) *tx { return w.newSpan("c", rangeOf("a", "b")) }},
		{"claim without a span", NoResidue, func(w *world) *tx {
			x := w.claims("n1", record.StageOpening, "a")
			return newTx().put(w.claimKey("zz"), x.puts[w.claimKey("a")])
		}},
		{"two owners to come", OneOwner, func(w *world) *tx { return w.claims("n2", record.StageOpening, "a") }},
		{"in flight and ended", NoLoss, func(w *world) *tx {
			w.apply(w.accept(record.KindMove, "a"))
			return w.finish(newTx(), record.OutcomeDone, "a")
		}},
		{"one request twice", AtMostOnce, func(w *world) *tx {
			w.apply(w.accept(record.KindMove, "a"))
			x := w.accept(record.KindMove, "b")
			w.edit(x, "b", func(s *record.Span) { s.Intent.RequestID = w.span("a").Intent.RequestID })
			return x
		}},
		{"half a merge", OneOperator, func(w *world) *tx {
			x := w.accept(record.KindMerge, "a", "b")
			x.forget(w.spanKey("b"))
			return x
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := standard(t)
			w.apply(c.spoil(w))
			a := New(w.layout, "")
			if err := a.Load(w.rev, w.list()); err != nil {
				t.Fatal(err)
			}
			vs, _ := a.Violations()
			if len(vs) == 0 || slices.ContainsFunc(vs, func(v Violation) bool { return v.Invariant != c.want }) {
				t.Errorf("want %s, got %v", c.want, vs)
			}
		})
	}
}

func TestFeedingOutOfOrderIsRefused(t *testing.T) {
	w := standard(t)
	if err := w.auditor.Apply(w.rev, nil); err == nil {
		t.Error("a revision twice")
	}
	if err := w.auditor.Load(w.rev+1, nil); err == nil {
		t.Error("a list in the middle")
	}
}

func TestFindingsAreBounded(t *testing.T) {
	var f findings
	for i := range maxViolations + 5 {
		f.add([]Violation{{Revision: int64(i)}, {Revision: int64(i)}})
	}
	if len(f.kept) != maxViolations || f.more != 5 {
		t.Errorf("%d kept, %d more", len(f.kept), f.more)
	}
	var r recent[int]
	for i := range maxRemembered + 2 {
		r.add(i)
	}
	if r.has(0) || r.has(1) || !r.has(2) || !r.has(maxRemembered+1) || len(r.set) != maxRemembered {
		t.Errorf("remembers %d", len(r.set))
	}
}
