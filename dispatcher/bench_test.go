package dispatcher_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// placed is how many spans one iteration claims, opens and commits.
const placed = 1000

// BenchmarkPlace is the placement of a thousand spans on one dispatcher, over sockets, with fsync: how long it takes
// and how many transactions of etcd it costs.
func BenchmarkPlace(b *testing.B) {
	client := etcdtest.Start(b, etcdtest.WithFsync()).Client(b)
	layout, err := keys.New("c")
	if err != nil {
		b.Fatal(err)
	}
	put := func(key string, value []byte) int64 {
		r, err := client.Put(b.Context(), key, string(value))
		if err != nil {
			b.Fatal(err)
		}
		return r.Header.Revision
	}
	lead := newLeader(b)
	lead.setTerm(put(layout.Leader(), record.EncodeLeader(record.Leader{Maintainer: "m", Instance: "i", Address: "passthrough:///leader"})))
	d, err := dispatcher.New(dispatcher.Config{Cluster: layout, Name: "n1", Client: client, Dial: lead.dial},
		map[string]dispatcher.Workload{"test": newSink()})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()
	until(b, func() bool { return lead.node("n1").fulls > 0 })
	before := d.Stats()
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		var spans []operator.Span
		for i := range placed {
			id := span.ID(fmt.Sprintf("s%d-%04d", n, i))
			s := operator.Span{Ref: operator.Ref{Keyspace: "ks", ID: id}, Span: record.Span{Range: span.Range{Start: string(id)}}}
			s.Mod = put(layout.Span("ks", id), record.EncodeSpan(s.Span))
			spans = append(spans, s)
		}
		b.StartTimer()
		for len(spans) > 0 {
			lead.ask("n1", sessionv1.Ask_ACTION_OPEN, spans[:100]...)
			spans = spans[100:]
		}
		until(b, func() bool { return d.Stats().Running == int64(placed*(n+1)) })
	}
	after := d.Stats()
	b.ReportMetric(float64(after.Batches-before.Batches)/float64(b.N), "txns/op")
	b.ReportMetric(float64(after.Mutations-before.Mutations)/float64(b.N), "mutations/op")
}

// until waits in real time, for what should take milliseconds.
func until(b *testing.B, ok func() bool) {
	b.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			b.Fatal("still waiting after 30 s")
		}
	}
}
