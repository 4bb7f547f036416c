// Package world is a whole cluster in one process: maintainers, dispatchers, their network and a real etcd in a
// synctest bubble, on virtual time.
//
// What for: to kill any process before or after any transaction or message, in milliseconds, as often as there are
// such places, and then to look at all that etcd has seen.
//
// Promised: a killed process reaches nothing any more, neither etcd nor its peers; its listeners refuse at once, as
// those of a dead process on a living host do; a supervisor starts it again after a second. The sink that all
// workloads share fences by token and notes two instances that could both write.
//
// Not promised: sockets, real time, or a second host. Package integration has those.
//
// Used by its own tests only. A World belongs to the goroutine of its test, but for what says otherwise.
package world
