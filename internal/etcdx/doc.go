// Package etcdx connects to etcd, and sends the transactions that internal/txn describes.
//
// What for: one place that knows what an etcd must be like to be used at all, how batches become transactions within its
// limits, and what its errors say about what has happened.
//
// What is promised: [Connect] returns a client of an etcd that answers, is new enough and is one cluster, or says what
// to do. [Run] sends a batch as one transaction, so its outer compares hold for all that it does. [Settle] does not
// rest until it knows what became of each part. [Chunk] makes batches that etcd takes.
//
// What is not: that an error means that nothing has happened. Unless it is definite it wraps [ErrUnknown], and then the
// transaction may even be carried out later. Nothing here decides whether something should be tried once more with
// newer revisions: compares belong to a plan, and whoever made the plan makes another.
//
// How it is used:
//
//	client, err := etcdx.Connect(ctx, etcdx.Config{Endpoints: endpoints})
//	for _, b := range etcdx.Chunk(outer, parts) {
//		results, err := etcdx.Settle(ctx, client, lease, b, etcdx.Options{})
//		// …
//	}
//
// Who may call it: everything above floor 0, from any goroutine; there is no state here.
package etcdx
