package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/span"
)

// asked counts what a source is asked for: how many keys a range has, and where its first one is.
type asked struct {
	mu            sync.Mutex
	counts, looks int
	// now and most are how many questions are under way.
	now, most int
	times     []time.Time // of counts
	fail      atomic.Bool
	slow      time.Duration
}

type askedKV struct {
	clientv3.KV
	*asked
}

var errRefused = errors.New("refused")

func (k askedKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	op := clientv3.OpGet(key, opts...)
	look := op.IsSerializable() && op.IsKeysOnly()
	if !op.IsCountOnly() && !look {
		return k.KV.Get(ctx, key, opts...)
	}
	k.mu.Lock()
	if look {
		k.looks++
	} else {
		k.counts++
		k.times = append(k.times, time.Now())
	}
	k.now++
	k.most = max(k.most, k.now)
	k.mu.Unlock()
	sleep(ctx, k.slow)
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.now--
	}()
	if k.fail.Load() {
		return nil, errRefused
	}
	return k.KV.Get(ctx, key, opts...)
}

func (k *asked) questions() (counts, looks int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.counts, k.looks
}

// quiet is a source and a destination on virtual time, and a process that mirrors between them.
type quiet struct {
	t        *testing.T
	src, dst *etcdtest.Bubble
	asked    asked
	token    uint64
}

func newQuiet(t *testing.T) *quiet {
	return &quiet{t: t, src: etcdtest.StartBubble(t), dst: etcdtest.StartBubble(t)}
}

func (q *quiet) workload() *Workload {
	w, err := New(Config{Log: zap.NewNop(), Connect: func(_ context.Context, e Etcd) (*clientv3.Client, error) {
		if e.Setting == "dest" {
			return q.dst.Process().Client(), nil
		}
		c := q.src.Process().Client()
		c.KV = askedKV{c.KV, &q.asked}
		return c, nil
	}})
	if err != nil {
		q.t.Fatal(err)
	}
	return w
}

func (q *quiet) open(w *Workload, r span.Range, from dispatcher.Position, set ...string) (dispatcher.Instance, *reports) {
	q.t.Helper()
	q.token++
	rep := &reports{}
	task := dispatcher.Task{
		Cluster: "c", Keyspace: "ks", Span: span.ID(fmt.Sprintf("1-%d.0", q.token)), Range: r, Token: q.token, From: from,
		Settings: map[string]string{"source": "src:1", "dest": "dst:1"},
	}
	for i := 0; i < len(set); i += 2 {
		task.Settings[set[i]] = set[i+1]
	}
	in, err := w.Open(q.t.Context(), task, rep)
	if err != nil {
		q.t.Fatal(err)
	}
	return in, rep
}

// fill puts keys with these numbers.
func (q *quiet) fill(first, last int) {
	q.t.Helper()
	for i := first; i < last; i += 100 {
		var ops []clientv3.Op
		for j := i; j < min(i+100, last); j++ {
			ops = append(ops, clientv3.OpPut(key(j), "v"))
		}
		if _, err := q.src.Client().Txn(q.t.Context()).Then(ops...).Commit(); err != nil {
			q.t.Fatal(err)
		}
	}
}

func key(i int) string { return fmt.Sprintf("key/%05d", i) }

func sizeOf(r *reports) float64 {
	s, _ := r.get()
	if s.Size == nil {
		return -1
	}
	return *s.Size
}

