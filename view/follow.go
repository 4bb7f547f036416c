package view

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/metadata"
)

const (
	firstPause = 10 * time.Millisecond
	maxPause   = 2 * time.Second
	// probeTimeout bounds a request for progress: it waits only while the stream is being connected anew.
	probeTimeout = 200 * time.Millisecond
	// closeTimeout bounds how long a watch that was cancelled may take to go.
	closeTimeout = time.Second
	// streamLabel gives each view a stream of its own: clientv3 shares streams between watches with equal metadata,
	// and a stream reports progress only when all its watches have caught up.
	streamLabel = "spanward-view"
)

var (
	errStuck = errors.New("the watch has fallen silent")
	errEnded = errors.New("the watch has ended")
	errBack  = errors.New("etcd is behind what it has shown before")
	// errOvertaken: etcd keeps the events of a watch that it has not announced yet, but says at once how far it is.
	errOvertaken = errors.New("changes have come after the word that nothing was missing")
)

// Run follows etcd until ctx ends, and returns ctx's error. Everything else is retried: a view without etcd stays at the
// revision it has.
func (v *View) Run(ctx context.Context) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.Multiplier, pause.MaxInterval = firstPause, 2, maxPause
	for listed := false; ; {
		before, start := v.Revision(), time.Now()
		err := v.follow(ctx, &listed)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if v.Revision() != before || time.Since(start) > maxPause {
			pause.Reset()
		}
		v.log.Warn("following etcd was interrupted", zap.Error(err), zap.Int64("revision", v.Revision()), zap.Bool("list", !listed))
		if err := sleep(ctx, pause.NextBackOff()); err != nil {
			return err
		}
	}
}

// follow lists if that is needed, then watches until there is an error.
func (v *View) follow(ctx context.Context, listed *bool) error {
	if !*listed {
		if err := v.list(ctx); err != nil {
			return fmt.Errorf("list: %w", err)
		}
		*listed = true
	}
	err := v.watch(ctx, v.Revision()+1)
	*listed = !errors.Is(err, rpctypes.ErrCompacted) && !errors.Is(err, errBack) && !errors.Is(err, errOvertaken)
	return fmt.Errorf("watch: %w", err)
}

// list reads everything at one revision, in pages, and puts it in the place of the state.
func (v *View) list(ctx context.Context) error {
	start := time.Now()
	v.count(func(s *Stats) { s.Lists++ })
	next := NewState(v.cfg.Layout)
	from, revision, records := v.cfg.Layout.Root(), int64(0), 0
	for {
		page, err := v.page(ctx, from, revision)
		if err != nil {
			return err
		}
		if revision == 0 {
			revision = page.Header.Revision
		}
		v.count(func(s *Stats) { s.Heard = time.Now() })
		next.Load(revision, listed(page.Kvs))
		records += len(page.Kvs)
		if !page.More || len(page.Kvs) == 0 {
			break
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
	v.replace(next)
	v.log.Info("listed", zap.Int64("revision", revision), zap.Int("records", records),
		zap.Int("quarantined", next.QuarantinedCount()), zap.Duration("took", time.Since(start)))
	return nil
}

func (v *View) page(ctx context.Context, from string, revision int64) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, v.cfg.PageTimeout)
	defer cancel()
	return v.cfg.Client.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(v.cfg.Layout.Root())),
		clientv3.WithLimit(v.cfg.PageSize), clientv3.WithRev(revision))
}

func listed(kvs []*mvccpb.KeyValue) []Change {
	out := make([]Change, len(kvs))
	for i, kv := range kvs {
		out[i] = Change{Key: string(kv.Key), Value: kv.Value, Create: kv.CreateRevision, Mod: kv.ModRevision, Lease: kv.Lease}
	}
	return out
}

