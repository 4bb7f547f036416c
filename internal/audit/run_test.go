package audit

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/record"
)

// stored lets a world write what it does into a real etcd, whose revisions must then be the world's.
func stored(t *testing.T, w *world, c *clientv3.Client) {
	leases := map[int64]clientv3.LeaseID{}
	w.applied = func(x *tx) {
		t.Helper()
		if x.revoke != 0 {
			if _, err := c.Revoke(t.Context(), leases[x.revoke]); err != nil {
				t.Fatal(err)
			}
			return
		}
		var ops []clientv3.Op
		for k, v := range x.puts {
			var opts []clientv3.OpOption
			if id := x.leases[k]; id != 0 {
				if leases[id] == 0 {
					l, err := c.Grant(t.Context(), 3600)
					if err != nil {
						t.Fatal(err)
					}
					leases[id] = l.ID
				}
				opts = append(opts, clientv3.WithLease(leases[id]))
			}
			ops = append(ops, clientv3.OpPut(k, string(v), opts...))
		}
		for k := range x.dels {
			ops = append(ops, clientv3.OpDelete(k))
		}
		resp, err := c.Txn(t.Context()).Then(ops...).Commit()
		if err != nil {
			t.Fatal(err)
		}
		if resp.Header.Revision != w.rev {
			t.Fatalf("etcd is at revision %d, the world at %d", resp.Header.Revision, w.rev)
		}
	}
}

// eventful has the end of a session, a fail-over and a cancelled move in its history.
func eventful(w *world) {
	w.apply(w.lead())
	w.apply(w.start("n1"))
	w.apply(w.start("n2"))
	w.apply(w.begin(2))
	w.apply(w.newSpan("a", rangeOf("", "m")))
	w.apply(w.newSpan("b", rangeOf("m", "")))
	w.apply(w.complete())
	w.apply(w.claims("n1", record.StageOpening, "a", "b"))
	w.apply(w.commit("a"))
	w.apply(w.commit("b"))
	moveClaimed(w)
	w.apply(w.cancel("a"))
	w.apply(w.commit("a"))
	removeClaimed(w)
	w.apply(w.lose("n1"))
	for _, id := range w.ids() {
		w.apply(w.claims("n2", record.StageOpening, id))
		w.apply(w.commit(id))
	}
	w.apply(w.claims("n2", record.StageClosing, "b"))
	w.apply(w.remove("b"))
}

func inBubble(t *testing.T, test func(t *testing.T, b *etcdtest.Bubble, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		b := etcdtest.StartBubble(t)
		w := newWorld(t)
		stored(t, w, b.Client())
		test(t, b, w)
	})
}

func run(t *testing.T, c *clientv3.Client, w *world, keyspace string, o Options) Report {
	t.Helper()
	r, err := Run(t.Context(), c, w.layout, keyspace, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRunSeesTheWholeHistory(t *testing.T) {
	inBubble(t, func(t *testing.T, b *etcdtest.Bubble, w *world) {
		eventful(w)
		var told int64
		r := run(t, b.Client(), w, "", Options{Settled: true, Progress: func(at, last int64) {
			if at < told || last != w.rev {
				t.Errorf("told of revision %d of %d after %d", at, last, told)
			}
			told = at
		}})
		if !r.OK || r.Revision != w.rev || r.HistoryFrom != 1 || told != w.rev {
			t.Errorf("got %+v, told of revision %d of %d", r, told, w.rev)
		}
		Check(t, b.Client(), w.layout)
	})
}

// What was wrong once is found although the present is in order.
func TestRunFindsWhatWasWrongOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *etcdtest.Bubble, w *world) {
		eventful(w)
		x := w.handBack("a")
		w.edit(x, "a", func(s *record.Span) { s.Range.End = "l" })
		back := w.handBack("a")
		w.apply(x, back)
		r := run(t, b.Client(), w, "", Options{})
		if r.OK || len(r.Violations) == 0 || r.Violations[0].Invariant != Coverage || r.Violations[0].Revision != w.rev-1 {
			t.Errorf("got %+v", r)
		}
		if r := run(t, b.Client(), w, "other", Options{}); !r.OK {
			t.Errorf("another keyspace is concerned: %+v", r.Violations)
		}
		lost := &failures{}
		CheckMoving(lost, b.Client(), w.layout)
		if !strings.Contains(lost.text, Coverage) {
			t.Errorf("a test would not fail: %q", lost.text)
		}
		// After a compaction nothing shows it any more.
		if _, err := b.Client().Compact(t.Context(), w.rev); err != nil {
			t.Fatal(err)
		}
		if r := run(t, b.Client(), w, "", Options{}); !r.OK || r.HistoryFrom != w.rev {
			t.Errorf("got %+v", r)
		}
	})
}

type failures struct{ text string }

func (*failures) Helper()                        {}
func (*failures) Logf(string, ...any)            {}
func (f *failures) Errorf(s string, args ...any) { f.text += fmt.Sprintf(s, args...) }
func (f *failures) Fatalf(s string, args ...any) { f.Errorf(s, args...) }

func TestRunBeginsAnywhere(t *testing.T) {
	inBubble(t, func(t *testing.T, b *etcdtest.Bubble, w *world) {
		eventful(w)
		for at := int64(2); at <= w.rev; at++ {
			if _, err := b.Client().Compact(t.Context(), at); err != nil {
				t.Fatal(err)
			}
			if r := run(t, b.Client(), w, "", Options{Settled: true}); !r.OK || r.HistoryFrom != at || r.Revision != w.rev {
				t.Fatalf("compacted at %d: %+v", at, r)
			}
		}
	})
}

// The list at the oldest revision is overtaken by another compaction.
func TestRunIsOvertakenByCompaction(t *testing.T) {
	inBubble(t, func(t *testing.T, b *etcdtest.Bubble, w *world) {
		eventful(w)
		compact := func(at int64) {
			if _, err := b.Client().Compact(context.Background(), at); err != nil {
				t.Error(err)
			}
		}
		compact(5)
		p := b.Process()
		p.Inject(func(c etcdtest.Call) etcdtest.Fault {
			if c.Method == "Range" && c.N == 2 {
				compact(9)
			}
			return etcdtest.Fault{}
		})
		if r := run(t, p.Client(), w, "", Options{}); !r.OK || r.HistoryFrom != 9 || r.Revision != w.rev {
			t.Errorf("got %+v", r)
		}
	})
}

// An audit ends at the revision at which it began, however busy the cluster is, and even if nothing of ours changes.
func TestRunEndsWhereItBegan(t *testing.T) {
	inBubble(t, func(t *testing.T, b *etcdtest.Bubble, w *world) {
		eventful(w)
		for i := range 10 {
			if _, err := b.Client().Put(t.Context(), fmt.Sprint("foreign", i), "x"); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		r := run(t, b.Client(), w, "", Options{Progress: func(int64, int64) {
			if _, err := b.Client().Put(t.Context(), "more", "x"); err != nil {
				t.Error(err)
			}
		}})
		if !r.OK || r.Revision != w.rev+10 {
			t.Errorf("got %+v at revision %d", r, w.rev+10)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func TestRunGivesUpWithoutEtcd(t *testing.T) {
	inBubble(t, func(t *testing.T, b *etcdtest.Bubble, w *world) {
		eventful(w)
		c := b.Process().Client()
		b.Down()
		if r, err := Run(t.Context(), c, w.layout, "", Options{}); err == nil {
			t.Errorf("got %+v", r)
		}
		b.Up()
	})
}
