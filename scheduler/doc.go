// Package scheduler decides which node runs which span.
//
// What for: placement of spans that nobody owns, by load and by the Rules of their keyspaces (labels that nodes must or
// should have, a spread, pins), plans that empty nodes, and the hold that keeps the death of many nodes at once (an etcd
// freeze expires every lease) from turning into a stampede. Balancing comes on top of the same values.
//
// What is promised: pure functions of their arguments; the same input gives the same plan, in the same order.
// No plan exceeds a node's capacity or budget, names a node that is not eligible, or breaks what a keyspace requires. A
// span that cannot be placed is returned with the reason.
//
// What is not: safety. A plan may be out of date when it is carried out; the compares of the claims decide.
//
// How it is used: the leader gathers what changed into Wants, the nodes as they will be once everything in flight
// is done, and asks Place; it carries the assignments out and shows the reasons.
//
// Who may call: anybody, concurrently.
package scheduler
