// Package dispatcher is the worker side of Spanward, and its SDK: it runs the spans that the leader gives to one node.
//
// What for: a program implements [Workload] — open a span, close it — and gets sharding, fail-over, moves, splits and
// merges. The dispatcher claims spans in etcd, calls the workload, commits, hands spans off and back, swaps them for others,
// and stops in time. [CloserAt] spares a merge work that is done twice.
//
// Promised: an instance runs only under a claim of this session, or while the session owns its span. Every step is one
// transaction that compares the session, the claim and the record, and whose lost answer is settled by sending it
// again. Once the right to act is over — no renewal answered for the TTL less a margin, the node key gone, the node
// evicted — every instance is aborted at once, whether or not etcd, the leader or the loop answer; then the process
// registers anew. A clean stop hands every span back before Run returns. Only one process works under a name.
//
// Not promised: that a process which was stopped (SIGSTOP, a suspended machine) does nothing when it wakes up. What it
// had under way can still reach the sink, so a workload fences its sink with [Task.Token]. Nor that a workload ends
// when told to: one that does not keeps its span, and after a lost session the whole node, until it does.
//
// How it is used:
//
//	d, err := dispatcher.New(dispatcher.Config{Cluster: layout, Name: "n1", Client: client}, map[string]dispatcher.Workload{"count": w})
//	…
//	err = d.Run(ctx) // until ctx ends and everything is handed back
//
// Who may call: New and Run the program, once each; [Dispatcher.Stats] anybody at any time. Workloads are called from
// many goroutines. One goroutine, the loop, owns everything about the spans of a session and waits for nothing; calls of
// workloads, batches of transactions and the stream to the leader have goroutines of their own.
package dispatcher
