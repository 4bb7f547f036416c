package audit

import (
	"github.com/spanward/spanward/internal/record"
)

// ownerCases give a span two owners, or let one act without the right to.
var ownerCases = []mistake{
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
		"history trimmed while nobody leads", Fencing + ": while nobody led",
		func(w *world) {
			w.apply(w.accept(record.KindMove, "a"))
			w.apply(w.endAll(record.OutcomeCancelled, "a"))
		},
		func(w *world) *tx { return w.trim() },
		func(w *world, _ *tx) { w.apply(newTx().del(w.layout.Leader())) },
	},
}
