package election_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/election"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/leases"
)

// settle is how long a leader leads here. etcd looks for watches that were opened in its past ten times a second, and one
// that was opened during the last hand-over was: before that, a resignation would be news of up to 100 ms ago.
const settle = 120 * time.Millisecond

// BenchmarkHandOver measures, over sockets and with real fsync, the time from the call of Resign to the answer of the
// first fenced write of the successor. etcd commits three times in it: the resignation, the election, the write. The same
// run times plain puts. It takes a tenth of a second a hand-over: go test -bench HandOver -benchtime 100x ./election
func BenchmarkHandOver(b *testing.B) {
	etcd := etcdtest.Start(b, etcdtest.WithFsync())
	ctx, cancel := context.WithCancel(context.Background())
	seats := make(chan handover, 1)
	names := []string{"a", "b", "c"}
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for _, name := range names {
		all.Go(func() { benchCandidate(ctx, b, etcd.Client(b), name, seats) })
	}
	plain := etcd.Client(b)
	held := <-seats
	var took, puts []time.Duration
	for i := 0; b.Loop(); i++ {
		time.Sleep(settle)
		puts = append(puts, timed(b, func() error {
			_, err := plain.Put(ctx, "plain", strconv.Itoa(i))
			return err
		}))
		from := time.Now()
		if err := held.seat.Resign(ctx, names[(slices.Index(names, held.name)+1)%len(names)]); err != nil {
			b.Fatal(err)
		}
		held = <-seats
		took = append(took, held.written.Sub(from))
	}
	p50, p99 := percentile(took, 50), percentile(took, 99)
	b.ReportMetric(ms(p50), "p50-ms")
	b.ReportMetric(ms(p99), "p99-ms")
	b.ReportMetric(ms(percentile(puts, 50)), "put-p50-ms")
	b.ReportMetric(float64(p50)/float64(percentile(puts, 50)), "puts/handover")
}

// handover is what the next leader reports.
type handover struct {
	name    string
	seat    *election.Seat
	written time.Time // when its first fenced write was answered
}

func benchCandidate(ctx context.Context, b *testing.B, client *clientv3.Client, name string, seats chan<- handover) {
	s, err := leases.Grant(ctx, client, leases.Config{TTL: ttl})
	if err != nil {
		b.Error(err)
		return
	}
	var renewing sync.WaitGroup
	defer renewing.Wait()
	renewing.Go(func() { _ = s.Run(ctx) })
	c, err := election.New(election.Config{
		Client: client, Key: key, Session: s, Self: record.Leader{Maintainer: name, Instance: name, Address: name},
	})
	if err != nil {
		b.Error(err)
		return
	}
	for ctx.Err() == nil {
		seat, err := c.Campaign(ctx)
		if err != nil {
			continue
		}
		r, err := client.Txn(ctx).If(seat.Fence()).Then(clientv3.OpPut(writes+name, fmt.Sprint(seat.Term()))).Commit()
		if err != nil || !r.Succeeded {
			b.Errorf("the first write of term %d: %v", seat.Term(), err)
		}
		select {
		case seats <- handover{name, seat, time.Now()}:
		case <-ctx.Done():
			return
		}
		select {
		case <-seat.Lost(): // Resign closes it
		case <-ctx.Done():
		}
	}
}

func timed(b *testing.B, f func() error) time.Duration {
	b.Helper()
	from := time.Now()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return time.Since(from)
}

func percentile(d []time.Duration, p int) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, len(d)*p/100)]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
