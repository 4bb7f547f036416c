package scheduler_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

// wave is a keyspace whose load jumps up and down.
type wave struct {
	*reshapeWorld
	cfg       scheduler.ReshapeConfig
	high, low float64
	period    time.Duration
	// most is how many spans it had at most, and up and down how often it was split and merged.
	most, up, down int
}

func newWave(cfg scheduler.ReshapeConfig, high, low float64, period time.Duration) *wave {
	w := &wave{reshapeWorld: newReshapeWorld(), cfg: cfg, high: high, low: low, period: period}
	w.fleet.SetKeyspace("k", cfg)
	w.fleet.SetNode(scheduler.Node{Name: "n1", Session: 1, Workloads: []string{"gate"}, Eligible: true})
	w.fleet.SetSpan(scheduler.Span{Ref: ref("k", "s"), Workload: "gate", Node: "n1", Settled: true, Made: w.now})
	return w
}

// load at a time of a part of all keys, which are two bytes: each of them has the same.
func (w *wave) at(r span.Range) scheduler.Load {
	all := w.low
	if w.now.Sub(w.start)%w.period < w.period/2 {
		all = w.high
	}
	from, to := position(r.Start), 65536
	if r.End != "" {
		to = position(r.End)
	}
	l := scheduler.Load{Load: all * float64(to-from) / 65536, Size: -1}
	for i := 1; i < 8; i++ {
		l.SplitKeys = append(l.SplitKeys, twoBytes(from+(to-from)*i/8))
	}
	return l
}

func position(key string) int {
	key += "\x00\x00"
	return int(key[0])<<8 | int(key[1])
}

func twoBytes(n int) string { return string([]byte{byte(n >> 8), byte(n)}) }

// run lets time pass; every span reports every second, and what is planned is done at once.
func (w *wave) run(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(time.Second) {
		w.fleet.EachSpan(func(s scheduler.Span) { w.fleet.SetLoad(s.Ref, w.at(s.Range), w.now) })
		w.plan()
		w.up += len(w.splits)
		w.down += len(w.merges)
		w.settle(w.at)
		w.most = max(w.most, w.fleet.Len())
	}
}

// Whatever the period of a square wave, the number of splits and merges does not exceed what the settings allow in the time.
func TestReshapeSquareWave(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := func(name string, xs ...int) time.Duration {
			return time.Duration(rapid.SampledFrom(xs).Draw(t, name)) * time.Second
		}
		cfg := scheduler.ReshapeConfig{
			SplitLoad: 1000, SplitAfter: seconds("split.after", 5, 30), MergeLoad: 400, MergeAfter: seconds("merge.after", 20, 60, 120),
			MinAge: seconds("age", 0, 10, 60), MaxSpans: rapid.SampledFrom([]int{0, 3, 5}).Draw(t, "max-spans"),
		}
		period := seconds("period", 2, 8, 10, 12, 38, 40, 42, 58, 60, 62, 70, 118, 122, 240, 242, 300)
		w := newWave(cfg, float64(rapid.IntRange(900, 9000).Draw(t, "high")), float64(rapid.IntRange(0, 900).Draw(t, "low")), period)
		took := 30 * time.Minute
		w.run(took)

		// A round is that it becomes hot, is split, becomes cold and is merged. In one it is split into eight at most, each of
		// these once more, and as many merges make it whole again.
		rounds := 1 + int(took/(cfg.SplitAfter+cfg.MergeAfter))
		if w.ops > rounds*18 {
			t.Fatalf("%d splits, %d merges in %d rounds", w.up, w.down, rounds)
		}
		if period/2 < cfg.MergeAfter && w.down > 0 {
			t.Fatalf("%d merges, though nothing is cold for %s", w.down, cfg.MergeAfter)
		}
		if period/2 < cfg.SplitAfter && w.up > 0 {
			t.Fatalf("%d splits, though nothing is hot for %s", w.up, cfg.SplitAfter)
		}
		if cfg.MaxSpans > 0 && w.most > cfg.MaxSpans {
			t.Fatalf("%d spans, and max-spans=%d", w.most, cfg.MaxSpans)
		}
	})
}

// By the times that a cluster has by default, this is what four hours of a square wave cost, by its period.
func TestReshapeSquareWaveDefaults(t *testing.T) {
	cfg := scheduler.ReshapeConfig{SplitLoad: 1000, SplitAfter: 30 * time.Second, MergeLoad: 400, MergeAfter: 10 * time.Minute, MinAge: 5 * time.Minute}
	want := map[time.Duration]string{
		20 * time.Second: "0 splits, 0 merges, 1 spans",
		time.Minute:      "0 splits, 0 merges, 1 spans",
		10 * time.Minute: "1 splits, 0 merges, 4 spans",
		30 * time.Minute: "8 splits, 8 merges, 4 spans",
		time.Hour:        "4 splits, 4 merges, 4 spans",
	}
	for period, want := range want {
		w := newWave(cfg, 3500, 50, period)
		w.run(4 * time.Hour)
		if got := fmt.Sprintf("%d splits, %d merges, %d spans", w.up, w.down, w.most); got != want {
			t.Errorf("period %s: %s, want %s", period, got, want)
		}
	}
}
