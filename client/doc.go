// Package client talks to the control API of a cluster, whoever leads it at the moment.
//
// What for: programs and the command line want to ask and change things without knowing maintainers by address, and
// without noticing that the leader has been replaced in between.
//
// What is promised: the leader is tried first, then every other maintainer, which forwards. What is unavailable, not the
// leader any more or silent is tried again elsewhere until the caller's deadline, or for [Config.Patience] without one.
// Every request of one call is the same, request id included, so a changing call that is repeated is carried out once;
// a request without an id gets a random one. Errors are *fault.Error where the server gave a reason.
//
// What is not: an error of class unavailable says nothing about the outcome. Repeat the call with the same request id.
// Answers of [Client.Lookup] are true when they are given and may be old when they arrive: a data path must be fenced with
// the token.
//
// How it is used:
//
//	c, err := client.New(client.Config{Cluster: "default", Find: client.FromEtcd(etcd, layout)})
//	defer c.Close()
//	resp, err := c.Control().MoveSpan(ctx, &controlv1.MoveSpanRequest{Keyspace: "orders", Span: id, To: "n2"})
//
// Who may call it: anyone above floor 2, from any goroutine. Close ends what is in flight.
package client
