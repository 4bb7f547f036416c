// Package view keeps everything that one Spanward cluster stores in etcd as a typed, indexed snapshot.
//
// What for: leaders decide, standbys keep warm, commands list and dispatchers find their records by looking here, never
// by asking etcd record by record.
//
// What is promised: the state is that of one revision of etcd, all of it: a revision shows up as a whole or not at
// all, none is left out, and none comes twice. After a gap that etcd cannot fill (a compaction) everything is listed
// again, so deletions are never missed. A watch that has fallen silent is noticed and replaced. Records that make no
// sense are quarantined and do not disturb the others.
//
// What is not: that the state is the newest. Wait for a revision before deciding by it; a leader waits for the one
// at which it won its term. And it never says that a session may not act any more: SeenVanish tells when this process
// saw its registration disappear, which is where that reasoning starts.
//
// How it is used:
//
//	v, err := view.New(view.Config{Client: client, Layout: layout, Logger: log})
//	go v.Run(ctx) // in an errgroup
//	sub := v.Subscribe()
//	err = v.Wait(ctx, revision)
//	v.Read(func(s *view.State) { span = s.Lookup("orders", "key") })
//
// Who may call: any goroutine may call the methods of View. A State belongs to whoever made it; the one that Read
// shows must not be kept, but the values that it hands out may: they never change.
package view
