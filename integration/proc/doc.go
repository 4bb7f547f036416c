// Package proc runs a cluster of real spanward processes for tests and benchmarks: it builds the binary once,
// starts etcd, maintainers and dispatchers on 127.0.0.1, kills and stops them, and talks to them through the command
// line only, as a user's script would.
//
// Promised: every process that was started is gone when the test ends, also if the test binary is killed; a failed
// test prints the end of each log. Waits are for conditions and bounded.
//
// Not promised: anything about time. The machine may be slow; bounds are generous.
//
// Used by the tests of package integration; a [Cluster] belongs to one test and is not safe for concurrent use
// unless a method says so.
package proc