// A span that was copied, and one that goes on without a copy, know how many keys they have; they follow what changes,
// and once nothing does they ask nothing any more.
func TestSizeIsKnownAndCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t)
		q.fill(0, 1000)
		put(t, q.src.Client(), ownPrefix+"c/ks/none", "not mirrored")
		in, r := q.open(q.workload(), all, unknown)
		time.Sleep(3 * time.Second)
		if got := sizeOf(r); got != 1000 {
			t.Errorf("after the copy: %v", got)
		}
		q.fill(1000, 1040)
		time.Sleep(3 * time.Second)
		if got := sizeOf(r); got != 1000 {
			t.Errorf("a change of 4 %% was told: %v", got)
		}
		time.Sleep(90 * time.Second)
		if got := sizeOf(r); got != 1040 {
			t.Errorf("a minute later: %v", got)
		}
		del(t, q.src.Client(), key(1), clientv3.WithRange(key(541)))
		q.fill(600, 700) // which are there
		time.Sleep(3 * time.Second)
		if got := sizeOf(r); got != 500 {
			t.Errorf("half was deleted: %v", got)
		}
		at := closed(t, in)
		in, r = q.open(q.workload(), all, at)
		defer in.Abort()
		time.Sleep(3 * time.Second)
		if got := sizeOf(r); got != 500 || r.copied > 0 {
			t.Errorf("opened again: %v, %d copied", got, r.copied)
		}
		time.Sleep(5 * time.Minute)
		counts, looks := q.asked.questions()
		time.Sleep(6 * time.Hour)
		if c, l := q.asked.questions(); c != counts || l != looks {
			t.Errorf("an idle span asks: %d and %d times, before %d and %d", c, l, counts, looks)
		}
		if got := sizeOf(r); got != 500 {
			t.Errorf("much later: %v", got)
		}
	})
}

// Only keys that are mirrored count.
func TestSizeOfAPrefix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t)
		q.fill(0, 10)
		put(t, q.src.Client(), "other", "v")
		in, r := q.open(q.workload(), all, unknown, "source-prefix", "key/")
		defer in.Abort()
		q.fill(10, 12)
		put(t, q.src.Client(), "others", "v")
		time.Sleep(3 * time.Second)
		if got := sizeOf(r); got != 12 {
			t.Errorf("got %v", got)
		}
	})
}

// Counts that fail change nothing but that the size is not known, or old, and are tried again after a minute: also where
// something is missed all the time.
func TestCountsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t)
		q.fill(0, 100)
		in, r := q.open(q.workload(), all, unknown)
		time.Sleep(3 * time.Second)
		q.asked.fail.Store(true)
		first, _ := q.asked.questions()
		for i := range 20 {
			in.(*instance).missed() // as after a lost answer
			in.(*instance).following(nil)
			q.fill(100+10*i, 110+10*i)
			time.Sleep(15 * time.Second)
		}
		q.asked.mu.Lock()
		times := q.asked.times[first:]
		q.asked.mu.Unlock()
		for i := range times {
			if i > 0 && times[i].Sub(times[i-1]) < censusEvery {
				t.Errorf("counted again after %v", times[i].Sub(times[i-1]))
			}
		}
		if len(times) < 3 {
			t.Errorf("tried %d times", len(times))
		}
		if got := sizeOf(r); got < 280 || got > 300 {
			t.Errorf("what is known was not kept, or followed: %v", got)
		}
		if s, failed := r.get(); s.Error != "" || failed != nil {
			t.Errorf("a count that failed is no trouble of the span: %q, %v", s.Error, failed)
		}
		at := closed(t, in)
		in, r = q.open(q.workload(), all, at)
		defer in.Abort()
		time.Sleep(3 * time.Second)
		if got := sizeOf(r); got != -1 {
			t.Errorf("the size is %v, and nobody was told", got)
		}
		q.asked.fail.Store(false)
		time.Sleep(90 * time.Second)
		if got := sizeOf(r); got != 300 {
			t.Errorf("got %v", got)
		}
	})
}

// A process that opens many spans asks for one of them at a time.
func TestOneQuestionAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t)
		const spans, each = 20, 100
		q.fill(0, spans*each)
		w := q.workload()
		ranges := make([]span.Range, spans)
		for i := range ranges {
			ranges[i] = span.Range{Start: key(i * each), End: key((i + 1) * each)}
		}
		for _, r := range ranges { // copied once
			in, rep := q.open(w, r, unknown)
			time.Sleep(time.Second)
			s, _ := rep.get()
			if !s.Checkpoint.Known {
				t.Fatal("not copied")
			}
			closed(t, in)
		}
		q.asked.mu.Lock()
		q.asked.most, q.asked.slow = 0, 50*time.Millisecond
		q.asked.mu.Unlock()
		var reps []*reports
		for _, r := range ranges {
			in, rep := q.open(w, r, dispatcher.At(1))
			defer in.Abort()
			reps = append(reps, rep)
		}
		time.Sleep(3 * time.Minute)
		for i, rep := range reps {
			s, _ := rep.get()
			if sizeOf(rep) != each || len(s.SplitKeys) != splitKeys {
				t.Errorf("span %d: %v, %q", i, sizeOf(rep), s.SplitKeys)
			}
		}
		if q.asked.most != 1 {
			t.Errorf("%d questions at a time", q.asked.most)
		}
	})
}

