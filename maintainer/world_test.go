package maintainer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/failpoint"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/leases"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an etcd, maintainers and fake dispatchers in one bubble.
type world struct {
	t      *testing.T
	etcd   *etcdtest.Bubble
	net    *memNet
	layout keys.Layout
	clock  leases.Clock
	log    *zap.Logger
	wg     sync.WaitGroup
	procs  []*proc
	nodes  []*node
}

// proc is one maintainer.
type proc struct {
	*Maintainer
	w    *world
	name string
	etcd *etcdtest.Process
	stop context.CancelFunc
	done chan struct{}
	dead bool

	mu     sync.Mutex
	points func(name string) error
}

// at sets what happens at the process's failpoints.
func (p *proc) at(f func(name string) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.points = f
}

func (p *proc) hitting(name string) error {
	p.mu.Lock()
	f := p.points
	p.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(name)
}

// inWorld runs a test in a bubble of its own.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		layout, err := keys.New("test")
		if err != nil {
			t.Fatal(err)
		}
		w := &world{
			t: t, etcd: etcdtest.StartBubble(t), net: newMemNet(), layout: layout, clock: leases.Virtual(),
			log: zap.NewNop(),
		}
		if testing.Verbose() {
			w.log = zaptest.NewLogger(t)
		}
		defer w.end()
		w.pauseBalance()
		test(w)
	})
}

// pauseBalance has balance leave everything where it is, but where a test is about it.
func (w *world) pauseBalance() {
	w.put(w.layout.Config(), record.EncodeConfig(record.Config{Settings: map[string]string{
		settings.PlannerSetting(settings.PlannerBalance): settings.PlannerPaused,
	}}))
}

func (w *world) end() {
	for _, n := range w.nodes {
		n.kill()
	}
	for _, p := range w.procs {
		p.stop()
	}
	w.wg.Wait()
}

// maintainer starts one; change may adjust its configuration.
func (w *world) maintainer(name string, change ...func(*Config)) *proc {
	w.t.Helper()
	p := &proc{w: w, name: name, etcd: w.etcd.Process(), done: make(chan struct{})}
	cfg := Config{
		Layout: w.layout, Name: name, Advertise: name, Listener: w.net.listen(name), Dial: w.net.dial,
		Client: p.etcd.Client(), Clock: w.clock, Logger: w.log.Named(name), Version: "test",
		Failpoints: failpoint.NewHook(func(_ context.Context, name string) error { return p.hitting(name) }),
	}
	for _, c := range change {
		c(&cfg)
	}
	m, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	p.Maintainer = m
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	w.procs = append(w.procs, p)
	w.wg.Go(func() {
		defer close(p.done)
		if err := m.Run(ctx); err != nil && !p.dead {
			w.t.Errorf("%s: %v", name, err)
		}
	})
	return p
}

var errKilled = errors.New("killed")

// kill is kill -9: the process does nothing any more, and its host refuses connections.
func (p *proc) kill(silent bool) {
	p.dead = true
	p.etcd.Kill()
	p.w.net.cut(p.name, silent)
	select {
	case p.killed <- errKilled:
	default:
	}
	p.stop()
}

// quit is SIGTERM.
func (p *proc) quit() {
	p.stop()
	<-p.done
	p.w.net.cut(p.name, false)
}

// eventually waits in virtual time for a condition, which says what it sees as long as it does not hold.
func (w *world) eventually(what string, within time.Duration, cond func() string) time.Duration {
	w.t.Helper()
	start := time.Now()
	for {
		sees := cond()
		if sees == "" {
			return time.Since(start)
		}
		if time.Since(start) > within {
			w.t.Fatalf("not within %v: %s; %s", within, what, sees)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (w *world) leads(p *proc, within time.Duration) time.Duration {
	w.t.Helper()
	return w.eventually(p.name+" leads", within, func() string {
		if p.current() == nil {
			return "it does not"
		}
		return ""
	})
}

func (w *world) get(key string) *clientv3.GetResponse {
	w.t.Helper()
	r, err := w.etcd.Client().Get(context.Background(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) put(key string, value []byte) int64 {
	w.t.Helper()
	r, err := w.etcd.Client().Put(context.Background(), key, string(value))
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Header.Revision
}

// keyspace makes a running keyspace of n spans without owners.
func (w *world) keyspace(name string, n int) []operator.Ref {
	w.t.Helper()
	var refs []operator.Ref
	for i := range n {
		r := operator.Ref{Keyspace: name, ID: span.ID(fmt.Sprintf("1-1.%d", i))}
		refs = append(refs, r)
		w.putSpan(r, record.Span{Range: span.Range{Start: fmt.Sprintf("%06d", i), End: fmt.Sprintf("%06d", i+1)}})
	}
	w.put(w.layout.Keyspace(name), record.EncodeKeyspace(record.Keyspace{
		Workload: "gate", State: record.KeyspaceRunning, CreatedBy: "1-1", Settings: map[string]string{"a": "b"},
	}))
	return refs
}

func (w *world) putSpan(r operator.Ref, s record.Span) int64 {
	w.t.Helper()
	return w.put(w.layout.Span(r.Keyspace, r.ID), record.EncodeSpan(s))
}

func (w *world) span(r operator.Ref) operator.Span {
	w.t.Helper()
	resp := w.get(w.layout.Span(r.Keyspace, r.ID))
	if len(resp.Kvs) == 0 {
		return operator.Span{Ref: r}
	}
	s, err := record.DecodeSpan(resp.Kvs[0].Value)
	if err != nil {
		w.t.Fatal(err)
	}
	return operator.Span{Ref: r, Span: s, Mod: resp.Kvs[0].ModRevision}
}

// owners counts the spans of a keyspace by node; "" counts those that nobody owns.
func (w *world) owners(keyspace string) map[string]int {
	w.t.Helper()
	r, err := w.etcd.Client().Get(context.Background(), w.layout.Spans(keyspace), clientv3.WithPrefix())
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]int{}
	for _, kv := range r.Kvs {
		s, err := record.DecodeSpan(kv.Value)
		if err != nil {
			continue
		}
		out[s.Owner.Node]++
	}
	return out
}

// owned waits until every span of the keyspace is owned by a session that is there.
func (w *world) owned(keyspace string, n int, within time.Duration) time.Duration {
	w.t.Helper()
	return w.eventually("all spans owned", within, func() string {
		alive := map[string]bool{}
		for _, d := range w.nodes {
			if !d.dead {
				alive[d.name] = true
			}
		}
		got := 0
		for name, c := range w.owners(keyspace) {
			if alive[name] {
				got += c
			}
		}
		if got != n {
			return fmt.Sprint(w.owners(keyspace))
		}
		return ""
	})
}
