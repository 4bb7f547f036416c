package mirror

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// feedBytes bounds what waits to be written. A watch that brings more is given up, and opened again where writing
	// has got to: clientv3 would buffer without a limit.
	feedBytes = 32 << 20
	// silence is how long a watch may say nothing, though progress is asked for all the time, before it is given up.
	silence = 5 * progressMost
	// nextGroups bounds how many groups are taken at once.
	nextGroups = 4096
)

// A feed takes what a watch brings, as groups in revision order and announcements of progress in between.
type feed struct {
	m      mapping
	parts  []part
	from   int64 // changes up to it are not needed, whatever their key
	shared bool

	mu    sync.Mutex
	queue []entry
	bytes int
	err   error // why nothing more comes
	wake  chan struct{}

	// Of the receiving goroutine.
	progress int64
	created  bool
	barrier  bool // the first progress after the creation was seen
}

// An entry is a group, or progress up to a revision.
type entry struct {
	group
	progress bool
	at       time.Time
}

func newFeed(m mapping, parts []part, shared bool) *feed {
	return &feed{m: m, parts: parts, from: lowest(parts), shared: shared, wake: make(chan struct{}, 1)}
}

// receive takes everything from the watch until it ends, which next says after the last entry.
func (f *feed) receive(ctx context.Context, ch clientv3.WatchChan) {
	err := f.drain(ctx, ch)
	f.mu.Lock()
	f.err = err
	f.mu.Unlock()
	f.signal()
}

func (f *feed) drain(ctx context.Context, ch clientv3.WatchChan) error {
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-quiet.C:
			return errStalled
		case r, ok := <-ch:
			if !ok {
				return errors.New("source: the watch ended")
			}
			quiet.Reset(silence)
			if err := f.take(r); err != nil {
				return err
			}
		}
	}
}

// take is one response of the watch.
func (f *feed) take(r clientv3.WatchResponse) error {
	if r.CompactRevision > 0 {
		return errCompacted
	}
	if err := r.Err(); err != nil {
		return err
	}
	switch {
	case r.Created:
		f.created = true
	case r.IsProgressNotify():
		return f.passed(r.Header.Revision)
	case len(r.Events) > 0:
		return f.changed(r.Events)
	}
	return nil
}

// passed is progress up to rev. On a shared stream the first one after the watch was created does not count: it may
// have been computed before etcd knew of this watch, and have overtaken the answer to its creation.
func (f *feed) passed(rev int64) error {
	if !f.created || rev < f.from {
		return nil
	}
	if f.shared && !f.barrier {
		f.barrier = true
		return nil
	}
	f.progress = max(f.progress, rev)
	return f.push(entry{group: group{rev: rev}, progress: true, at: time.Now()})
}

// changed cuts events at the ends of source transactions. etcd never spreads a transaction over several responses, as
// fragments are joined by the client.
func (f *feed) changed(events []*clientv3.Event) error {
	for len(events) > 0 {
		rev := events[0].Kv.ModRevision
		if rev <= f.progress {
			return errProgress
		}
		g := group{rev: rev}
		for len(events) > 0 && events[0].Kv.ModRevision == rev {
			f.add(&g, events[0])
			events = events[1:]
		}
		if g.distinct(); len(g.changes) == 0 {
			continue
		}
		if err := f.push(entry{group: g, at: time.Now()}); err != nil {
			return err
		}
	}
	return nil
}

// add takes an event that the destination needs.
func (f *feed) add(g *group, ev *clientv3.Event) {
	key := string(ev.Kv.Key)
	if _, ok := f.m.key(key); !ok || ev.Kv.ModRevision <= revOf(f.parts, key) {
		return
	}
	c := change{key: key, value: ev.Kv.Value, put: ev.Type == clientv3.EventTypePut, lease: ev.Kv.Lease}
	switch {
	case ev.IsCreate():
		c.grows = 1
	case !c.put:
		c.grows = -1
	}
	g.add(c)
}

func (f *feed) push(e entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.queue); n > 0 && e.progress && f.queue[n-1].progress {
		f.queue[n-1] = e
		return nil
	}
	size := e.bytes(f.m)
	// A single group of any size is let in, or it could never pass.
	if len(f.queue) > 0 && f.bytes+size > feedBytes {
		return errBehind
	}
	f.queue, f.bytes = append(f.queue, e), f.bytes+size
	f.signal()
	return nil
}

func (f *feed) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// A news is what next gives: groups, or progress, or nothing because the time was up.
type news struct {
	groups   []group
	progress int64
	at       time.Time
}

// next waits for something new, no longer than the timer. After everything was taken it gives the error that ended the
// watch.
func (f *feed) next(ctx context.Context, wake <-chan time.Time) (news, error) {
	for {
		if n, ok, err := f.pop(); ok || err != nil {
			return n, err
		}
		select {
		case <-f.wake:
		case <-wake:
			return news{}, nil
		case <-ctx.Done():
			return news{}, ctx.Err()
		}
	}
}

func (f *feed) pop() (n news, ok bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) == 0 {
		return n, false, f.err
	}
	if e := f.queue[0]; e.progress {
		f.queue = f.queue[1:]
		return news{progress: e.rev, at: e.at}, true, nil
	}
	for len(f.queue) > 0 && !f.queue[0].progress && len(n.groups) < nextGroups {
		e := f.queue[0]
		n.groups, n.at = append(n.groups, e.group), e.at
		f.bytes -= e.bytes(f.m)
		f.queue = f.queue[1:]
	}
	return n, true, nil
}
