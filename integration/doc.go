// Package integration holds the tests of the whole: a real etcd with maintainers and dispatchers around it.
//
// There are three kinds, each with its own folder:
//
//   - world: everything in one process, in a synctest bubble on virtual time, with processes that are killed before
//     and after every transaction and message. After each run etcd's whole history is audited.
//   - proc: the real binary, over sockets, with kill -9, SIGSTOP and restarts; also what the benchmarks of hand-over
//     and placement use.
//
// None of them is imported by anything.
package integration
