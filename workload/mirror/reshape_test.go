package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

var lower, upper = span.Range{End: "m"}, span.Range{Start: "m"}

// traffic changes keys at the source until the test stops it, and then tells how many revisions it made.
func (p *pair) traffic(keys ...string) (stop func() int) {
	end, ended := make(chan struct{}), make(chan int)
	ctx := context.WithoutCancel(p.t.Context())
	go func() {
		for n := 0; ; n++ {
			select {
			case <-end:
				ended <- n
				return
			default:
			}
			ops := make([]clientv3.Op, len(keys))
			for i, k := range keys {
				ops[i] = clientv3.OpPut(k, fmt.Sprint(n))
			}
			_, _ = p.s.Txn(ctx).Then(ops...).Commit()
		}
	}()
	return func() int { close(end); return <-ended }
}

// sameHistory checks that every value of a key came to the destination, once and in order.
func (p *pair) sameHistory(keys ...string) {
	p.t.Helper()
	d, err := p.d.Get(p.t.Context(), "x")
	if err != nil {
		p.t.Fatal(err)
	}
	want, _ := events(p.t, p.s, p.head())
	have, _ := events(p.t, p.d, d.Header.Revision)
	for _, k := range keys {
		if d := cmp.Diff(want[k], have[k]); d != "" {
			p.t.Errorf("history of %s (-source +destination):\n%s", k, d)
		}
	}
}

