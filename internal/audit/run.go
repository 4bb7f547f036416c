package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/keys"
)

const (
	// callTimeout bounds every call of etcd but the watch.
	callTimeout = 30 * time.Second
	// stallTimeout bounds how long the watch may bring nothing before its end is reached.
	stallTimeout = time.Minute
	// pageSize is how many keys one list asks for; smaller pages make a long list slow.
	pageSize = 50_000
	// maxCompactions is how often etcd may be compacted away under one run before it gives up.
	maxCompactions = 10
)

// Options say how to audit.
type Options struct {
	// Settled says that nothing moves any more, so that residue and operators in flight are violations, too.
	Settled bool
	// Progress, if set, is told now and then which revision has been judged, and which is the last to come.
	Progress func(revision, last int64)
}

// Report is the result of a run.
type Report struct {
	OK bool
	// Revision is the last that was judged. History begins at HistoryFrom: older revisions etcd no longer has.
	Revision, HistoryFrom int64
	Violations            []Violation
	// More counts violations beyond those listed.
	More int
	// Problems are keys that cannot be understood; they are not violations.
	Problems []Problem
}

// errCompacted says that etcd no longer has a revision that is needed, and which one is the oldest now.
type errCompacted struct{ oldest int64 }

func (e *errCompacted) Error() string { return fmt.Sprintf("compacted up to revision %d", e.oldest) }

// Run judges everything that etcd still has of a cluster's history, up to the revision at which it begins; keyspace ""
// is all of them. It writes nothing. If etcd is compacted meanwhile beyond what was read, the gap is not judged and the
// history of the report begins after it.
func Run(ctx context.Context, client *clientv3.Client, layout keys.Layout, keyspace string, o Options) (Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	last, err := current(ctx, client, layout)
	if err != nil {
		return Report{}, err
	}
	r := &replay{client: client, layout: layout, keyspace: keyspace, from: 1, last: last, progress: o.Progress, auditor: New(layout, keyspace)}
	if err := r.run(ctx); err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	if o.Settled {
		r.auditor.Settle()
	}
	return r.report(), nil
}

// current is the revision of etcd now.
func current(ctx context.Context, client *clientv3.Client, layout keys.Layout) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := client.Get(ctx, layout.Leader(), clientv3.WithKeysOnly())
	if err != nil {
		return 0, fmt.Errorf("audit: revision of etcd: %w", err)
	}
	return resp.Header.Revision, nil
}

// replay brings the history of a prefix to an auditor.
type replay struct {
	client   *clientv3.Client
	layout   keys.Layout
	keyspace string
	auditor  *Auditor
	progress func(revision, last int64)
	// from is where the history begins, reached how far it has been seen, last where it ends.
	from, reached, last int64
	// earlier was found before a gap.
	earlier findings
	// partial are the changes of a revision that may go on in the next answer.
	partial []Change
}

// run watches up to the end. Whenever etcd does not have what comes next any more, it begins again with the oldest
// state that is left; the first watch, from the first revision of all, finds that out.
func (r *replay) run(ctx context.Context) error {
	for range maxCompactions {
		err := r.follow(ctx)
		gap := (*errCompacted)(nil)
		if !errors.As(err, &gap) {
			return err
		}
		err = r.restart(ctx, gap.oldest)
		if errors.Is(err, rpctypes.ErrCompacted) {
			// Compacted again before it could be listed: a watch from the first revision tells where to begin now.
			r.reached = 0
		} else if err != nil {
			return err
		}
	}
	return fmt.Errorf("etcd was compacted %d times meanwhile", maxCompactions)
}

func (r *replay) report() Report {
	all := r.earlier
	all.add(r.auditor.found.kept)
	all.more += r.auditor.found.more
	return Report{
		OK: len(all.kept) == 0, Revision: r.last, HistoryFrom: r.from, Violations: all.kept, More: all.more,
		Problems: r.auditor.Problems(),
	}
}

// restart begins again with everything stored at the oldest revision that is left.
func (r *replay) restart(ctx context.Context, oldest int64) error {
	r.earlier.add(r.auditor.found.kept)
	r.earlier.more += r.auditor.found.more
	r.auditor, r.partial = New(r.layout, r.keyspace), nil
	list, err := r.list(ctx, oldest)
	if err != nil {
		return err
	}
	r.from, r.reached = oldest, oldest
	// Compaction may have passed the revision at which this run began.
	r.last = max(r.last, oldest)
	return r.auditor.Load(oldest, list)
}

// list is everything below the prefix at a revision.
func (r *replay) list(ctx context.Context, revision int64) ([]Change, error) {
	var out []Change
	end := clientv3.GetPrefixRangeEnd(r.layout.Root())
	for from := r.layout.Root(); ; {
		resp, err := r.page(ctx, from, end, revision)
		if err != nil {
			return nil, err
		}
		for _, kv := range resp.Kvs {
			out = append(out, Change{
				Key: string(kv.Key), Value: kv.Value, Create: kv.CreateRevision, Mod: kv.ModRevision, Lease: kv.Lease,
			})
		}
		if !resp.More {
			return out, nil
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

func (r *replay) page(ctx context.Context, from, end string, revision int64) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := r.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithRev(revision), clientv3.WithLimit(pageSize))
	if err != nil {
		return nil, fmt.Errorf("list at revision %d: %w", revision, err)
	}
	return resp, nil
}
