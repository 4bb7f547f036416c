package scheduler_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

// bigFleet is level: spans of one keyspace on nodes, with loads.
func bigFleet(spans, nodes int) (*scheduler.Fleet, time.Time) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	f := scheduler.NewFleet()
	f.Configure(scheduler.BalanceConfig{CountTolerance: 0.1, LoadTolerance: 0.25, Cooldown: time.Minute}, 0)
	for i := range nodes {
		f.SetNode(plainNode(fmt.Sprintf("n%04d", i)))
	}
	for i := range spans {
		ref := operator.Ref{Keyspace: "k", ID: span.ID(fmt.Sprintf("812-%d.0", i))}
		f.SetSpan(scheduler.Span{Ref: ref, Workload: "gate", Node: fmt.Sprintf("n%04d", i%nodes), Settled: true})
		f.SetLoad(ref, scheduler.Load{Load: float64(i % 17), Size: -1}, now)
	}
	f.Balance(now)
	return f, now
}

var benchSizes = []struct {
	name         string
	spans, nodes int
}{{"10k", 10_000, 100}, {"100k", 100_000, 300}, {"1M", 1_000_000, 1000}}

// A plan after a node was added, or ten in the largest fleet: as many moves as they get spans.
func BenchmarkBalanceAdd(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			moves := 0
			for b.Loop() {
				b.StopTimer()
				f, now := bigFleet(size.spans, size.nodes)
				for i := range max(1, size.nodes/100) {
					f.SetNode(plainNode(fmt.Sprint("new", i)))
				}
				b.StartTimer()
				moves = len(f.Balance(now))
			}
			b.ReportMetric(float64(moves), "moves")
		})
	}
}

// A turn in which nothing has changed, and one in which one load has.
func BenchmarkBalanceTurn(b *testing.B) {
	for _, size := range benchSizes {
		f, now := bigFleet(size.spans, size.nodes)
		b.Run(size.name+"/nothing", func(b *testing.B) {
			for b.Loop() {
				f.Balance(now)
			}
		})
		i := 0
		b.Run(size.name+"/load", func(b *testing.B) {
			for b.Loop() {
				i++
				ref := operator.Ref{Keyspace: "k", ID: span.ID(fmt.Sprintf("812-%d.0", i*7919%size.spans))}
				f.SetLoad(ref, scheduler.Load{Load: float64(i % 19), Size: -1}, now)
				f.Balance(now)
			}
		})
	}
}

// What a fleet takes: a million spans on a thousand nodes.
func BenchmarkFleetFill1M(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		f, _ := bigFleet(1_000_000, 1000)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(f.Len()), "B/span")
	}
}

// What a new leader tells first is spans, and then, all at once, the nodes that they are on.
func BenchmarkTakeOver(b *testing.B) {
	for _, size := range benchSizes[:2] {
		b.Run(size.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				f := scheduler.NewFleet()
				for i := range size.spans {
					f.SetSpan(scheduler.Span{
						Ref: operator.Ref{Keyspace: "k", ID: span.ID(fmt.Sprintf("812-%d.0", i))}, Workload: "gate",
						Node: fmt.Sprintf("n%04d", i%size.nodes), Settled: true,
					})
				}
				b.StartTimer()
				for i := range size.nodes {
					f.SetNode(plainNode(fmt.Sprintf("n%04d", i)))
				}
				f.Balance(time.Unix(1e9, 0))
			}
		})
	}
}
