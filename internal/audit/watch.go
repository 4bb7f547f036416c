package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// askEvery is how often the watch is asked how far it has come: it answers only once it has caught up.
	askEvery = 50 * time.Millisecond
	// tellEvery is how many revisions pass between two calls of Progress.
	tellEvery = 1000
)

var errStalled = errors.New("the watch brings nothing")

// follow watches from where the history stands up to its last revision, which need not have changed anything of ours.
// So the watch is asked for its progress; other watches of the client see the answer, too, and take it as a sign of life.
func (r *replay) follow(ctx context.Context) error {
	if r.reached >= r.last {
		return nil
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	ask := time.NewTicker(askEvery)
	defer ask.Stop()
	stall := time.NewTimer(stallTimeout)
	defer stall.Stop()

	answers := r.client.Watch(ctx, r.layout.Root(), clientv3.WithPrefix(), clientv3.WithRev(r.reached+1))
	for r.reached < r.last {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-stall.C:
			return fmt.Errorf("%w: at revision %d of %d for %s", errStalled, r.reached, r.last, stallTimeout)
		case <-ask.C:
			if err := r.client.RequestProgress(ctx); err != nil {
				return fmt.Errorf("progress of the watch: %w", err)
			}
		case resp, ok := <-answers:
			if !ok {
				return fmt.Errorf("the watch ended at revision %d: %w", r.reached, context.Cause(ctx))
			}
			if err := r.answer(resp); err != nil {
				return err
			}
			stall.Reset(stallTimeout)
		}
	}
	return nil
}

// answer takes one answer of the watch.
func (r *replay) answer(resp clientv3.WatchResponse) error {
	if resp.CompactRevision > 0 {
		return &errCompacted{resp.CompactRevision}
	}
	if err := resp.Err(); err != nil {
		return fmt.Errorf("watch from revision %d: %w", r.reached+1, err)
	}
	for _, ev := range resp.Events {
		if err := r.event(ev); err != nil {
			return err
		}
	}
	if !resp.IsProgressNotify() {
		return nil
	}
	// Everything up to the revision of this answer has been seen.
	if err := r.flush(); err != nil {
		return err
	}
	r.reach(resp.Header.Revision)
	return nil
}

// event collects the changes of one revision, and judges it when the next one begins. What is beyond the end only says
// that the end has been reached.
func (r *replay) event(ev *clientv3.Event) error {
	if len(r.partial) > 0 && r.partial[0].Mod != ev.Kv.ModRevision {
		if err := r.flush(); err != nil {
			return err
		}
	}
	if ev.Kv.ModRevision > r.last {
		r.reach(r.last)
		return nil
	}
	r.partial = append(r.partial, Change{
		Key: string(ev.Kv.Key), Value: ev.Kv.Value, Deleted: ev.Type == clientv3.EventTypeDelete,
		Create: ev.Kv.CreateRevision, Mod: ev.Kv.ModRevision, Lease: ev.Kv.Lease,
	})
	return nil
}

// flush judges the revision that was collected, unless it is beyond the end.
func (r *replay) flush() error {
	if len(r.partial) == 0 {
		return nil
	}
	revision, changes := r.partial[0].Mod, r.partial
	r.partial = nil
	if err := r.auditor.Apply(revision, changes); err != nil {
		return err
	}
	r.reach(revision)
	return nil
}

func (r *replay) reach(revision int64) {
	was := r.reached
	r.reached = min(max(r.reached, revision), r.last)
	if r.progress != nil && (was/tellEvery != r.reached/tellEvery || r.reached == r.last) && was != r.reached {
		r.progress(r.reached, r.last)
	}
}
