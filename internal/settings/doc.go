// Package settings is the table of what can be changed about the control plane while it runs: deadlines, retries,
// budgets, how long things are remembered.
//
// What for: one row of the table gives a setting its name, unit, default, bounds and help, and everything else follows:
// what the leader works with, what the command line accepts, completes and shows, and docs/configuration.md.
//
// What is promised: a value that Check has accepted is within its bounds; Resolve gives every setting a value within its
// bounds, whatever is stored, and says where it comes from. A stored value that this version cannot use counts as absent
// and is told of, so that a record written by another version never stops anybody.
//
// What is not: settings of workloads, what a process must know before it can read anything from etcd (addresses, TLS, its
// session's TTL), and any idea of when a change takes effect: that is the leader's business.
//
// How it is used: a new setting is a field of Values and a row of the table. Where a value comes from, the first that has
// one: the keyspace, the cluster's record, the flags of the maintainer that leads, the default.
//
// Who may call: anybody; everything here is a pure function.
package settings

//go:generate go test . -run TestDocsAreCurrent -update