// A span proposes keys to split at whether it was copied, or goes on without, or is written to: by size, or where the load
// is. Those of the copy cost no question.
func TestSplitKeysAreAlwaysKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t)
		q.fill(0, 2000)
		in, r := q.open(q.workload(), all, unknown)
		time.Sleep(5 * time.Second)
		cutsIn(t, r, 0, 2000)
		if _, looks := q.asked.questions(); looks != 0 {
			t.Errorf("%d questions after a copy", looks)
		}
		at := closed(t, in)

		in, r = q.open(q.workload(), all, at)
		time.Sleep(30 * time.Second)
		cutsIn(t, r, 0, 2000)
		_, looks := q.asked.questions()
		if looks == 0 || looks > maxProbes {
			t.Errorf("%d questions without a copy", looks)
		}

		// Writes to a part of it: keys are proposed there, and when they stop those for the size again.
		for range 20 {
			for i := 1500; i < 1600; i += 2 {
				put(t, q.src.Client(), key(i), "w")
			}
			time.Sleep(time.Second)
		}
		cutsIn(t, r, 1500, 1600)
		time.Sleep(10 * time.Minute)
		cutsIn(t, r, 0, 2000)

		// Keys that are good for half as many are not asked for again; for twice as many they are.
		_, before := q.asked.questions()
		q.fill(2000, 2500)
		time.Sleep(10 * time.Minute)
		if _, now := q.asked.questions(); now != before {
			t.Errorf("asked %d times for a quarter more", now-before)
		}
		q.fill(2500, 5000)
		time.Sleep(20 * time.Minute)
		cutsIn(t, r, 0, 5000)
		in.Abort()
	})
}

// cutsIn wants seven keys, each not far from where even shares would have it.
func cutsIn(t *testing.T, r *reports, first, last int) {
	t.Helper()
	s, _ := r.get()
	for i, k := range s.SplitKeys {
		want, off := first+(i+1)*(last-first)/(splitKeys+1), (last-first)*3/20
		if k < key(want-off) || k > key(want+off) {
			t.Errorf("%q: the one at %d is to be about %s", s.SplitKeys, i, key(want))
		}
	}
	if len(s.SplitKeys) != splitKeys || !slices.IsSorted(s.SplitKeys) {
		t.Errorf("%q", s.SplitKeys)
	}
}

// The load is what changes a second, of keys or of bytes. It is told as long as it moves, and not when it stands still
// or is over.
func TestLoad(t *testing.T) {
	for _, c := range []struct {
		measure string
		want    float64
	}{{"writes", 10}, {"bytes", 10 * (9 + 91)}} {
		t.Run(c.measure, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQuiet(t)
				in, r := q.open(q.workload(), all, unknown, "load", c.measure)
				defer in.Abort()
				time.Sleep(time.Second)
				loads := map[float64]bool{}
				load := func() float64 { s, _ := r.get(); loads[*s.Load] = true; return *s.Load }
				for i := range 1200 {
					put(t, q.src.Client(), key(i%100), strings.Repeat("v", 91))
					time.Sleep(100 * time.Millisecond)
					load()
				}
				if got := load(); got < 0.93*c.want || got > 1.07*c.want {
					t.Errorf("load %v, want about %v", got, c.want)
				}
				clear(loads)
				for i := range 600 {
					put(t, q.src.Client(), key(i%100), strings.Repeat("v", 91))
					time.Sleep(100 * time.Millisecond)
					load()
				}
				if len(loads) > 2 {
					t.Errorf("a steady load was told as %v", loads)
				}
				time.Sleep(5 * time.Minute)
				if got := load(); got != 0 {
					t.Errorf("load %v, long after the last change", got)
				}
			})
		})
	}
}
