package scheduler_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

// A second of a million spans in a hundred keyspaces, of which one in a hundred changes its load a minute: some become hot,
// most are cold and too many together to be merged.
func BenchmarkReshapeSecond1M(b *testing.B) {
	before := heapInUse()
	f, refs, now := millionSpans(4)
	used := heapInUse() - before
	rng := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		for range len(refs) / 6000 {
			r := refs[rng.IntN(len(refs))]
			f.SetLoad(r, scheduler.Load{Load: 60 + 50*rng.Float64(), Size: -1, SplitKeys: []string{string(r.ID) + "m"}}, now)
		}
		splits, merges := f.SplitsAndMerges(now)
		for _, s := range splits {
			refuse(f, s.Ref)
		}
		for _, m := range merges {
			for _, id := range m.Spans {
				refuse(f, operator.Ref{Keyspace: m.Keyspace, ID: id})
			}
		}
		now = now.Add(time.Second)
	}
	b.ReportMetric(float64(used)/1e6, "MB")
}

// A tick in which nothing has changed, with a million cold spans, and as many merges in flight as there may be.
func BenchmarkReshapeIdle1M(b *testing.B) {
	f, refs, now := millionSpans(4)
	for _, r := range refs {
		f.SetLoad(r, scheduler.Load{Load: 1, Size: -1}, now)
	}
	now = now.Add(time.Hour)
	f.SplitsAndMerges(now)
	for b.Loop() {
		now = now.Add(time.Second)
		f.SplitsAndMerges(now)
	}
}

func refuse(f *scheduler.Fleet, r operator.Ref) {
	s, _ := f.Span(r)
	s.Flight = scheduler.Flight{}
	f.SetSpan(s)
}

// All at once: a million cold spans and no limit.
func BenchmarkReshapeAll1M(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		f, refs, now := millionSpans(0)
		for _, r := range refs {
			f.SetLoad(r, scheduler.Load{Load: 1, Size: -1}, now)
		}
		b.StartTimer()
		if _, merges := f.SplitsAndMerges(now.Add(time.Hour)); len(merges) != 125_000 {
			b.Fatal(len(merges))
		}
	}
}

func millionSpans(budget int) (*scheduler.Fleet, []operator.Ref, time.Time) {
	f := scheduler.NewFleet()
	f.Configure(scheduler.BalanceConfig{}, budget)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := range 1000 {
		f.SetNode(scheduler.Node{Name: fmt.Sprintf("n%d", n), Session: 1, Workloads: []string{"gate"}, Eligible: true})
	}
	refs := make([]operator.Ref, 0, 1_000_000)
	for k := range 100 {
		ks := fmt.Sprintf("k%d", k)
		f.SetKeyspace(ks, scheduler.ReshapeConfig{
			SplitLoad: 100, SplitAfter: 30 * time.Second, MergeLoad: 90, MergeAfter: 10 * time.Minute, MinAge: 5 * time.Minute,
		})
		for n := range 10_000 {
			key := fmt.Sprintf("%04d", n)
			r := operator.Ref{Keyspace: ks, ID: span.ID(key)}
			refs = append(refs, r)
			f.SetSpan(scheduler.Span{
				Ref: r, Range: span.Range{Start: key, End: fmt.Sprintf("%04d", n+1)}, Workload: "gate", Node: fmt.Sprintf("n%d", (k+n)%1000),
				Settled: true,
			})
			f.SetLoad(r, scheduler.Load{Load: 60, Size: -1, SplitKeys: []string{key + "m"}}, now)
		}
	}
	f.SplitsAndMerges(now.Add(time.Hour))
	return f, refs, now.Add(time.Hour)
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
