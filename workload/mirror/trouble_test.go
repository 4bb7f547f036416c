package mirror

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

func TestEtcdsThatGoAwayComeBack(t *testing.T) {
	p := newPair(t)
	p.put("a", "1")
	_, r := p.start(all, unknown)
	p.caughtUp(r)
	p.dst.Stop()
	p.put("a", "2")
	eventually(t, "an error that names the destination", func() bool {
		s, _ := r.get()
		return strings.Contains(s.Error, "destination") && s.LagMS != nil && *s.LagMS > 1000
	})
	p.dst.Restart(t)
	p.caughtUp(r)
	sameData(t, data(t, p.s), data(t, p.d))
	p.src.Stop()
	eventually(t, "lag", func() bool { s, _ := r.get(); return *s.LagMS > 1500 })
	p.src.Restart(t)
	p.put("a", "3")
	p.caughtUp(r)
	sameData(t, data(t, p.s), data(t, p.d))
	eventually(t, "well again", func() bool { s, _ := r.get(); return s.Error == "" && *s.LagMS < 1000 })
	if _, failed := r.get(); failed != nil {
		t.Errorf("the span failed: %v", failed)
	}
}

func TestStaleInstanceFailsAndLeavesNothing(t *testing.T) {
	p := newPair(t)
	stale, r := p.start(all, unknown)
	p.caughtUp(r)
	_, now := p.start(span.Range{Start: "a", End: "c"}, r.last.Checkpoint)
	p.put("x", "1") // in the stale range only
	p.put("b", "1")
	p.caughtUp(now)
	eventually(t, "the stale instance notices", func() bool { _, err := r.get(); return err != nil })
	closed(t, stale)
	sameData(t, map[string]string{"b": "1"}, data(t, p.d))
}

func TestCloseAtEndsExactlyThere(t *testing.T) {
	p := newPair(t)
	in, r := p.start(all, unknown)
	p.caughtUp(r)
	first := p.put("k", "1")
	p.put("k", "2")
	p.caughtUp(r)
	third := p.put("other", "3")
	// Already beyond: stays where it is.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	at, err := in.(dispatcher.CloserAt).CloseAt(ctx, position(first))
	if err != nil || at.At < uint64(first) {
		t.Fatalf("%v, %v", at, err)
	}
	in, _ = p.start(all, at)
	go func() {
		for i := range 50 {
			_, _ = p.s.Put(context.WithoutCancel(ctx), "k", fmt.Sprint("later ", i))
		}
	}()
	at, err = in.(dispatcher.CloserAt).CloseAt(ctx, position(third+10))
	if err != nil || at.At != uint64(third+10) {
		t.Fatalf("closed at %v, want %d: %v", at, third+10, err)
	}
	if v := data(t, p.d)["k"]; v != "later 9" {
		t.Errorf("the destination has %q, want the state at the end", v)
	}
}

func TestMergedPiecesGoOnFromTheirOwnPositions(t *testing.T) {
	p := newPair(t)
	low, lr := p.start(span.Range{End: "m"}, unknown)
	high, hr := p.start(span.Range{Start: "m"}, unknown)
	p.caughtUp(lr)
	p.caughtUp(hr)
	at := closed(t, low)
	for i := range 5 {
		p.put("a", fmt.Sprint(i))
		p.put("z", fmt.Sprint(i))
	}
	p.caughtUp(hr)
	closed(t, high)
	_, r := p.start(all, at)
	p.caughtUp(r)
	want := []string{"0", "1", "2", "3", "4"}
	for _, key := range []string{"a", "z"} {
		if got := history(t, p.d, key); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s had the values %v, want each once", key, got)
		}
	}
}

func TestIdleSpanWritesNothing(t *testing.T) {
	p := newPair(t)
	_, r := p.start(span.Range{End: "m"}, unknown)
	p.caughtUp(r)
	before, err := p.d.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		p.put("z", fmt.Sprint(i))
	}
	p.caughtUp(r)
	after, err := p.d.Get(t.Context(), "x")
	if err != nil || after.Header.Revision != before.Header.Revision {
		t.Errorf("%d writes for a span without changes: %v", after.Header.Revision-before.Header.Revision, err)
	}
}

