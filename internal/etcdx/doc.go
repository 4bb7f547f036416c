// Package etcdx is how Spanward talks to etcd: it connects, and it carries out transactions that were described as
// values.
//
// What for: so that nobody else has to know how etcd is reached, what it cannot do in one transaction, and what an error
// of it means.
//
// Promised: [Connect] returns a client only of an etcd that is reachable, new enough and one cluster, and otherwise a
// fault that says what to do. [Run] sends a batch of internal/txn once, and [Settle] until its outcome is known: each
// part done, refused with what was found in its way, or fenced. [Chunk] cuts batches to what one transaction may hold.
//
// Not promised: that a request without an answer was not carried out, or will not be later. The compares of a
// transaction must keep it from doing harm then.
//
// How used:
//
//	client, err := etcdx.Connect(ctx, etcdx.Config{Endpoints: endpoints})
//	…
//	results, err := etcdx.Settle(ctx, client, lease, batch, etcdx.Options{})
//
// Who may call it: floor 1 and above, from any goroutine.
package etcdx
