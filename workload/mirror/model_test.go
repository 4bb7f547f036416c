package mirror

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/span"
)

// The model: a source that never stops changing, spans whose borders change from round to round, owners that are
// closed, aborted or forgotten while they still run, and a destination whose answers are lost, whose requests fail, and
// whose requests are carried out long after the caller gave up. Since the mirror begins before the first change, the
// destination's history of every key must be the source's, value by value.
func TestHistoryIsExactWhateverIsLost(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newWorld(t, seed).run() })
		})
	}
}

type world struct {
	t        *testing.T
	rnd      *rand.Rand
	src, dst *etcdtest.Bubble
	flaky    *flaky
	token    uint64
	zombies  []dispatcher.Instance
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{
		t: t, rnd: rand.New(rand.NewPCG(seed, 1)), src: etcdtest.StartBubble(t), dst: etcdtest.StartBubble(t),
		flaky: &flaky{rnd: rand.New(rand.NewPCG(seed, 2))},
	}
}

// letters are the first bytes of keys. Borders are only between letters, and transactions change keys of any.
const letters = "abcdef"

func (w *world) run() {
	owned, reports := w.openAll(w.workload(), []span.Range{{}}, nil)
	ranges := []span.Range{{}}
	for range 5 {
		w.flaky.set(0.25)
		w.change(15 + w.rnd.IntN(20))
		time.Sleep(time.Duration(w.rnd.IntN(4000)) * time.Millisecond)
		from := w.end(owned, reports, ranges)
		ranges = w.cut()
		owned, reports = w.openAll(w.workload(), ranges, from)
		w.change(w.rnd.IntN(20))
	}
	w.flaky.set(0)
	head := w.head()
	for _, r := range reports {
		eventually(w.t, fmt.Sprint("caught up with ", head), r.at(head))
	}
	time.Sleep(2 * time.Minute) // for what comes late
	for _, in := range append(owned, w.zombies...) {
		in.Abort()
	}
	w.flaky.wait()
	w.check()
}

