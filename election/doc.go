// Package election decides which maintainer leads, on one fixed key of etcd.
//
//	           create-if-absent            Resign: rewritten without a lease
//	(absent) ───────────────────▶ held by a ───────────────────────────────▶ resigned, successor b
//	   ▲                             │  │                                          │
//	   └──── a's lease expires ──────┘  └── Depose: compare-and-swap ──▶ held by b ◀┘ b at once, others after a grace
//
// What for: a leader that is one at a time in its effects, and a next one as soon as possible: within milliseconds of a
// resignation, at once when a standby knows that the leader's process is gone, and else with the leader's lease.
//
// Promised: the term of a seat is the mod revision of the key. The key is never rewritten within a term, and revisions
// never repeat, so a write that compares it ([Seat.Fence]) succeeds only while that term lasts, whoever is confused
// about who leads. A candidate whose own session is over never wins: the key goes in on its lease. A seat ends when the
// key changes, is deleted, or the session ends, and tells ([Seat.Lost]) without being asked. An answer that got lost is
// settled by reading.
//
// Not promised: that two processes never believe to lead at the same moment. That cannot be had; compare the term in every
// write. Nor fairness among candidates.
//
// How used:
//
//	c, err := election.New(election.Config{Client: client, Key: key, Self: me, Session: session, Logger: log})
//	for {
//		seat, err := c.Campaign(ctx)
//		…
//		err = election.Hold(ctx, seat, successor, func(ctx context.Context, term int64) error { … })
//	}
//
// Who may call it: a maintainer campaigns, with one candidate per process; anyone may [Observe].
package election