func hold(t testing.TB, in dispatcher.Instance) dispatcher.Position {
	t.Helper()
	at, err := in.(dispatcher.CloserAt).Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func closedAt(t testing.TB, in dispatcher.Instance, at dispatcher.Position) dispatcher.Position {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	end, err := in.(dispatcher.CloserAt).CloseAt(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	return end
}

// made is the task of a span that comes from others.
func (p *pair) made(r span.Range, from dispatcher.Position, parents ...dispatcher.Task) dispatcher.Task {
	t := p.task(r, from)
	for _, parent := range parents {
		t.Parents = append(t.Parents, string(parent.Span))
	}
	return t
}

// A merge: one source is busy, the other quiet. Both end at the same revision: all up to it is at the destination, nothing
// after it, and the merged span goes on from there.
func TestMergedSourcesEndAtOneRevision(t *testing.T) {
	p := newPair(t)
	busy, br := p.start(lower, unknown)
	quiet, qr := p.start(upper, unknown)
	p.put("zz", "before")
	p.caughtUp(br)
	p.caughtUp(qr)
	stop := p.traffic("a", "b")
	eventually(t, "busy", br.at(p.head()+20))
	at := hold(t, busy)
	at = at.Max(hold(t, quiet))
	ahead := p.put("zz", "after")
	eventually(t, "changes beyond the end", func() bool { return p.head() > ahead+20 })
	if again := hold(t, quiet); at.Less(again) {
		t.Errorf("held at %v, and later at %v", at, again)
	}
	start := time.Now()
	for name, in := range map[string]dispatcher.Instance{"busy": busy, "quiet": quiet} {
		if end := closedAt(t, in, at); end != at {
			t.Errorf("%s ended at %v, want %v", name, end, at)
		}
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("closing took %v", d)
	}
	src, err := p.s.Get(t.Context(), "\x00", clientv3.WithFromKey(), clientv3.WithRev(int64(at.At)))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, kv := range src.Kvs {
		want[string(kv.Key)] = string(kv.Value)
	}
	sameData(t, want, data(t, p.d))

	_, r := p.start(all, at)
	stop()
	p.caughtUp(r)
	p.sameHistory("a", "b", "zz")
	if r.copied > 0 {
		t.Errorf("%d keys were copied again", r.copied)
	}
}

// The common end may be what only a later change or a progress notification can show to be complete.
func TestCloseAtWaitsForWhatTheWatchHasNotBrought(t *testing.T) {
	p := newPair(t)
	in, r := p.start(lower, unknown)
	p.caughtUp(r)
	var last int64
	for i := range 30 {
		last = p.put("z", fmt.Sprint(i)) // of the neighbour
	}
	if end := closedAt(t, in, position(last)); end != position(last) {
		t.Errorf("ended at %v, want %d", end, last)
	}
	segs, _, err := (fencer{kv: p.d, keys: newLayout("default", "ks")}).list(t.Context())
	if err != nil || len(segs) != 1 || segs[0].At != last {
		t.Errorf("stored %+v, want one segment at %d: %v", segs, last, err)
	}
}

// Abort comes while an instance is held, and while it waits for an end that never comes.
func TestAbortEndsHoldAndCloseAt(t *testing.T) {
	p := newPair(t)
	held, r := p.start(lower, unknown)
	waiting, wr := p.start(upper, unknown)
	p.caughtUp(r)
	p.caughtUp(wr)
	hold(t, held)
	held.Abort()
	if _, err := held.(dispatcher.CloserAt).Hold(t.Context()); !errors.Is(err, errAborted) {
		t.Errorf("hold after abort: %v", err)
	}
	if _, err := held.Close(t.Context()); !errors.Is(err, errAborted) {
		t.Errorf("close after abort: %v", err)
	}
	failed := make(chan error)
	go func() {
		_, err := waiting.(dispatcher.CloserAt).CloseAt(context.WithoutCancel(t.Context()), position(1<<40))
		failed <- err
	}()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := waiting.(dispatcher.CloserAt).CloseAt(short, position(1<<40)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close at a revision that does not come: %v", err)
	}
	waiting.Abort()
	if err := <-failed; !errors.Is(err, errAborted) {
		t.Errorf("got %v", err)
	}
}

// slowReads delays reads at the source, so that a copy takes long.
type slowReads struct {
	clientv3.KV
	slow *atomic.Bool
}

func (k slowReads) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if op := clientv3.OpGet(key, opts...); k.slow.Load() && op.RangeBytes() != nil && !op.IsCountOnly() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return k.KV.Get(ctx, key, opts...)
}

// slowSource makes copies stand still while it says so.
func (p *pair) slowSource() *atomic.Bool {
	slow := &atomic.Bool{}
	connected := p.w.pool.connect
	p.w.pool.connect = func(ctx context.Context, e Etcd) (*clientv3.Client, error) {
		c, err := connected(ctx, e)
		if err == nil && e.Setting == "source" {
			c.KV = slowReads{c.KV, slow}
		}
		return c, err
	}
	return slow
}

// A source of a merge that has not finished its copy has no revision to end at, and does not keep the others waiting. The
// merged span copies that piece, and goes on with the other from where that was, without a position of its own.
func TestMergeWhileASourceIsCopied(t *testing.T) {
	p := newPair(t)
	slow := p.slowSource()
	p.put("z1", "copied")
	lowTask, highTask := p.task(lower, unknown), p.task(upper, unknown)
	low, lr := p.open(lowTask)
	p.put("a", "0")
	p.caughtUp(lr)
	slow.Store(true)
	high, hr := p.open(highTask)
	eventually(t, "copying", func() bool { hr.mu.Lock(); defer hr.mu.Unlock(); return hr.last.CopyTotal != nil })
	at := hold(t, low)
	if got := hold(t, high); got.Known {
		t.Errorf("an unfinished copy can end at %v", got)
	}
	p.put("a", "1")
	p.put("a", "2")
	start := time.Now()
	if end := closedAt(t, high, at); end.Known {
		t.Errorf("an unfinished copy ended at %v", end)
	}
	if end := closedAt(t, low, at); end != at {
		t.Errorf("ended at %v, want %v", end, at)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("closing took %v", d)
	}
	slow.Store(false)
	p.put("z2", "copied")
	_, r := p.open(p.made(all, unknown, lowTask, highTask))
	p.put("a", "3")
	p.put("z1", "followed")
	p.caughtUp(r)
	sameData(t, data(t, p.s), data(t, p.d))
	p.sameHistory("a")
	if r.copied != 2 {
		t.Errorf("%d keys were copied, want those of the unfinished piece", r.copied)
	}
}

// The position of a span that was never opened is unknown, and so is that of a merge with it.
func TestMergeWithASpanThatWasNeverOpened(t *testing.T) {
	for _, dest := range []string{"etcd", "file"} {
		t.Run(dest, func(t *testing.T) {
			p := newPair(t)
			if dest == "file" {
				p, _ = filePair(t)
			}
			p.put("z", "copied")
			ran, never := p.task(lower, unknown), p.task(upper, unknown)
			in, r := p.open(ran)
			p.put("a", "0")
			p.caughtUp(r)
			closed(t, in)
			for i := range 5 {
				p.put("a", fmt.Sprint(i+1))
			}
			_, r = p.open(p.made(all, unknown, ran, never))
			p.put("z", "followed")
			p.put("a", "end")
			p.caughtUp(r)
			if dest == "etcd" {
				p.sameHistory("a")
				sameData(t, data(t, p.s), data(t, p.d))
			}
			if r.copied != 1 {
				t.Errorf("%d keys were copied, want the one that never was", r.copied)
			}
		})
	}
}

// What lies at the destination from a keyspace that was deleted is not taken for the position of a new one.
func TestNewSpanDoesNotTrustWhatItFinds(t *testing.T) {
	p := newPair(t)
	p.put("a", "1")
	in, r := p.start(all, unknown)
	p.caughtUp(r)
	closed(t, in)
	del(t, p.d, "a") // the destination was cleared for the new keyspace
	_, r = p.start(all, unknown)
	p.caughtUp(r)
	sameData(t, data(t, p.s), data(t, p.d))
}

// A span that died before it could tell how far it was goes on from what it stored.
func TestPositionThatNobodyWasToldIsFound(t *testing.T) {
	p := newPair(t)
	task := p.task(all, unknown)
	in, r := p.open(task)
	p.caughtUp(r)
	p.put("a", "0")
	p.caughtUp(r)
	in.Abort()
	p.put("a", "1")
	p.put("a", "2")
	again := p.task(all, unknown)
	again.Span = task.Span
	_, r = p.open(again)
	p.caughtUp(r)
	p.sameHistory("a")
}

// A split while everything changes: as many children as there can be, opened at once with one token.
func TestSplitWhileChanging(t *testing.T) {
	const children = 60
	p := newPair(t)
	in, r := p.start(all, unknown)
	p.caughtUp(r)
	var keys []string
	for i := range children {
		keys = append(keys, fmt.Sprintf("%02d", i))
	}
	stop := p.traffic(keys...)
	eventually(t, "busy", r.at(p.head()+10))
	start := time.Now()
	at := closed(t, in)
	token := p.tokens + 1
	reps := make([]*reports, children)
	var g errgroup.Group
	for i := range children {
		task := p.task(span.Range{Start: keys[i]}, at)
		if task.Token = token; i == 0 {
			task.Range.Start = ""
		}
		if i < children-1 {
			task.Range.End = keys[i+1]
		}
		reps[i] = &reports{}
		g.Go(func() error {
			in, err := p.w.Open(t.Context(), task, reps[i])
			if err == nil {
				t.Cleanup(in.Abort)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d children were open %v after the parent began to close", children, time.Since(start))
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("the split took %v", d)
	}
	stop()
	for _, r := range reps {
		p.caughtUp(r)
		if r.copied > 0 {
			t.Errorf("%d keys were copied again", r.copied)
		}
	}
	p.sameHistory(keys...)
}

// A split in the middle of the first copy: the children copy what there is, and no key is lost.
func TestSplitWhileCopying(t *testing.T) {
	p := newPair(t)
	for i := range 3000 {
		p.put(fmt.Sprintf("%04d", i), "v")
	}
	put(t, p.d, "1500x", "extra")
	parent := p.task(all, unknown)
	in, r := p.open(parent)
	eventually(t, "the copy has begun", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.last.CopyTotal != nil || r.last.Checkpoint.Known
	})
	at := closed(t, in)
	del(t, p.s, "0007")
	p.put("2000", "changed")
	_, low := p.open(p.made(span.Range{End: "1500"}, at, parent))
	_, high := p.open(p.made(span.Range{Start: "1500"}, at, parent))
	p.put("2000", "again")
	p.caughtUp(low)
	p.caughtUp(high)
	sameData(t, data(t, p.s), data(t, p.d))
}

// The owners of both sources of a merge were taken for dead and are not.
func TestZombiesOfAMerge(t *testing.T) {
	p := newPair(t)
	low, lr := p.start(lower, unknown)
	high, hr := p.start(upper, unknown)
	p.caughtUp(lr)
	p.caughtUp(hr)
	stop := p.traffic("a", "z")
	eventually(t, "busy", lr.at(p.head()+10))
	s, _ := lr.get()
	_, r := p.start(all, s.Checkpoint)
	eventually(t, "both notice", func() bool {
		_, l := lr.get()
		_, h := hr.get()
		return fault.Is(l, fault.Refused) && fault.Is(h, fault.Refused)
	})
	stop()
	p.caughtUp(r)
	p.sameHistory("a", "z")
	for _, in := range []dispatcher.Instance{low, high} {
		sink := in.(*instance).sink.(*etcdSink)
		before := data(t, p.d)
		if err := sink.apply(t.Context(), one(1<<40, "a", "stale")); !errors.Is(err, errFenced) {
			t.Errorf("a zombie wrote: %v", err)
		}
		sameData(t, before, data(t, p.d))
	}
}

// A copy into a file that ends with its process is cut off, and one that was complete counts, though nobody noted it;
// either way the other pieces of the range keep their positions.
func TestFileCopyOfOnePiece(t *testing.T) {
	for _, complete := range []bool{false, true} {
		t.Run(fmt.Sprint("complete ", complete), func(t *testing.T) {
			p, dir := filePair(t)
			p.put("z", "copied")
			ran := p.task(lower, unknown)
			in, r := p.open(ran)
			p.put("a", "1")
			p.caughtUp(r)
			closed(t, in)
			last := p.put("a", "2")

			own := segment{ID: segmentID(50, "s50"), Token: 50, Span: "s50", Source: in.(*instance).cluster}
			sink, err := openFile(t.Context(), fileConfig{dir: dir, name: "default.ks", own: own, trust: everyone})
			if err != nil {
				t.Fatal(err)
			}
			src := listing{kv: p.s, rev: last, name: mapping{}.key}
			if err := sink.copy(t.Context(), upper, src, func(item) {}); err != nil {
				t.Fatal(err)
			}
			if !complete {
				f := sink.(*fileSink).file
				info, _ := f.Stat()
				if err := f.Truncate(info.Size() - 3); err != nil {
					t.Fatal(err)
				}
			}
			sink.close()

			p.tokens = 60
			in, r = p.start(all, position(last-1))
			p.caughtUp(r)
			p.put("z", "followed")
			p.caughtUp(r)
			closed(t, in)
			if got, want := r.copied > 0, !complete; got != want {
				t.Errorf("copied again: %v, want %v", got, want)
			}
			values := map[string][]string{}
			for _, name := range []string{"1-1.0-1.jsonl", "s50-50.jsonl", "1-61.0-61.jsonl"} {
				for _, l := range lines(t, dir, name) {
					if l.Op == opPut {
						values[string(l.Key)] = append(values[string(l.Key)], string(l.Value))
					}
				}
			}
			want := map[string][]string{"a": {"1", "2"}, "z": {"copied", "followed"}}
			if d := cmp.Diff(want, values); d != "" {
				t.Error(d)
			}
		})
	}
}

// Spans that open at the same time read the segments of their keyspace together.
func TestOpeningsShareAListing(t *testing.T) {
	f := newFencer(t)
	var gets atomic.Int64
	f.kv = countGets{f.kv, &gets, f.keys.prefix}
	f.all = newLister()
	const spans = 64
	var g errgroup.Group
	for i := range spans {
		own := ownOf(uint64(i+1), span.Range{Start: fmt.Sprintf("%02d", i), End: fmt.Sprintf("%02d", i+1)})
		g.Go(func() error { _, _, err := f.open(t.Context(), own, everyone); return err })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := gets.Load(); n > spans/2 {
		t.Errorf("%d listings for %d spans", n, spans)
	}
	all, _, err := f.list(t.Context())
	if err != nil || len(all) != spans {
		t.Errorf("%d segments: %v", len(all), err)
	}
}

type countGets struct {
	clientv3.KV
	n   *atomic.Int64
	key string
}

func (k countGets) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if strings.HasPrefix(key, k.key) {
		k.n.Add(1)
	}
	return k.KV.Get(ctx, key, opts...)
}
