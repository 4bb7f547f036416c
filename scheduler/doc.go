// Package scheduler decides which node runs which span, and when spans are split and merged by load.
//
// What for: placement of spans that nobody owns, by load and by the Rules of their keyspaces (labels that nodes must or
// should have, a spread, pins), plans that empty nodes, the hold that keeps the death of many nodes at once (an etcd
// freeze expires every lease) from turning into a stampede, and a Fleet: a model of the cluster that is changed as things
// change, and says which spans to move so that nodes carry alike, and which to split or merge.
//
// What is promised: no clock, no I/O; the same input gives the same plan, in the same order, and a Fleet that was changed step
// by step counts as one that was told how things are. No plan exceeds a node's capacity or budget, names a node that is not
// eligible, or breaks what a keyspace requires. A span that cannot be placed is returned with the reason, and every move
// has one. Balance comes to an end: without limits nothing follows from its own result, a level fleet is left alone, and
// the k-th equal node causes as many moves as it gets spans. What is refused is not planned again before the cooldown is over.
// A call costs what has changed: nothing if nothing has, else a look at each node for each set of spans that may go to the
// same nodes, and for each move.
//
// What is not: safety. A plan may be out of date when it is carried out; the compares of the claims decide. A Fleet knows what
// it was told: who plans with it notes what becomes of a plan, also that it was refused. Only a Fleet that has planned before
// remembers which nodes it was levelling when a budget ran out. Levels are found by moves of single spans, never by
// swapping two.
//
// How it is used: the leader gathers what changed into Wants, the nodes as they will be once everything in flight
// is done, and asks Place; it carries the assignments out and shows the reasons. It tells its Fleet of nodes, spans and loads
// as they change, asks Balance and SplitsAndMerges in each turn, and looks again at NextBalance and NextReshape at the latest:
//
//	f := scheduler.NewFleet()
//	f.Configure(cfg, 8)
//	f.SetNode(node)
//	f.SetSpan(s)                            // again whenever something about it has changed
//	f.SetLoad(s.Ref, load, now)             // whenever it reports
//	for _, m := range f.Balance(now) { … }  // noted as in flight; SetSpan says what has become of it
//
// Who may call: the functions anybody, concurrently; a Fleet is not for concurrent use.
package scheduler
