// Package leases keeps a process's one session with etcd: a lease, and the right to act that follows from it.
//
// What for: a dispatcher that owns spans and a maintainer that leads must stop by themselves before etcd can let
// somebody else take their place, whatever they hear or do not hear.
//
// Promised: [Session.MayAct] is true only until the send time of the last answered renewal, plus the TTL that etcd
// granted, minus a margin, on a clock that counts suspends. etcd starts that TTL when it handles the renewal, which is
// later than the send time, and looks for expired leases only now and then; so the right always ends before the lease.
// Once the right is over it never comes back, and [Session.Lost] is closed without any answer having to arrive.
//
// Not promised: that a process stops in time. One that was stopped (SIGSTOP, a suspended machine) wakes up late and may
// have passed its last check already; only a fenced write is safe then. The margin is for what takes milliseconds.
//
// How used:
//
//	s, err := leases.Grant(ctx, client, leases.Config{TTL: 5 * time.Second, Clock: leases.Boottime, Logger: log})
//	…
//	go s.Run(ctx)                   // renews; nothing else may renew the lease
//	client.Put(ctx, key, value, clientv3.WithLease(s.ID()))
//	<-s.Lost()                      // stop everything
//	s.Revoke(ctx)                   // the end of a clean stop
//
// Who may call it: the process that granted it. All methods may be called from any goroutine; Run once.
package leases
