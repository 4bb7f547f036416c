package mirror

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/span"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// eventually waits until ok, with a bound.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

// reports is a Reporter that remembers.
type reports struct {
	mu     sync.Mutex
	last   dispatcher.Status
	copied int64
	failed error
	errors []string
}

func (r *reports) Report(s dispatcher.Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.Copied != nil {
		r.copied = *s.Copied
	}
	if s.Error != "" {
		r.errors = append(r.errors, s.Error)
	}
	r.last = s
}

func (r *reports) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = err
}

func (r *reports) get() (dispatcher.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last, r.failed
}

func (r *reports) at(rev int64) func() bool {
	return func() bool {
		s, _ := r.get()
		return s.Checkpoint.Known && s.Checkpoint.At >= uint64(rev)
	}
}

// pair is a source and a destination, and the settings of a keyspace between them.
type pair struct {
	t        testing.TB
	src, dst *etcdtest.Server
	s, d     *clientv3.Client
	set      map[string]string
	w        *Workload
	tokens   uint64
}

func newPair(t testing.TB, set ...string) *pair {
	p := &pair{t: t, src: etcdtest.Start(t), dst: etcdtest.Start(t)}
	p.s, p.d = p.src.Client(t), p.dst.Client(t)
	p.set = map[string]string{"source": strings.Join(p.src.Endpoints(), ","), "dest": strings.Join(p.dst.Endpoints(), ",")}
	for i := 0; i < len(set); i += 2 {
		p.set[set[i]] = set[i+1]
	}
	p.w = newWorkload(t)
	return p
}

func newWorkload(t testing.TB) *Workload {
	w, err := New(Config{Log: zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// task is a span with a new, greatest token.
func (p *pair) task(r span.Range, from dispatcher.Position) dispatcher.Task {
	p.tokens++
	return dispatcher.Task{
		Cluster: "default", Keyspace: "ks", Span: span.ID(fmt.Sprintf("1-%d.0", p.tokens)), Range: r, Node: "n1",
		Token: p.tokens, From: from, Settings: p.set,
	}
}

func (p *pair) open(task dispatcher.Task) (dispatcher.Instance, *reports) {
	p.t.Helper()
	r := &reports{}
	in, err := p.w.Open(p.t.Context(), task, r)
	if err != nil {
		p.t.Fatalf("open: %v", err)
	}
	p.t.Cleanup(in.Abort)
	return in, r
}

func (p *pair) start(r span.Range, from dispatcher.Position) (dispatcher.Instance, *reports) {
	p.t.Helper()
	return p.open(p.task(r, from))
}

func (p *pair) put(key, value string, opts ...clientv3.OpOption) int64 {
	p.t.Helper()
	return put(p.t, p.s, key, value, opts...)
}

func put(t testing.TB, c clientv3.KV, key, value string, opts ...clientv3.OpOption) int64 {
	t.Helper()
	r, err := c.Put(t.Context(), key, value, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

func del(t testing.TB, c clientv3.KV, key string, opts ...clientv3.OpOption) int64 {
	t.Helper()
	r, err := c.Delete(t.Context(), key, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

// data is everything that is not a mirror's own.
func data(t testing.TB, c clientv3.KV) map[string]string {
	t.Helper()
	r, err := c.Get(t.Context(), "\x00", clientv3.WithFromKey())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, kv := range r.Kvs {
		if !strings.HasPrefix(string(kv.Key), ownPrefix) {
			out[string(kv.Key)] = string(kv.Value)
		}
	}
	return out
}

func sameData(t testing.TB, want, have map[string]string) {
	t.Helper()
	if d := cmp.Diff(want, have); d != "" {
		t.Fatalf("destination differs (-source +destination):\n%s", d)
	}
}

func (p *pair) head() int64 {
	p.t.Helper()
	r, err := p.s.Get(p.t.Context(), "x")
	if err != nil {
		p.t.Fatal(err)
	}
	return r.Header.Revision
}

// caughtUp waits until an instance has reached what the source has now.
func (p *pair) caughtUp(r *reports) {
	p.t.Helper()
	eventually(p.t, "caught up", r.at(p.head()))
}

func closed(t testing.TB, in dispatcher.Instance) dispatcher.Position {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	at, err := in.Close(ctx)
	if err != nil {
		t.Fatalf("close: %v", err)
	}
	return at
}

var all = span.Range{}

var unknown dispatcher.Position