// watch takes what changes from a revision on, until there is an error.
func (v *View) watch(ctx context.Context, from int64) error {
	v.count(func(s *Stats) { s.Watches++ })
	ctx = metadata.AppendToOutgoingContext(clientv3.WithRequireLeader(ctx), streamLabel, fmt.Sprintf("%p", v))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Watch itself waits until the server has answered.
	late := time.AfterFunc(v.cfg.StuckAfter, func() { cancel(errStuck) })
	ch := v.cfg.Client.Watch(ctx, v.cfg.Layout.Root(), clientv3.WithPrefix(), clientv3.WithRev(from),
		clientv3.WithFragment(), clientv3.WithProgressNotify())
	late.Stop()
	defer drain(ch)
	defer cancel(nil)
	f := following{view: v, heard: time.Now(), applied: from - 1}
	return f.receive(ctx, ch)
}

// following is one watch, as seen by the goroutine that receives from it.
type following struct {
	view *View
	// heard is when the last message came.
	heard time.Time
	// applied is the revision of the last change that this watch brought.
	applied int64
	// behind is since when etcd has not been as far as the view, zero if it is.
	behind time.Time
}

func (f *following) receive(ctx context.Context, ch clientv3.WatchChan) error {
	probe := time.NewTicker(f.view.cfg.ProbeEvery)
	defer probe.Stop()
	for {
		select {
		case r, ok := <-ch:
			if !ok {
				return ended(ctx)
			}
			if err := f.take(r); err != nil {
				return err
			}
		case <-f.view.nudge:
			f.view.probe(ctx)
		case <-probe.C:
			if time.Since(f.heard) > f.view.cfg.StuckAfter {
				return errStuck
			}
			f.view.probe(ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func ended(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errEnded
}

// take applies one message, revision by revision. The client has joined its fragments, and etcd never splits a
// revision otherwise.
func (f *following) take(r clientv3.WatchResponse) error {
	if err := r.Err(); err != nil {
		return err
	}
	f.heard = time.Now()
	f.view.count(func(s *Stats) { s.Heard = f.heard })
	if r.IsProgressNotify() {
		return f.progress(r.Header.Revision)
	}
	for events := r.Events; len(events) > 0; {
		n := 1
		for n < len(events) && events[n].Kv.ModRevision == events[0].Kv.ModRevision {
			n++
		}
		if err := f.apply(events[0].Kv.ModRevision, events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// apply takes one revision. If the view is there already, though not by a change of this watch, it has been told that it
// misses nothing while this was still on its way, and only a listing can tell what else is.
func (f *following) apply(revision int64, events []*clientv3.Event) error {
	if revision > f.applied && revision <= f.view.Revision() {
		return fmt.Errorf("%w: revision %d of %d", errOvertaken, revision, f.view.Revision())
	}
	f.applied = max(f.applied, revision)
	f.view.apply(revision, changed(events))
	return nil
}

// progress is told that everything up to a revision was sent. A member that lags says less than the view knows, but not
// for long; an etcd restored from a backup does so until it has caught up, and the watch would sleep through that.
func (f *following) progress(revision int64) error {
	if revision >= f.view.Revision() {
		f.behind = time.Time{}
		f.view.apply(revision, nil)
		return nil
	}
	if f.behind.IsZero() {
		f.behind = f.heard
	}
	if f.heard.Sub(f.behind) > f.view.cfg.StuckAfter {
		return errBack
	}
	return nil
}

func changed(events []*clientv3.Event) []Change {
	out := make([]Change, len(events))
	for i, e := range events {
		kv := e.Kv
		out[i] = Change{
			Key: string(kv.Key), Value: kv.Value, Deleted: e.Type == clientv3.EventTypeDelete,
			Create: kv.CreateRevision, Mod: kv.ModRevision, Lease: kv.Lease,
		}
	}
	return out
}

// probe asks etcd to say how far the watch is. The answer is a message of the watch; an error shows as silence.
func (v *View) probe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	_ = v.cfg.Client.RequestProgress(ctx)
}

// drain waits until a cancelled watch is gone, so that the next one gets a stream of its own, at another endpoint if
// there are several.
func drain(ch clientv3.WatchChan) {
	enough := time.NewTimer(closeTimeout)
	defer enough.Stop()
	for {
		select {
		case _, ok := <-ch:
			if !ok {
				return
			}
		case <-enough.C:
			return
		}
	}
}

func (v *View) count(f func(*Stats)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(&v.stats)
}

// sleep pauses, and fails at once if ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
