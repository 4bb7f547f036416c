package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/span"
)

// The model: a source that never stops changing, spans that are split and merged from round to round, owners that are
// closed where they are or at one common position, aborted, also while they close, or forgotten while they still run,
// positions that nobody was told, and a destination whose answers are lost, whose requests fail, and whose requests are
// carried out long after the caller gave up. Since the mirror begins before the first change, the destination's history
// of every key must be the source's, value by value.
func TestHistoryIsExactWhateverIsLost(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, seed)
				w.run()
				w.check()
			})
		})
	}
}

// The same with files: a reader of all of them sees every change of every key once, in the order of the source.
func TestFilesAreExactWhateverIsLost(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, seed)
				w.dir = t.TempDir()
				w.run()
				w.checkFiles()
			})
		})
	}
}

type world struct {
	t        *testing.T
	rnd      *rand.Rand
	src, dst *etcdtest.Bubble
	flaky    *flaky
	dir      string // "" if the destination is an etcd
	token    uint64
	spans    []*owned // of this round
	zombies  []dispatcher.Instance
	last     int // span id
}

// An owned is a span and its owner.
type owned struct {
	task dispatcher.Task
	rep  *reports
	dispatcher.Instance
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
	w.openAll(w.workload(), []span.Range{{}})
	eventually(w.t, "copied", w.spans[0].rep.at(1)) // before the first change, so that there is a history to compare
	for range 5 {
		w.flaky.set(0.25)
		w.change(15 + w.rnd.IntN(20))
		time.Sleep(time.Duration(w.rnd.IntN(4000)) * time.Millisecond)
		w.endAll()
		w.openAll(w.workload(), w.cut())
		w.change(w.rnd.IntN(20))
	}
	w.flaky.set(0)
	head := w.head()
	for _, o := range w.spans {
		eventually(w.t, fmt.Sprint("caught up with ", head), o.rep.at(head))
	}
	time.Sleep(2 * time.Minute) // for what comes late
	w.checkSizes()
	for _, o := range w.spans {
		o.Abort()
	}
	for _, in := range w.zombies {
		in.Abort()
	}
	w.flaky.wait()
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

// openAll replaces the spans by those of the ranges, which open all at once and, at first, with one token, as they do
// after one claim.
func (w *world) openAll(wl *Workload, ranges []span.Range) {
	before := w.spans
	w.spans = make([]*owned, len(ranges))
	w.token++
	w.last++
	for i, r := range ranges {
		w.spans[i] = &owned{rep: &reports{}, task: dispatcher.Task{
			Cluster: "c", Keyspace: "ks", Span: span.ID(fmt.Sprintf("1-%d.%d", w.last, i)), Range: r, Token: w.token,
			Settings: map[string]string{"source": "src:1", "dest": "dst:1"},
		}}
		if w.dir != "" {
			w.spans[i].task.Settings["dest"] = "file:" + w.dir
		}
		w.spans[i].inherit(before)
	}
	var opening sync.WaitGroup
	var tokens sync.Mutex
	for _, o := range w.spans {
		opening.Go(func() {
			for {
				in, err := wl.Open(w.t.Context(), o.task, o.rep)
				if err == nil {
					o.Instance = in
					return
				}
				time.Sleep(10 * time.Millisecond)
				tokens.Lock()
				w.token++
				o.task.Token = w.token
				tokens.Unlock()
			}
		})
	}
	opening.Wait()
}

// inherit takes the position from the spans that were there before: the lowest of those that overlap.
func (o *owned) inherit(before []*owned) {
	o.task.From = dispatcher.Position{Known: len(before) > 0, At: 1 << 62}
	for _, b := range before {
		if b.task.Range.Overlaps(o.task.Range) {
			o.task.From = o.task.From.Min(b.task.From)
			o.task.Parents = append(o.task.Parents, string(b.task.Span))
		}
	}
}

// endAll closes, aborts or forgets every owner, and notes the position that its keys go on from as far as it is known.
func (w *world) endAll() {
	for _, o := range w.spans {
		s, _ := o.rep.get()
		o.task.From = s.Checkpoint
	}
	if w.rnd.IntN(2) == 0 {
		w.closeTogether()
		return
	}
	for _, o := range w.spans {
		switch w.rnd.IntN(4) {
		case 0:
			ctx, cancel := context.WithTimeout(w.t.Context(), time.Duration(w.rnd.IntN(3000))*time.Millisecond)
			if p, err := o.Close(ctx); err == nil {
				o.task.From = p
			} else {
				w.zombies = append(w.zombies, o.Instance)
			}
			cancel()
		case 1:
			o.Abort()
		case 2:
			o.task.From = dispatcher.Position{} // died before it could tell
			o.Abort()
		default:
			w.zombies = append(w.zombies, o.Instance)
		}
	}
}

// closeTogether does what a merge of all spans does: hold all, and close all at the highest position. Sometimes the
// process loses its right to act meanwhile.
func (w *world) closeTogether() {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Duration(2000+w.rnd.IntN(60_000))*time.Millisecond)
	defer cancel()
	var at dispatcher.Position
	for _, o := range w.spans {
		p, err := o.Instance.(dispatcher.CloserAt).Hold(ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		at = at.Max(p)
	}
	w.change(w.rnd.IntN(5))
	abort := w.rnd.IntN(4) == 0
	after := time.Duration(w.rnd.IntN(3000)) * time.Millisecond
	var closing sync.WaitGroup
	for _, o := range w.spans {
		closing.Go(func() {
			if abort {
				time.AfterFunc(after, o.Abort)
			}
			for ctx.Err() == nil {
				try, cancel := context.WithTimeout(ctx, time.Second)
				p, err := o.Instance.(dispatcher.CloserAt).CloseAt(try, at)
				cancel()
				if err == nil {
					o.ended(w.t, p, at)
					return
				}
				if errors.Is(err, errAborted) {
					return
				}
			}
			o.Abort()
		})
	}
	closing.Wait()
	time.Sleep(after) // aborts come after a close, too
}

func (o *owned) ended(t *testing.T, p, at dispatcher.Position) {
	if o.task.From = p; p != at {
		t.Errorf("%s closed at %v, want %v", o.task.Range, p, at)
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

// checkSizes: whatever was lost, every span knows how many keys it has.
func (w *world) checkSizes() {
	for _, o := range w.spans {
		start, end := bounds(o.task.Range)
		r, err := w.src.Client().Get(w.t.Context(), start, clientv3.WithRange(end), clientv3.WithCountOnly())
		if err != nil {
			w.t.Fatal(err)
		}
		if s, _ := o.rep.get(); s.Size == nil || *s.Size != float64(r.Count) {
			w.t.Errorf("%s tells %v, and has %d keys", o.task.Range, s.Size, r.Count)
		}
	}
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

// checkFiles compares what a reader of all files sees with the source.
func (w *world) checkFiles() {
	want, _ := events(w.t, w.src.Client(), w.head())
	files, err := filepath.Glob(filepath.Join(w.dir, "*.jsonl"))
	if err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(files, func(a, b string) int { return cmp.Compare(tokenOf(w.t, a), tokenOf(w.t, b)) })
	have := map[string][]string{}
	for _, name := range files {
		for _, l := range lines(w.t, w.dir, filepath.Base(name)) {
			switch l.Op {
			case opPut:
				have[string(l.Key)] = append(have[string(l.Key)], string(l.Value))
			case opDelete:
				have[string(l.Key)] = append(have[string(l.Key)], "-")
			default:
				w.t.Errorf("%s: nothing was to be copied again, but there is %+v", name, l)
			}
		}
	}
	if d := gocmp.Diff(want, have); d != "" {
		w.t.Errorf("histories (-source +files):\n%s", d)
	}
}

// tokenOf reads the token from a file's name.
func tokenOf(t testing.TB, name string) uint64 {
	t.Helper()
	name = strings.TrimSuffix(name, ".jsonl")
	token, err := strconv.ParseUint(name[strings.LastIndexByte(name, '-')+1:], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// events gives the values of every key in order, "-" for a delete, and the revisions at which each written value came
// into each letter.
func events(t testing.TB, c *clientv3.Client, head int64) (map[string][]string, map[string][]int64) {
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