// workload is one more process.
func (w *world) workload() *Workload {
	wl, err := New(Config{Log: zap.NewNop(), Connect: func(_ context.Context, e Etcd) (*clientv3.Client, error) {
		if e.Setting == "source" {
			return w.src.Process().Client(), nil
		}
		c := w.dst.Process().Client()
		c.KV = flakyKV{KV: c.KV, flaky: w.flaky}
		return c, nil
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return wl
}

// openAll opens spans, again and with a new token until it works.
func (w *world) openAll(wl *Workload, ranges []span.Range, from func(span.Range) dispatcher.Position) ([]dispatcher.Instance, []*reports) {
	var out []dispatcher.Instance
	var reps []*reports
	for _, r := range ranges {
		rep := &reports{}
		for {
			w.token++
			task := dispatcher.Task{
				Cluster: "c", Keyspace: "ks", Span: "1-1.0", Range: r, Token: w.token,
				Settings: map[string]string{"source": "src:1", "dest": "dst:1"},
			}
			if from != nil {
				task.From = from(r)
			}
			in, err := wl.Open(w.t.Context(), task, rep)
			if err == nil {
				out = append(out, in)
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		reps = append(reps, rep)
	}
	if from == nil {
		// The first copy ends before the first change, so that there is a history to compare.
		for _, r := range reps {
			eventually(w.t, "copied", r.at(1))
		}
	}
	return out, reps
}

// end closes, aborts or forgets every owner, and tells the position that a range starts from next.
func (w *world) end(owned []dispatcher.Instance, reports []*reports, ranges []span.Range) func(span.Range) dispatcher.Position {
	at := make([]dispatcher.Position, len(owned))
	for i, in := range owned {
		s, _ := reports[i].get()
		at[i] = s.Checkpoint
		switch w.rnd.IntN(3) {
		case 0:
			ctx, cancel := context.WithTimeout(w.t.Context(), time.Duration(w.rnd.IntN(3000))*time.Millisecond)
			if p, err := in.Close(ctx); err == nil {
				at[i] = p
			} else {
				w.zombies = append(w.zombies, in)
			}
			cancel()
		case 1:
			in.Abort()
		default:
			w.zombies = append(w.zombies, in)
		}
	}
	return func(r span.Range) dispatcher.Position {
		lowest := dispatcher.Position{Known: true, At: 1 << 62}
		for i := range ranges {
			if ranges[i].Overlaps(r) {
				lowest = lowest.Min(at[i])
			}
		}
		return lowest
	}
}

// cut chooses borders.
func (w *world) cut() []span.Range {
	start := ""
	var out []span.Range
	for _, c := range letters[1:] {
		if w.rnd.IntN(3) == 0 {
			out = append(out, span.Range{Start: start, End: string(c)})
			start = string(c)
		}
	}
	return append(out, span.Range{Start: start})
}

// change makes so many source transactions. The value of a put is unique, and names the transaction.
func (w *world) change(n int) {
	for range n {
		var ops []clientv3.Op
		used := map[string]bool{}
		id := w.rnd.Uint64()
		for range 1 + w.rnd.IntN(4) {
			key := fmt.Sprintf("%c%d", letters[w.rnd.IntN(len(letters))], w.rnd.IntN(3))
			if used[key] {
				continue
			}
			used[key] = true
			if w.rnd.IntN(4) == 0 {
				ops = append(ops, clientv3.OpDelete(key))
			} else {
				ops = append(ops, clientv3.OpPut(key, fmt.Sprintf("%x", id)))
			}
		}
		if _, err := w.src.Client().Txn(w.t.Context()).Then(ops...).Commit(); err != nil {
			w.t.Fatal(err)
		}
		if w.rnd.IntN(3) == 0 {
			time.Sleep(time.Duration(w.rnd.IntN(300)) * time.Millisecond)
		}
	}
}

func (w *world) head() int64 {
	r, err := w.src.Client().Get(w.t.Context(), "x")
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Header.Revision
}

// check compares the whole histories of both sides.
func (w *world) check() {
	want, _ := events(w.t, w.src.Client(), w.head())
	d, err := w.dst.Client().Get(w.t.Context(), "x")
	if err != nil {
		w.t.Fatal(err)
	}
	have, landed := events(w.t, w.dst.Client(), d.Header.Revision)
	for key, values := range want {
		if !slices.Equal(values, have[key]) {
			w.t.Errorf("history of %s:\nsource      %v\ndestination %v", key, values, have[key])
		}
		delete(have, key)
	}
	for key, values := range have {
		w.t.Errorf("%s is not at the source; destination had %v", key, values)
	}
	// What one transaction wrote below one letter never was in two spans.
	for id, revs := range landed {
		if len(revs) > 1 {
			w.t.Errorf("transaction %s landed at revisions %v", id, revs)
		}
	}
}

// events gives the values of every key in order, "-" for a delete, and the revisions at which each written value came
// into each letter.
func events(t *testing.T, c *clientv3.Client, head int64) (map[string][]string, map[string][]int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, landed := map[string][]string{}, map[string][]int64{}
	seen := int64(0)
	for r := range c.Watch(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(1)) {
		for _, e := range r.Events {
			seen = e.Kv.ModRevision
			key := string(e.Kv.Key)
			if strings.HasPrefix(key, ownPrefix) {
				continue
			}
			value := "-"
			if e.Type == clientv3.EventTypePut {
				value = string(e.Kv.Value)
				id := key[:1] + value
				if !slices.Contains(landed[id], seen) {
					landed[id] = append(landed[id], seen)
				}
			}
			out[key] = append(out[key], value)
		}
		if seen >= head {
			break
		}
	}
	return out, landed
}

// flaky decides about transactions.
type flaky struct {
	mu   sync.Mutex
	rnd  *rand.Rand
	rate float64
	late sync.WaitGroup
}

func (f *flaky) set(rate float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rate = rate
}

func (f *flaky) wait() { f.late.Wait() }

// fate is 0 for a transaction that goes well.
func (f *flaky) fate() (int, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rnd.Float64() >= f.rate {
		return 0, 0
	}
	return 1 + f.rnd.IntN(3), time.Duration(f.rnd.IntN(5000)) * time.Millisecond
}

type flakyKV struct {
	clientv3.KV
	*flaky
}

func (k flakyKV) Txn(ctx context.Context) clientv3.Txn {
	// The context of the caller ends with its patience; a request that is under way does not.
	return flakyTxn{ctx: ctx, txn: k.KV.Txn(context.WithoutCancel(ctx)), flaky: k.flaky}
}

type flakyTxn struct {
	ctx context.Context //nolint:containedctx // clientv3 begins a transaction with a context and commits it without
	txn clientv3.Txn
	*flaky
}

func (t flakyTxn) If(c ...clientv3.Cmp) clientv3.Txn  { t.txn = t.txn.If(c...); return t }
func (t flakyTxn) Then(o ...clientv3.Op) clientv3.Txn { t.txn = t.txn.Then(o...); return t }
func (t flakyTxn) Else(o ...clientv3.Op) clientv3.Txn { t.txn = t.txn.Else(o...); return t }

var errNoAnswer = errors.New("the answer was lost")

func (t flakyTxn) Commit() (*clientv3.TxnResponse, error) {
	fate, delay := t.fate()
	switch fate {
	case 1: // done, but the answer is lost
		_, _ = t.txn.Commit()
		return nil, errNoAnswer
	case 2: // not done
		return nil, errNoAnswer
	case 3: // done later
		t.late.Go(func() {
			time.Sleep(delay)
			_, _ = t.txn.Commit()
		})
		return nil, errNoAnswer
	}
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	return t.txn.Commit()
}
