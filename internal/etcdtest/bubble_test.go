package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestBubbleLeaseExpiresInVirtualTime(t *testing.T) {
	wall := time.Now()
	synctest.Test(t, func(t *testing.T) {
		b := StartBubble(t)
		c := b.Client()
		l, err := c.Grant(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		put(t, c, "k", "v", clientv3.WithLease(l.ID))
		w := b.Process().Client().Watch(t.Context(), "k", clientv3.WithPrevKV())
		start := time.Now()
		r := <-w
		if len(r.Events) != 1 || r.Events[0].Type != clientv3.EventTypeDelete || string(r.Events[0].PrevKv.GetValue()) != "v" {
			t.Fatalf("want the expiry with the previous value, got %+v", r)
		}
		if d := time.Since(start); d < 9*time.Second || d > 12*time.Second {
			t.Errorf("expired after %v of virtual time", d)
		}
	})
	if d := time.Since(wall); d > 5*time.Second {
		t.Errorf("took %v of real time", d)
	}
}

func TestBubbleRunsADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := StartBubble(t)
		ctx, cancel := context.WithCancel(t.Context())
		w := b.Client().Watch(ctx, "p/", clientv3.WithPrefix())
		time.Sleep(24 * time.Hour)
		put(t, b.Process().Client(), "p/a", "1")
		if r := <-w; len(r.Events) != 1 {
			t.Fatalf("got %+v", r)
		}
		cancel()
		if _, open := <-w; open {
			t.Error("the channel of a watch must close with its context")
		}
	})
}

func TestKilledProcessReachesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := StartBubble(t)
		p := b.Process()
		put(t, p.Client(), "k", "1")
		w := p.Client().Watch(t.Context(), "k")
		p.Kill()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.Client().Put(ctx, "k", "2"); err == nil {
			t.Error("a killed process must get no answer")
		}
		put(t, b.Client(), "other", "1")
		if kv := get(t, b.Client(), "k"); kv != "1" {
			t.Errorf("a killed process wrote %q", kv)
		}
		select {
		case r := <-w:
			t.Errorf("a killed process was told %+v", r)
		default:
		}
	})
}

func TestPausedProcessWakesUpAndWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := StartBubble(t)
		p := b.Process()
		put(t, p.Client(), "k", "1")
		p.Pause()
		done := make(chan error, 1)
		go func() {
			_, err := p.Client().Put(t.Context(), "k", "late")
			done <- err
		}()
		time.Sleep(time.Hour)
		if kv := get(t, b.Client(), "k"); kv != "1" {
			t.Fatalf("a stopped process wrote %q", kv)
		}
		p.Resume()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if kv := get(t, b.Client(), "k"); kv != "late" {
			t.Errorf("the write of the process that woke up: %q", kv)
		}
	})
}

func TestFaultsOfTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := StartBubble(t)
		p := b.Process()
		txn := func(v string) error {
			_, err := p.Client().Txn(t.Context()).Then(clientv3.OpPut("k", v)).Commit()
			return err
		}
		p.LoseTxn(2)
		if err := txn("1"); err != nil {
			t.Fatal(err)
		}
		if err := txn("2"); err == nil || get(t, b.Client(), "k") != "2" {
			t.Errorf("a lost answer: err %v, value %q", err, get(t, b.Client(), "k"))
		}
		p.FailTxn(1)
		if err := txn("3"); err == nil || get(t, b.Client(), "k") != "2" {
			t.Errorf("a failed call: err %v, value %q", err, get(t, b.Client(), "k"))
		}
		p.Inject(func(Call) Fault { return Fault{CrashAfter: true} })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := p.Client().Txn(ctx).Then(clientv3.OpPut("k", "4")).Commit()
		if !errors.Is(err, context.DeadlineExceeded) || get(t, b.Client(), "k") != "4" {
			t.Errorf("a crash after the write: err %v, value %q", err, get(t, b.Client(), "k"))
		}
	})
}

func TestWatchSurvivesAServerCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := StartBubble(t)
		put(t, b.Client(), "k", "1")
		w := b.Process().Client().Watch(t.Context(), "k", clientv3.WithRev(1))
		if r := <-w; len(r.Events) != 1 {
			t.Fatalf("got %+v", r)
		}
		b.Down()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Client().Put(ctx, "k", "lost"); err == nil {
			t.Error("a server that is down must not answer")
		}
		b.Up()
		time.Sleep(10 * time.Second)
		put(t, b.Client(), "k", "2")
		if r := <-w; len(r.Events) != 1 || string(r.Events[0].Kv.Value) != "2" {
			t.Fatalf("got %+v", r)
		}
	})
}

func TestWatchProgressAndCompaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := StartBubble(t)
		c := b.Client()
		w := c.Watch(t.Context(), "k")
		synctest.Wait()
		rev := put(t, c, "other", "1")
		if err := c.RequestProgress(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := <-w; !r.IsProgressNotify() || r.Header.Revision != rev {
			t.Errorf("want progress at %d, got %+v", rev, r)
		}
		if _, err := c.Compact(t.Context(), rev); err != nil {
			t.Fatal(err)
		}
		r := <-c.Watch(t.Context(), "k", clientv3.WithRev(1))
		if !r.Canceled || r.CompactRevision != rev || r.Err() == nil {
			t.Errorf("want compaction at %d, got %+v", rev, r)
		}
	})
}

func put(t *testing.T, c *clientv3.Client, key, value string, opts ...clientv3.OpOption) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), setupTimeout)
	defer cancel()
	r, err := c.Put(ctx, key, value, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

func get(t *testing.T, c *clientv3.Client, key string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), setupTimeout)
	defer cancel()
	r, err := c.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
}

// A client that catches up gets more than fits into one message: it must come as one response all the same.
func TestFragmentsAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := StartBubble(t)
		value := strings.Repeat("x", 1<<20)
		for i := range 4 {
			put(t, b.Client(), fmt.Sprintf("p/%d", i), value)
		}
		w := b.Client().Watch(t.Context(), "p/", clientv3.WithPrefix(), clientv3.WithRev(1), clientv3.WithFragment())
		if r := <-w; len(r.Events) != 4 {
			t.Errorf("a response of %d events", len(r.Events))
		}
	})
}
