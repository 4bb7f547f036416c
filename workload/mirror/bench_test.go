package mirror

import (
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/spanward/spanward/internal/etcdtest"
)

// benchKeys is how many keys are copied, and how many are then changed.
const benchKeys = 100_000

// BenchmarkMirror measures the initial copy and the replay of changes over sockets, with fsync, against putting the same
// keys into the destination in transactions of 128, four at a time.
func BenchmarkMirror(b *testing.B) {
	for b.Loop() {
		p := newPair(b)
		p.dst = etcdtest.Start(b, etcdtest.WithFsync())
		p.d, p.set["dest"] = p.dst.Client(b), p.dst.Endpoints()[0]
		fillRaw(b, p.s, "k", 1)
		raw := fillRaw(b, etcdtest.Start(b, etcdtest.WithFsync()).Client(b), "k", 1)

		start := time.Now()
		in, r := p.start(all, unknown)
		p.caughtUp(r)
		copied := rate(start)

		closed(b, in)
		fillRaw(b, p.s, "k", benchTxn) // changes, in revisions of benchTxn keys
		start = time.Now()
		in, r = p.start(all, r.last.Checkpoint)
		p.caughtUp(r)
		batched := rate(start)

		closed(b, in)
		for i := range benchKeys / 20 {
			p.put(fmt.Sprintf("k%06d", i), "single")
		}
		start = time.Now()
		in, r = p.start(all, r.last.Checkpoint)
		p.caughtUp(r)
		single := rate(start) / 20
		closed(b, in)

		b.ReportMetric(copied, "copied-keys/s")
		b.ReportMetric(copied/raw, "copy/raw")
		b.ReportMetric(batched, "txn-changes/s")
		b.ReportMetric(single, "single-changes/s")
	}
}

func rate(since time.Time) float64 { return benchKeys / time.Since(since).Seconds() }

const benchTxn = 20

// fillRaw puts benchKeys keys in transactions of 128, or as many as said, and gives keys a second.
func fillRaw(b *testing.B, c *clientv3.Client, prefix string, txn int) float64 {
	b.Helper()
	if txn == 1 {
		txn = txnSlots
	}
	value := strings.Repeat("v", 100+txn%3)
	start := time.Now()
	var g errgroup.Group
	g.SetLimit(copiesInFlight)
	for i := 0; i < benchKeys; i += txn {
		var ops []clientv3.Op
		for j := i; j < min(i+txn, benchKeys); j++ {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%06d", prefix, j), value))
		}
		g.Go(func() error {
			_, err := c.Txn(b.Context()).Then(ops...).Commit()
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return rate(start)
}
