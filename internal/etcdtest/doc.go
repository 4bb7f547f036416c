// Package etcdtest gives tests a real etcd server, in two places.
//
// What for: [Start] and [StartCluster] serve on sockets of 127.0.0.1, for tests that want a network, TLS, accounts, a
// restart or real fsync. [StartBubble] serves inside a testing/synctest bubble over connections in memory, so that a
// lease of ten seconds expires in microseconds and a day passes in seconds.
//
// Promised: both run the same etcd server with its own gRPC services in front, so every check, limit and error of etcd
// is the real one. The clients of a bubble are ordinary clientv3 clients. Each [Process] of a bubble is a client that
// can be killed as by kill -9, stopped and continued as by SIGSTOP and SIGCONT, and disturbed call by call with
// [Process.Inject]. Everything is stopped when the test ends.
//
// Not promised: Pause stops the bytes of a process, not its goroutines: its timers and deadlines go on. Bytes that were
// under way when a process was killed may still arrive, as over a real network; synctest.Wait settles that.
//
// How used:
//
//	synctest.Test(t, func(t *testing.T) {
//		etcd := etcdtest.StartBubble(t)
//		a, b := etcd.Process(), etcd.Process()
//		_, err := a.Client().Put(t.Context(), "key", "value")
//		a.Kill()
//		// …
//	})
//
// Who may call it: tests and package integration only, since it links the etcd server.
package etcdtest
