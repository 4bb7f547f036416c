package view_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/leases"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fataler is *testing.T or *rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs a view until the test ends.
func start(t *testing.T, c *clientv3.Client) *view.View {
	t.Helper()
	v, err := view.New(view.Config{Client: c, Layout: layout, Clock: leases.Virtual(), PageSize: 3})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
	return v
}

func await(t fataler, v *view.View, revision int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	must(t, v.Wait(ctx, revision))
}

// write sends changes as one transaction.
func write(t fataler, c *clientv3.Client, changes ...view.Change) int64 {
	t.Helper()
	var ops []clientv3.Op
	for _, ch := range changes {
		if ch.Deleted {
			ops = append(ops, clientv3.OpDelete(ch.Key))
		} else {
			ops = append(ops, clientv3.OpPut(ch.Key, string(ch.Value), clientv3.WithLease(clientv3.LeaseID(ch.Lease))))
		}
	}
	r, err := c.Txn(context.Background()).Then(ops...).Commit()
	must(t, err)
	return r.Header.Revision
}

func dump(v *view.View) (text string) {
	v.Read(func(s *view.State) { text = view.Dump(s) })
	return text
}

// fresh is what a listing of etcd as it is now gives.
func fresh(t fataler, c *clientv3.Client) string {
	t.Helper()
	r, err := c.Get(context.Background(), layout.Root(), clientv3.WithPrefix())
	must(t, err)
	var all []view.Change
	for _, kv := range r.Kvs {
		all = append(all, view.Change{
			Key: string(kv.Key), Value: kv.Value, Create: kv.CreateRevision, Mod: kv.ModRevision, Lease: kv.Lease,
		})
	}
	s := view.NewState(layout)
	s.Load(r.Header.Revision, all)
	return view.Dump(s)
}

func spanRecord(start, end string) []byte {
	return record.EncodeSpan(record.Span{Range: span.Range{Start: start, End: end}})
}

func nodeChange(name string, lease clientv3.LeaseID, ended record.Ended) view.Change {
	n := record.Node{Name: name, Instance: "i", TTL: 5 * time.Second, Ended: ended}
	return view.Change{Key: layout.Node(name), Value: record.EncodeNode(n), Lease: int64(lease)}
}

// lateList is a KV whose listings are answered late: meanwhile runs between the reading and the answer.
type lateList struct {
	clientv3.KV
	meanwhile func()
}

func (l *lateList) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	r, err := l.KV.Get(ctx, key, opts...)
	if f := l.meanwhile; f != nil {
		l.meanwhile = nil
		f()
	}
	return r, err
}

// Compacted between the listing and its watch, or between two pages of the listing.
func TestCompactionBesideTheListing(t *testing.T) {
	for _, spans := range []int{1, 7} {
		synctest.Test(t, func(t *testing.T) {
			etcd := etcdtest.StartBubble(t)
			c, other := etcd.Process().Client(), etcd.Client()
			for i := range spans {
				write(t, other, view.Change{Key: layout.Span("a", span.ID(fmt.Sprint("s", i))), Value: spanRecord("", "")})
			}
			c.KV = &lateList{KV: c.KV, meanwhile: func() {
				write(t, other, view.Change{Key: layout.Span("a", "s0"), Deleted: true})
				compact(t, other)
			}}
			v := start(t, c)
			time.Sleep(time.Second)
			if got, want := dump(v), fresh(t, other); got != want {
				t.Errorf("(-etcd +view):\n%s", cmp.Diff(want, got))
			}
			if n := v.Stats().Lists; n != 2 {
				t.Errorf("listed %d times", n)
			}
		})
	}
}

