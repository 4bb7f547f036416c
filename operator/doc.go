// Package operator decides how an accepted change of a span goes on, and spells the transactions that carry it.
//
// What for: one change — placement, add, remove, move, split, merge — is carried by several processes that die at any
// moment. All that is decided about it is decided here, by pure functions over stored records:
//
//   - Next, the roll-forward: from all records of an operator to what the leader does now. Take-over, the death
//     of a node and every watch event use it and nothing else.
//   - Actor.Step, the dispatcher's side of one span: from a claim through the workload to the transaction that ends the
//     step. Merger.Step is the same for a merge, whose sources one session claims, closes and swaps together.
//   - the transaction builders: every write of either side with its compares, as values (internal/txn). EarlyEnd is the
//     one way in which an operator ends before it is done: failed, cancelled, or superseded by a remove.
//
// What is promised: each function is deterministic and total: any event in any phase has a defined result, and
// what is not meant for a phase is ignored in one place. No builder omits a compare that DESIGN section 3 asks for.
//
// What is not: progress. Someone has to call Next again after each change; deadlines and backoff are events and
// arguments, since there is no clock here.
//
// How it is used: the maintainer gathers Records from its view and carries the Actions out; the dispatcher keeps one
// Actor for each span that it acts on, and one Merger for each merge, and carries the Effects out, in order.
//
// Who may call: anybody. Values are not shared: a Step returns a new Actor or Merger.
//
//	              accept (leader)                    claim                 really closed
//	remove   ────────────────────────▶ queued ──────────────▶ closing ──────────────────────▶ finished (span deleted)
//	move     ────────────────────────▶ queued ──────────────▶ closing ──────▶ handed off ──▶ opening ──▶ finished
//	                                                             hand-off (commit point) ┘   claim   └ commit
//	split    ────────────────────────▶ queued ──────────────▶ closing ──────▶ finished (children claimed, opening)
//	                                                               swap (commit point) ┘
//	merge    ────▶ queued ──▶ sources gathered by hand-offs and openings ──▶ closing all ──▶ finished (child opening)
//	                                                  claim of all at one node ┘    swap (commit point) ┘
//	placement                          (no owner) ──────────▶ opening ──────▶ running
//	                                                 claim              commit
package operator
