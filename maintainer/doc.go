// Package maintainer is one replica of the control plane.
//
// What for: of all maintainers of a cluster one leads. It decides what follows for every span, asks dispatchers to act
// over a stream that each of them keeps, and accepts the commands of users. The others hold the whole state warm, so
// that any of them goes on where the leader stopped.
//
//	(session) ──register──▶ standby ──Campaign, Depose──▶ won ──view at the term, first write──▶ leading
//	    ▲                      ▲                                                                    │
//	    └── session lost ──────┴────────────── term over, or resigned to a successor ◀──────────────┘
//
// What is promised: what a leader does to etcd compares its term, so a leader that does not know that it is none can do no
// harm. A take-over lists nothing and waits for no node. What a leader has in its head (who was asked what, when it is
// tried again) may be lost at any moment: the next one finds it out from the records. Asks are repeated with the plan
// that they were made on, and never refreshed; nothing spins. A leader whose loop hangs loses its session.
//
// What is not: the messages to dispatchers are wishes. Only the transactions that dispatchers make of them count, and a
// dispatcher that does not answer cannot be forced.
//
// How it is used:
//
//	m, err := maintainer.New(maintainer.Config{
//		Layout: layout, Name: "m1", Advertise: "10.0.0.1:7070", Listener: listener, Client: etcd, Logger: log,
//	})
//	…
//	err = m.Run(ctx) // until ctx ends; then it resigns and returns
//
// In one term one goroutine decides: the loop. It is told of changes of the records by the view, of reports by streams,
// of answers by its writers, and of time by its alarms, looks at the spans that those concern, asks operator.Next what
// follows, and carries that out. So its cost follows what changes, not how much there is.
//
// Who may call it: Run once, from one goroutine; Stats from any.
package maintainer