func TestLeasesAreCopied(t *testing.T) {
	p := newPair(t, "leases", "copy")
	short, err := p.s.Grant(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := p.s.Grant(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	alive, err := p.s.KeepAlive(t.Context(), kept.ID)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range alive {
		}
	}()
	p.put("short", "1", clientv3.WithLease(short.ID))
	p.put("copied", "1", clientv3.WithLease(kept.ID))
	in, r := p.start(all, unknown)
	p.put("followed", "1", clientv3.WithLease(kept.ID))
	p.caughtUp(r)
	got, err := p.d.Get(t.Context(), "followed")
	if err != nil || len(got.Kvs) != 1 || got.Kvs[0].Lease != int64(kept.ID) {
		t.Fatalf("got %v, %v", got, err)
	}
	if l, err := p.d.TimeToLive(t.Context(), kept.ID); err != nil || l.GrantedTTL != 2 {
		t.Errorf("lease at the destination: %+v, %v", l, err)
	}
	eventually(t, "the end of the short lease", func() bool { _, ok := data(t, p.d)["short"]; return !ok })
	eventually(t, "a while", func() bool { l, err := p.s.TimeToLive(t.Context(), short.ID); return err == nil && l.TTL < -0 })
	sameData(t, map[string]string{"copied": "1", "followed": "1"}, data(t, p.d))

	// Nobody keeps the lease alive: the keys end, and come back with the next owner.
	in.Abort()
	eventually(t, "the keys end", func() bool { return len(data(t, p.d)) == 0 })
	_, r = p.start(all, r.last.Checkpoint)
	p.caughtUp(r)
	eventually(t, "the keys are back", func() bool { return len(data(t, p.d)) == 2 })
}

func TestTLSAndUser(t *testing.T) {
	src, dst := etcdtest.Start(t, etcdtest.WithTLS()), etcdtest.Start(t, etcdtest.WithAuth("mirror", "secret"))
	put(t, src.Client(t), "a", "1")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	set := map[string]string{
		"source": strings.Join(src.Endpoints(), ","), "dest": strings.Join(dst.Endpoints(), ","),
		"source-cacert": src.Files().CACert, "source-cert": src.Files().Cert, "source-key": src.Files().Key,
		"dest-user": "mirror", "dest-password-file": password,
	}
	p := &pair{t: t, set: set, w: newWorkload(t)}
	in, r := p.start(all, unknown)
	eventually(t, "copied", r.at(1))
	closed(t, in)
	sameData(t, map[string]string{"a": "1"}, data(t, dst.Client(t)))
}

func TestOneEtcdIsRecognisedBehindAnotherName(t *testing.T) {
	p := newPair(t)
	proxy := strings.Replace(p.set["source"], "127.0.0.1", "127.0.0.2", 1)
	p.set["dest"] = proxy
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	p.w.cfg.Connect = nil
	p.w.pool.connect = func(context.Context, Etcd) (*clientv3.Client, error) {
		return clientv3.New(clientv3.Config{Endpoints: p.src.Endpoints()})
	}
	if _, err := p.w.Open(ctx, p.task(all, unknown), &reports{}); !fault.Is(err, fault.RangeOverlap) {
		t.Errorf("got %v", err)
	}
}

func TestRestoredSourceIsRefused(t *testing.T) {
	p := newPair(t)
	p.put("a", "1")
	_, err := p.w.Open(t.Context(), p.task(all, position(1000)), &reports{})
	if !fault.Is(err, fault.WrongCluster) {
		t.Errorf("got %v", err)
	}
	p.put("survives", "1")
	if len(data(t, p.d)) != 0 {
		t.Error("the destination was changed")
	}
}
