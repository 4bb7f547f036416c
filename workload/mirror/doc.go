// Package mirror is the workload that replicates key ranges from one etcd to another, or to files.
//
// What for: it takes the place of `etcdctl make-mirror`: it resumes, it sees deletes that happened while it was down, it
// notices a silent watch, and two of it cannot write the same keys.
//
// # What is promised
//
// The destination's range holds what the source's range had at one revision, the checkpoint, which is stored in the same
// transaction as the data. Every change after the first copy is applied, once, in revision order, none coalesced; the
// changes that one source transaction made within a span land in one transaction. Several source transactions may share one
// at the destination as long as no key is in two of them.
//
// A copy lists the source at one fixed revision and merges that with what is at the destination: equal keys are not
// written, keys that the source does not have are deleted. It happens when a span never ran, when nothing is stored for
// some part of its range (only that part is copied), and when the source has compacted away what comes after the checkpoint.
//
// Splits and merges replay nothing, leave nothing out and sum nothing up: every piece of a range goes on from its own
// position, whatever the spans were that brought it there, whether they were closed or died, and whether anybody was told
// how far they were. The sources of a merge end at one revision, exactly. One that is still copying has none to end at: its
// copy is given up at once, so that it does not keep the others waiting, and the merged span begins that piece's copy anew.
//
// Once Open has returned, nothing that was opened with a smaller token can write anything in or beside the range, whatever
// the ranges of the two are. Once Close has returned, no write of the instance can follow: if an answer is missing, the
// fence is rewritten first, which refuses the write if it arrives later. The position that Close returns is stored.
//
// What one destination transaction cannot hold makes the span report an error that names the key, and go on trying
// slowly. Other spans are not affected. A source or destination that is away is waited for.
//
// # What is not promised
//
//   - Revisions, versions and create revisions of keys are not preserved. Never put a mirror under a kube-apiserver:
//     its resource versions are etcd's revisions.
//   - Transactions are kept together within a span only. Spans are independent.
//   - Others may write to the destination's range, but what they write stays until the source changes the key or the
//     range is compared again; `mirror diff` finds it.
//   - A copy shows the destination's readers a mixture until it ends. Changes made between the old checkpoint and the revision
//     of a new copy appear as their sum, as do changes made while a copy that is given up is under way. The rest of a range
//     waits while a piece of it is copied.
//   - A span that has no position and was not made from others trusts nothing that it finds: it may be of a keyspace that
//     had the same name. It is compared in full.
//   - Within one source transaction that puts and deletes the same key, only the last state is written.
//   - With leases=copy, keys end at the destination if no dispatcher renews their leases for a TTL. A span that ever had a
//     leased key is compared in full whenever it is opened.
//   - The source must keep its history for as long as listing a span takes, or the copy starts again.
//   - A keyspace that gets another dest-prefix is copied there; what lies under the old one stays.
//   - A source that went back in revisions, or is another etcd cluster, is refused: reconciling with an empty etcd by
//     mistake would delete everything.
//
// # At the destination
//
// An etcd has, under /spanward-mirror/<cluster>/<keyspace>/:
//
//	fence/<id>  a segment: range of source keys, token, and parts: which revision each piece of it is at
//	at/<id>     a revision that all parts have been brought to, written with every change of data
//
// Keys under /spanward-mirror/ are never mirrored or compared. They stay when a keyspace is deleted, so that old owners stay
// fenced; delete them by prefix when no dispatcher of that time can run any more.
//
// The segments never overlap, once everything that is opening has opened. Every data transaction compares the revision of the
// own fence key. A newer owner puts its own segment first and then takes over what it finds: cut down to what is outside
// its range, or deleted. The pieces come along with their checkpoints, so that a merged span replays from the lowest and
// leaves out, for each piece, what that has already. Spans that open at the same time in one process read the segments
// together.
//
// A directory (dest=file:DIR) has DIR/<span>-<token>.jsonl for every opening, one line for a change, and the segments in
// one hidden file that is replaced by a rename under a lock. A transaction is complete with the line that has txn_end;
// what follows the last one after a crash is cut off by the next owner. The copy of a piece is one transaction. If it
// may replace earlier lines, it begins with {"op":"reset"}: keys from key up to value are gone unless they follow. The files
// of any key, in the order of their tokens, have its changes once and in order. All nodes must see the directory under one
// path, with working locks.
//
// # Quiet spans
//
// How far the source is comes from progress notifications, without any write: a position without changes behind it is as durable
// as the last change. It is stored when the span closes, and every four minutes so that a crash does not fall behind the source's
// compaction.
//
// # Settings of a keyspace
//
//	source, dest                 URLs of an etcd, separated by commas; dest may be file:DIR
//	source-prefix, dest-prefix   the first is taken off the keys of the source, the second put before them
//	leases=drop|copy             whether keys hang on leases at the destination as they do at the source (drop)
//	dest-compact=DURATION        throw away the destination's history that is older; without it nothing is
//	load=writes|bytes            what the load of a span counts: changes a second, or bytes of them (writes)
//	source-cacert, -cert, -key, -user, -password-file, and the same with dest: access, where the process's own is not right
//
// # What it reports
//
// The load of a span is how many of its keys change a second, or with the keyspace setting load=bytes how many bytes of
// keys and values do, averaged over some ten seconds. It is told when it has moved by a twentieth; below a change in
// a hundred seconds, or a byte a second, there is none. Its size is the number of keys that it mirrors, as they are at the
// source: they are counted once, after the copy if there is one, and then followed through what is created and deleted. What
// may have been missed, since an answer of the destination was lost, is counted again, at most once a minute. A count
// that fails leaves the size unknown, or as it was.
//
// Up to seven keys are proposed to split at. While keys change they cut the load of the last while into equal shares: the
// last two thousand changes or so, from 64 of them on. Where nothing changes they cut the keys into equal shares. A span
// that was copied has seen all its keys; for another one the source is asked, some ten seconds after the opening, for the
// first key and the number of keys of some pieces of the range, 96 at the most, and again when the size is another by half. A
// span with fewer than 64 keys, or with nearly all changes in one, proposes none. In one process, one span at a time asks a
// source such questions, and a span that stays as it is asks none.
//
// # How it is used
//
//	w, err := mirror.New(mirror.Config{Log: log})
//	…
//	dispatcher.New(dispatcher.Config{Workloads: map[string]dispatcher.Workload{mirror.Name: w}, …})
//
// Who may call it: a dispatcher runs a [Workload]; the control plane calls [Validate] when a keyspace is created; [Diff] may be
// called by anyone who can read both etcds, while mirrors run or not. All of them are safe for concurrent use.
package mirror
