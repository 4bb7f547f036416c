// Package explore visits every state that the operators of package operator can reach, breadth first, under every
// order of events: transactions and their answers, calls into workloads, requests of the leader, deaths, expiries
// under a living process, changes of the leader, lost answers, late copies, cancels.
//
// What for: the rules of the protocol hold because of what happens between steps, and nobody thinks of all orders.
// What decides here is the shipped code: operator.Next, Actor.Step, the transaction builders and their compares. Only
// what surrounds them is modelled: etcd, processes, the network, a sink that fences.
//
// What is promised: within the bounds of a Config, a run that ends without a Violation has seen every state, each one
// kept the invariants of the design as far as they are about records, instances and tokens, and from each one a clean
// state can be reached without a further fault. A violation comes with a shortest trace.
//
// What is not: time (a deadline is an event that may come at any moment), batches and limits of etcd, the view and its
// lag other than as late requests and late writes, reports, request ids, and whatever exceeds the budgets of faults.
//
// How it is used: a test calls Run with a Config and fails on Result.Violation. States that differ only in the
// absolute value of revisions are one state: see canon.go, which must know every field that decisions are made on.
// Mutants take one rule away from the transactions or effects on their way, to show that the exploration would notice.
//
// Who may call: tests.
package explore
