package election

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/record"
)

const (
	// rereadInterval bounds how long a watch that has silently died goes unnoticed.
	rereadInterval = 3 * time.Second
	// The pauses between attempts while etcd does not answer.
	firstPause   = 20 * time.Millisecond
	longestPause = 500 * time.Millisecond
)

// Holder is what the key says at a revision.
type Holder struct {
	record.Leader
	// Term is the mod revision of the key, 0 if there is none.
	Term int64
	// Revision is etcd's at the time of reading.
	Revision int64
	// Problem says why the record cannot be read. Nobody leads then.
	Problem error

	lease clientv3.LeaseID
}

// Leads reports whether somebody leads. A record without a lease was resigned or put by hand, which ended the term that
// was, and nobody's death would ever remove it.
func (h Holder) Leads() bool {
	return h.Term != 0 && h.Problem == nil && !h.Resigned && h.lease != clientv3.NoLease
}

func holderOf(kv *mvccpb.KeyValue, revision int64) Holder {
	if kv == nil {
		return Holder{Revision: revision}
	}
	h := Holder{Term: kv.ModRevision, Revision: revision, lease: clientv3.LeaseID(kv.Lease)}
	h.Leader, h.Problem = record.DecodeLeader(kv.Value)
	return h
}

// follower knows what the key says, and learns of changes. It belongs to one goroutine, and its methods are all called
// with the same context.
type follower struct {
	client *clientv3.Client
	key    string
	log    *zap.Logger
	cur    Holder
	read   time.Time // when the key was last read

	watch clientv3.WatchChan // nil while none is open
	stop  context.CancelFunc
}

func newFollower(client *clientv3.Client, key string, log *zap.Logger) *follower {
	return &follower{client: client, key: key, log: log, stop: func() {}}
}

func (f *follower) close() {
	f.stop()
	f.watch, f.stop = nil, func() {}
}

// reread asks etcd until it answers, ctx ends, or there is no hope.
func (f *follower) reread(ctx context.Context) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		h, err := f.get(ctx)
		if err == nil {
			f.read = time.Now()
			f.learn(h)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if hopeless(err) {
			return err
		}
		f.log.Warn("leader key not readable", zap.Error(err))
		sleep(ctx, pause)
	}
}

func (f *follower) get(ctx context.Context) (Holder, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := f.client.Get(ctx, f.key)
	if err != nil {
		return Holder{}, fmt.Errorf("read the leader key: %w", err)
	}
	return holderOf(first(r.Kvs), r.Header.Revision), nil
}

// learn takes over an answer, unless it is older than what is known. Events of the watch that it includes are ignored
// when they come.
func (f *follower) learn(h Holder) {
	if h.Revision >= f.cur.Revision {
		f.cur = h
	}
}

// wait returns true as soon as the key has changed, and false if it has not for d; a negative d means no limit. Several
// changes may be seen as one.
func (f *follower) wait(ctx context.Context, d time.Duration) (bool, error) {
	var enough <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		enough = t.C
	}
	reread := time.NewTimer(max(0, rereadInterval-time.Since(f.read)))
	defer reread.Stop()
	for before := f.cur.Term; f.cur.Term == before; {
		select {
		case r, ok := <-f.open(ctx):
			if ok && r.Err() == nil {
				f.apply(r.Events)
				continue
			}
			f.close()
			reread.Reset(firstPause) // compacted, or the connection is gone for good
		case <-reread.C:
			reread.Reset(rereadInterval)
			if err := f.reread(ctx); err != nil {
				return false, err
			}
			if f.cur.Term != before {
				f.close() // the watch should have told; the next one starts at what was read
			}
		case <-enough:
			return false, nil
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	return true, nil
}

// open returns the watch, and starts one after the revision that is known if there is none.
func (f *follower) open(ctx context.Context) clientv3.WatchChan {
	if f.watch == nil {
		ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
		f.stop = cancel
		f.watch = f.client.Watch(ctx, f.key, clientv3.WithRev(f.cur.Revision+1))
	}
	return f.watch
}

func (f *follower) apply(events []*clientv3.Event) {
	for _, e := range events {
		kv := e.Kv
		if e.Type == clientv3.EventTypeDelete {
			kv = nil
		}
		f.learn(holderOf(kv, e.Kv.ModRevision))
	}
}

func first(kvs []*mvccpb.KeyValue) *mvccpb.KeyValue {
	if len(kvs) == 0 {
		return nil
	}
	return kvs[0]
}

// hopeless tells an error that a retry cannot mend.
func hopeless(err error) bool {
	return errors.Is(err, rpctypes.ErrPermissionDenied)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
