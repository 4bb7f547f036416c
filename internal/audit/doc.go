// Package audit checks from outside whether Spanward keeps its word: over etcd's history, and over the event logs of workers.
//
// What for: the invariants of the design, coverage and one owner first of all, are claims about every moment and every
// revision, whoever was killed in between. `spanward check` and every test with more than one process ask this package.
// It shares nothing with what it audits but the spelling of keys, the stored records and ranges, so that a wrong rule
// in operator or view cannot hide itself.
//
// What is promised: [Auditor] is pure and looks at every revision; it reports only what is false at that very revision,
// so it may run against a live cluster, and a history that follows the design is never reported. [Run] feeds it with
// the state at the oldest revision that etcd still has and with everything since. [Events] checks ownership by the
// clock of a host, from the lines that workers write, without any look at etcd.
//
// What is not: proof. Etcd does not show who wrote a record, when a process really stopped, or what a sink accepted;
// what was compacted is not seen; and what an administrator changes by hand is reported like anybody's doing. Records
// that cannot be decoded are problems, not violations, and what depends on them is not judged.
//
// How it is used:
//
//	report, err := audit.Run(ctx, client, layout, "", audit.Options{})
//	audit.Check(t, client, layout) // in tests, at their end
//
//	var events audit.Events
//	err := events.ReadFile("events.log")
//	report := events.Report()
//
// Who may call: anybody. An Auditor and an Events are for one goroutine.
package audit