// The view is cut off while a node goes and its history is compacted away. It never sees the deletion.
func TestCompactionDuringAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		p, other := etcd.Process(), etcd.Client()
		r := write(t, other, nodeChange("n1", 0, 0))
		v := start(t, p.Client())
		await(t, v, r)
		sub := v.Subscribe()
		defer sub.Close()
		<-sub.C()
		p.Pause()
		time.Sleep(time.Second)
		write(t, other, view.Change{Key: layout.Node("n1"), Deleted: true})
		r = write(t, other, view.Change{Key: "/other", Value: []byte("x")})
		_, err := other.Compact(context.Background(), r)
		must(t, err)
		time.Sleep(time.Minute) // by now the server has given the connection up
		etcd.Down()
		etcd.Up()
		p.Resume()
		await(t, v, r)
		if got, want := dump(v), fresh(t, other); got != want {
			t.Errorf("(-etcd +view):\n%s", cmp.Diff(want, got))
		}
		d := <-sub.C()
		if v.Stats().Lists != 2 || !d.Reset {
			t.Errorf("after listing %d times subscribers are not told that anything may have changed", v.Stats().Lists)
		}
		if len(d.Gone) != 1 || d.Gone[0].Name != "n1" {
			t.Errorf("subscribers are told that %v are gone", d.Gone)
		}
		gone, ok := v.SeenVanish(2)
		if !ok || gone.Node.Name != "n1" {
			t.Errorf("the end of the session was missed: %+v", gone)
		}
	})
}

// silent is a Watcher whose first watches say nothing.
type silent struct {
	clientv3.Watcher
	mute    int
	started bool // whether the mute watches are at least created
}

func (s *silent) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	if s.mute == 0 {
		return s.Watcher.Watch(ctx, key, opts...)
	}
	s.mute--
	ch := make(chan clientv3.WatchResponse)
	if s.started {
		go func() { <-ctx.Done(); close(ch) }()
	} else {
		<-ctx.Done()
		close(ch)
	}
	return ch
}

func TestAStuckWatchIsReplaced(t *testing.T) {
	for _, started := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			etcd := etcdtest.StartBubble(t)
			c := etcd.Process().Client()
			c.Watcher = &silent{Watcher: c.Watcher, mute: 2, started: started}
			v := start(t, c)
			await(t, v, 1)
			r := write(t, etcd.Client(), nodeChange("n1", 0, 0))
			begin := time.Now()
			await(t, v, r)
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("noticed after %v", took)
			}
			if s := v.Stats(); s.Lists != 1 || s.Watches != 3 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// restored is a Watcher of an etcd that has less history than it had before.
type restored struct{ clientv3.Watcher }

func (restored) Watch(ctx context.Context, _ string, _ ...clientv3.OpOption) clientv3.WatchChan {
	ch := make(chan clientv3.WatchResponse)
	go func() {
		defer close(ch)
		old := clientv3.WatchResponse{}
		old.Header = header(1)
		for ctx.Err() == nil {
			select {
			case ch <- old:
				time.Sleep(time.Second)
			case <-ctx.Done():
			}
		}
	}()
	return ch
}

func TestAnEtcdThatWentBackIsListedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		r := write(t, etcd.Client(), nodeChange("n1", 0, 0))
		c := etcd.Process().Client()
		c.Watcher = restored{c.Watcher}
		v := start(t, c)
		await(t, v, r)
		time.Sleep(10 * time.Second)
		if n := v.Stats().Lists; n < 2 {
			t.Errorf("listed %d times", n)
		}
	})
}

// overtaking is a Watcher whose first change comes after the word that everything up to it was sent, and whose second
// change never comes.
type overtaking struct {
	clientv3.Watcher
	done bool
}

func (o *overtaking) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	in := o.Watcher.Watch(ctx, key, opts...)
	if o.done {
		return in
	}
	o.done = true
	ch := make(chan clientv3.WatchResponse)
	go func() {
		defer close(ch)
		var first clientv3.WatchResponse
		for first = range in {
			if len(first.Events) > 0 {
				break
			}
		}
		last := clientv3.WatchResponse{Header: header(first.Events[0].Kv.ModRevision + 1)}
		for _, r := range []clientv3.WatchResponse{last, first} {
			select {
			case ch <- r:
			case <-ctx.Done():
				return
			}
		}
		<-ctx.Done()
	}()
	return ch
}

func TestChangesAfterTheWordThatNothingIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		c := etcd.Process().Client()
		c.Watcher = &overtaking{Watcher: c.Watcher}
		v := start(t, c)
		await(t, v, 1)
		write(t, etcd.Client(), nodeChange("n1", 0, 0))
		write(t, etcd.Client(), nodeChange("n2", 0, 0))
		time.Sleep(5 * time.Second)
		v.Read(func(s *view.State) {
			if s.Node("n1") == nil || s.Node("n2") == nil {
				t.Error("a change is missing for good")
			}
		})
		if n := v.Stats().Lists; n != 2 {
			t.Errorf("listed %d times", n)
		}
	})
}

func TestAnOutageOfEtcd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		v := start(t, etcd.Process().Client())
		await(t, v, 1)
		etcd.Down()
		time.Sleep(time.Minute)
		etcd.Up()
		r := write(t, etcd.Client(), nodeChange("n1", 0, 0))
		begin := time.Now()
		await(t, v, r)
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("caught up after %v", took)
		}
		if v.Stats().Lists != 1 {
			t.Error("listed again although nothing was compacted")
		}
	})
}

func TestWaitForARevisionOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		v := start(t, etcd.Process().Client())
		await(t, v, 1)
		r, err := etcd.Client().Put(t.Context(), "/somebody/else", "x")
		must(t, err)
		begin := time.Now()
		await(t, v, r.Header.Revision)
		if took := time.Since(begin); took > 100*time.Millisecond {
			t.Errorf("took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := v.Wait(ctx, r.Header.Revision+1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a revision that does not exist: %v", err)
		}
	})
}

// Whatever happens to etcd and the connection, the view ends up as what etcd holds at the same revision.
func TestViewIsEtcd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		p := etcd.Process()
		v := start(t, p.Client())
		clients := []*clientv3.Client{etcd.Client(), etcd.Process().Client(), etcd.Process().Client()}
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
			t.Repeat(map[string]func(*rapid.T){
				"write":   func(t *rapid.T) { write(t, pick(t, "client", clients...), drawRevision(t)...) },
				"write 2": func(t *rapid.T) { write(t, pick(t, "client", clients...), drawRevision(t)...) },
				"pass":    func(t *rapid.T) { time.Sleep(pick(t, "pause", time.Millisecond, time.Second, 10*time.Second)) },
				"stop":    func(*rapid.T) { p.Pause() },
				"go on":   func(*rapid.T) { p.Resume() },
				"restart": func(t *rapid.T) {
					if rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
						return
					}
					p.Resume()
					etcd.Down()
					etcd.Up()
					write(t, clients[1], drawRevision(t)...) // before the view is connected again
					compact(t, clients[1])
				},
				"compact": func(t *rapid.T) { compact(t, clients[0]) },
				"expire": func(t *rapid.T) {
					l, err := clients[0].Grant(context.Background(), 60)
					must(t, err)
					write(t, clients[0], nodeChange(nodeName(t), l.ID, 0))
					_, err = clients[0].Revoke(context.Background(), l.ID)
					must(t, err)
				},
			})
			p.Resume()
			r := write(t, clients[0], view.Change{Key: "/other", Value: []byte("x")})
			await(t, v, r)
			if got, want := dump(v), fresh(t, clients[0]); got != want {
				t.Fatalf("(-etcd +view):\n%s", cmp.Diff(want, got))
			}
		})
		t.Logf("%+v", v.Stats())
	})
}

func compact(t fataler, c *clientv3.Client) {
	t.Helper()
	r := write(t, c, view.Change{Key: "/other", Value: []byte("x")})
	_, err := c.Compact(context.Background(), r)
	must(t, err)
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]view.Config{
		"nothing": {}, "no client": {Layout: layout}, "no layout": {Client: &clientv3.Client{}, Layout: keys.Layout{}},
		"impatience": {Client: &clientv3.Client{}, Layout: layout, ProbeEvery: time.Second, StuckAfter: time.Millisecond},
	} {
		if _, err := view.New(c); err == nil {
			t.Errorf("%s is accepted", name)
		} else {
			t.Log(fmt.Sprint(err))
		}
	}
}
