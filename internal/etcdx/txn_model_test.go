package etcdx_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/txn"
)

// world runs the same batches against etcd and against the model of it, which must always agree.
type world struct {
	process *etcdtest.Process
	kv      clientv3.KV
	model   *txn.Store
	prefix  string
	lease   clientv3.LeaseID
	tags    int
	// revisions that compares may draw: those that some key had, and absent.
	revisions []int64
}

func newWorld(t *rapid.T, p *etcdtest.Process, n int) *world {
	c := p.Client()
	lease, err := c.Grant(context.Background(), 1e6)
	must(t, err)
	r, err := c.Get(context.Background(), "x")
	must(t, err)
	w := &world{
		process: p, kv: c, prefix: fmt.Sprintf("%d/", n), lease: lease.ID,
		model: txn.NewStoreAt(r.Header.Revision), revisions: []int64{0},
	}
	w.model.Grant(int64(w.lease))
	return w
}

func (w *world) key(t *rapid.T) string {
	return w.prefix + rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "key")
}

func (w *world) cmp(t *rapid.T) txn.Cmp {
	key := w.key(t)
	kv, _ := w.model.Get(key)
	// Compares that hold are the interesting ones, and mostly those with another would not.
	switch rapid.IntRange(0, 3).Draw(t, "cmp") {
	case 0:
		return txn.Created(key, rapid.SampledFrom(w.revisions).Draw(t, "rev"))
	case 1:
		return txn.Created(key, kv.Create)
	default:
		return txn.At(key, kv.Mod)
	}
}

// part writes keys that no other part of the batch writes, and leaves a witness that tells it was done.
func (w *world) part(t *rapid.T, taken map[string]bool) txn.Part {
	w.tags++
	tag := fmt.Sprintf("%switness%d", w.prefix, w.tags)
	p := txn.Part{
		If:      []txn.Cmp{txn.Absent(tag)},
		Then:    []txn.Op{txn.Put(tag, []byte("done"))},
		Witness: []string{tag, w.key(t)},
		Mine:    func(f txn.Found) bool { return string(f[tag].Value) == "done" },
	}
	for range rapid.IntRange(0, 3).Draw(t, "compares") {
		p.If = append(p.If, w.cmp(t))
	}
	for range rapid.IntRange(0, 3).Draw(t, "writes") {
		key := w.key(t)
		if taken[key] {
			continue
		}
		taken[key] = true
		value := rapid.SliceOfN(rapid.Byte(), 1, 3).Draw(t, "value")
		p.Then = append(p.Then, rapid.SampledFrom([]txn.Op{
			txn.Put(key, value), txn.PutLeased(key, value), txn.Delete(key),
		}).Draw(t, "op"))
	}
	return p
}

func (w *world) batch(t *rapid.T) txn.Batch {
	b := txn.Batch{}
	for range rapid.IntRange(0, 2).Draw(t, "outer") {
		b.Outer = append(b.Outer, w.cmp(t))
	}
	taken := map[string]bool{}
	for range rapid.IntRange(1, 4).Draw(t, "parts") {
		b.Parts = append(b.Parts, w.part(t, taken))
	}
	return b
}

func (w *world) run(t *rapid.T) {
	b := w.batch(t)
	got, err := etcdx.Run(context.Background(), w.kv, w.lease, b)
	want, wantErr := w.model.Apply(int64(w.lease), b)
	if errors.Is(wantErr, txn.ErrLease) {
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) || errors.Is(err, etcdx.ErrUnknown) {
			t.Fatalf("a lease that is gone: %v", err)
		}
		return
	}
	must(t, err)
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("results (-model +etcd):\n%s", d)
	}
	w.revisions = append(w.revisions, w.model.Revision())
}

// settle runs a batch through a loss. If the lost sending was carried out, etcd gets the batch twice: a part that was
// refused the first time may then be done, where another part has made room for it.
func (w *world) settle(t *rapid.T) {
	b := w.batch(t)
	var first []txn.Result
	var refused error // an error of etcd itself is never lost
	if rapid.Bool().Draw(t, "applied") {
		w.process.LoseTxn(1)
		first, refused = w.model.Apply(int64(w.lease), b)
	} else {
		w.process.FailTxn(1)
	}
	defer w.process.Inject(nil)
	got, err := etcdx.Settle(context.Background(), w.kv, w.lease, b, etcdx.Options{})
	want, wantErr := w.model.Apply(int64(w.lease), b)
	if wantErr != nil {
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) || errors.Is(err, etcdx.ErrUnknown) != (refused == nil) {
			t.Fatalf("a lease that is gone, after a lost answer: %v", err)
		}
		return
	}
	must(t, err)
	for i, r := range want {
		earlier := first != nil && first[i].Outcome == txn.Done
		if earlier {
			r.Outcome = txn.Done
		}
		if r.Outcome != got[i].Outcome || earlier != got[i].Earlier {
			t.Fatalf("part %d: %+v, want %+v, done earlier: %v", i, got[i], r, earlier)
		}
	}
}

func (w *world) expire(t *rapid.T) {
	w.revoke(t)
	w.model.Expire(int64(w.lease))
	if rapid.Bool().Draw(t, "renewed") {
		l, err := w.process.Client().Grant(context.Background(), 1e6)
		must(t, err)
		w.lease = l.ID
		w.model.Grant(int64(l.ID))
	} else {
		w.lease = noLease
	}
}

// noLease is a lease that nobody was granted.
const noLease = 4711

func (w *world) revoke(t *rapid.T) {
	if w.lease != noLease {
		_, err := w.process.Client().Revoke(context.Background(), w.lease)
		must(t, err)
	}
}

func (w *world) check(t *rapid.T) {
	r, err := w.kv.Get(context.Background(), w.prefix, clientv3.WithPrefix())
	must(t, err)
	etcd, model := txn.Found{}, txn.Found{}
	for _, kv := range r.Kvs {
		etcd[string(kv.Key)] = txn.KV{
			Value: kv.Value, Mod: kv.ModRevision, Create: kv.CreateRevision, Lease: kv.Lease, Version: kv.Version,
			Revision: r.Header.Revision,
		}
	}
	w.model.Scan(w.prefix, func(key string, kv txn.KV) bool { model[key] = kv; return true })
	if d := cmp.Diff(model, etcd); d != "" {
		t.Fatalf("records (-model +etcd):\n%s", d)
	}
}

func TestModelIsEtcd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := etcdtest.StartBubble(t).Process()
		n := 0
		// Without the deadline of *testing.T, which a bubble has not.
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
			n++
			w := newWorld(t, p, n)
			t.Repeat(map[string]func(*rapid.T){
				"run": w.run, "run again": w.run, "settle": w.settle, "expire": w.expire, "": w.check,
			})
			w.revoke(t)
		})
	})
}

func must(t interface {
	Helper()
	Fatal(...any)
}, err error,
) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
