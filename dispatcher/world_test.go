package dispatcher_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/leases"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an etcd in a bubble and a leader that does exactly what a test says.
type world struct {
	t      *testing.T
	etcd   *etcdtest.Bubble
	layout keys.Layout
	leader *leader
	term   int64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	layout, err := keys.New("c")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, etcd: etcdtest.StartBubble(t), layout: layout, leader: newLeader(t)}
	w.lead()
	return w
}

// lead begins a new term of the same leader.
func (w *world) lead() {
	w.t.Helper()
	r := record.Leader{Maintainer: "m", Instance: "i", Address: "passthrough:///leader"}
	w.term = w.put(w.layout.Leader(), record.EncodeLeader(r))
	w.leader.setTerm(w.term)
}

func (w *world) put(key string, value []byte) int64 {
	w.t.Helper()
	r, err := w.etcd.Client().Put(w.t.Context(), key, string(value))
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Header.Revision
}

// span puts a record that nobody owns.
func (w *world) span(id span.ID) operator.Span {
	w.t.Helper()
	s := operator.Span{
		Ref:  operator.Ref{Keyspace: "ks", ID: id},
		Span: record.Span{Range: span.Range{Start: string(id), End: string(id) + "~"}, CreatedAt: time.Now()},
	}
	s.Mod = w.put(w.layout.Span("ks", id), record.EncodeSpan(s.Span))
	return s
}

// accept puts an operator into a span's record, as the leader does.
func (w *world) accept(id span.ID, kind record.Kind, to string) operator.Span {
	w.t.Helper()
	s := w.record(id)
	s.Intent = &record.Intent{Operator: "9-" + string(id), Kind: kind, By: record.ByUser, To: to}
	s.Mod = w.put(w.layout.Span("ks", id), record.EncodeSpan(s.Span))
	return s
}

// tile puts adjacent records that nobody owns, the last one up to the end of all keys.
func (w *world) tile(ids ...span.ID) {
	w.t.Helper()
	for n, id := range ids {
		r := span.Range{Start: string(id)}
		if n+1 < len(ids) {
			r.End = string(ids[n+1])
		}
		w.put(w.layout.Span("ks", id), record.EncodeSpan(record.Span{Range: r, CreatedAt: time.Now()}))
	}
}

// acceptAll puts one operator into the records of all its spans in one transaction, as the leader does.
func (w *world) acceptAll(i record.Intent, ids ...span.ID) []operator.Span {
	w.t.Helper()
	var spans []operator.Span
	var puts []clientv3.Op
	for _, id := range ids {
		s := w.record(id)
		s.Intent = &i
		puts = append(puts, clientv3.OpPut(w.layout.Span("ks", id), string(record.EncodeSpan(s.Span))))
	}
	if _, err := w.etcd.Client().Txn(w.t.Context()).Then(puts...).Commit(); err != nil {
		w.t.Fatal(err)
	}
	for _, id := range ids {
		spans = append(spans, w.record(id))
	}
	return spans
}

func (w *world) get(key string) *clientv3.GetResponse {
	w.t.Helper()
	r, err := w.etcd.Client().Get(w.t.Context(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) getAll(prefix string) []*mvccpb.KeyValue {
	w.t.Helper()
	r, err := w.etcd.Client().Get(w.t.Context(), prefix, clientv3.WithPrefix())
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Kvs
}

// record reads a span; one that is not there has the revision 0.
func (w *world) record(id span.ID) operator.Span {
	w.t.Helper()
	s := operator.Span{Ref: operator.Ref{Keyspace: "ks", ID: id}}
	for _, kv := range w.get(w.layout.Span("ks", id)).Kvs {
		v, err := record.DecodeSpan(kv.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		s.Span, s.Mod = v, kv.ModRevision
	}
	return s
}

// claim reads who acts on a span; nil if nobody does.
func (w *world) claim(id span.ID) *operator.Claim {
	w.t.Helper()
	kvs := w.get(w.layout.Operator("ks", id)).Kvs
	if len(kvs) == 0 {
		return nil
	}
	c, err := record.DecodeClaim(kvs[0].Value)
	if err != nil {
		w.t.Fatal(err)
	}
	return &operator.Claim{Claim: c, Mod: kvs[0].ModRevision}
}

// history reads a finished operator.
func (w *world) history(op string) (h record.History, ok bool) {
	w.t.Helper()
	kvs := w.get(w.layout.History("ks", op)).Kvs
	if len(kvs) == 0 {
		return h, false
	}
	h, err := record.DecodeHistory(kvs[0].Value)
	if err != nil {
		w.t.Fatal(err)
	}
	return h, true
}

// session is the create revision of a node's key, 0 if there is none.
func (w *world) session(node string) int64 {
	for _, kv := range w.get(w.layout.Node(node)).Kvs {
		return kv.CreateRevision
	}
	return 0
}

// eventually waits, in virtual time, until a condition holds, and then until everybody has taken note of what made it hold:
// what etcd shows to a test its writer may not have heard of yet.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for range 6000 {
		if ok() {
			synctest.Wait()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("after a minute still not: %s", what)
}

// open asks a node to open a span as recorded, and waits until it owns it.
func (w *world) open(node string, id span.ID) operator.Span {
	w.t.Helper()
	w.leader.ask(node, sessionv1.Ask_ACTION_OPEN, w.record(id))
	w.eventually(node+" owns "+string(id), func() bool { return w.record(id).Owner.Node == node })
	return w.record(id)
}

// process is a dispatcher with an etcd client of its own.
type process struct {
	*dispatcher.Dispatcher
	etcd *etcdtest.Process
	sink *sink
	logs *observer.ObservedLogs
	stop context.CancelFunc
	done chan struct{}
	err  error
}

// start runs a dispatcher called name; change may alter its configuration.
func (w *world) start(name string, change ...func(*dispatcher.Config)) *process {
	w.t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	p := &process{etcd: w.etcd.Process(), sink: newSink(), logs: logs, done: make(chan struct{})}
	cfg := dispatcher.Config{
		Cluster: w.layout, Name: name, Client: p.etcd.Client(), TTL: 5 * time.Second, Dial: w.leader.dial,
		Clock: leases.Virtual(), Logger: zap.New(core), Observer: p.sink,
	}
	for _, f := range change {
		f(&cfg)
	}
	d, err := dispatcher.New(cfg, map[string]dispatcher.Workload{"test": p.sink})
	if err != nil {
		w.t.Fatal(err)
	}
	p.Dispatcher = d
	ctx, cancel := context.WithCancel(w.t.Context())
	p.stop = cancel
	go func() {
		defer close(p.done)
		p.err = d.Run(ctx)
	}()
	w.t.Cleanup(func() {
		cancel()
		p.sink.releaseAll()
		<-p.done
	})
	return p
}

// ready starts a dispatcher and waits until it has registered with the leader.
func (w *world) ready(name string, change ...func(*dispatcher.Config)) *process {
	w.t.Helper()
	p := w.start(name, change...)
	w.eventually(name+" has reported", func() bool { return w.leader.node(name).fulls > 0 })
	return p
}

func (p *process) said(message string) int { return p.logs.FilterMessage(message).Len() }

// leader serves dispatchers' sessions and remembers what they say.
type leader struct {
	sessionv1.UnimplementedSessionServer
	t        testing.TB
	listener *bufconn.Listener

	mu     sync.Mutex
	term   int64
	refuse error
	nodes  map[string]*heard
}

// heard is what one node has said, over all its streams.
type heard struct {
	out     chan *sessionv1.DispatchResponse
	breaks  chan struct{}
	session int64
	fulls   int
	reports []*sessionv1.Report
	spans   map[string]*sessionv1.SpanStatus
	results []*sessionv1.StageResult
}

func newLeader(t testing.TB) *leader {
	l := &leader{t: t, listener: bufconn.Listen(1 << 20), nodes: map[string]*heard{}}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	sessionv1.RegisterSessionServer(server, l)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l.listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return l
}

func (l *leader) dial(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.listener.DialContext(ctx) }))
}

func (l *leader) setTerm(term int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term = term
}

// node is what a node has said so far, as a copy.
func (l *leader) node(name string) heard {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.nodes[name]; h != nil {
		return *h
	}
	return heard{}
}

func (l *leader) Dispatch(s sessionv1.Session_DispatchServer) error {
	first, err := s.Recv()
	if err != nil {
		return err
	}
	out, breaks := make(chan *sessionv1.DispatchResponse, 100), make(chan struct{})
	name := first.GetRegister().GetNode()
	l.mu.Lock()
	if err := l.refuse; err != nil {
		l.mu.Unlock()
		return err
	}
	h := l.nodes[name]
	if h == nil {
		h = &heard{}
		l.nodes[name] = h
	}
	h.out, h.breaks, h.session = out, breaks, first.GetRegister().GetSession()
	l.mu.Unlock()
	in := make(chan error, 1)
	go func() { in <- l.listen(s, h) }()
	for {
		select {
		case m := <-out:
			if err := s.Send(m); err != nil {
				return err
			}
		case <-breaks:
			return nil
		case err := <-in:
			return err
		}
	}
}

func (l *leader) listen(s sessionv1.Session_DispatchServer, h *heard) error {
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		l.mu.Lock()
		h.take(m.GetReport())
		l.mu.Unlock()
	}
}

func (h *heard) take(r *sessionv1.Report) {
	h.reports = append(h.reports, r)
	if r.GetFull() {
		h.fulls++
		h.spans = nil
	}
	spans := map[string]*sessionv1.SpanStatus{}
	for id, s := range h.spans {
		spans[id] = s
	}
	for _, s := range r.GetSpans() {
		spans[s.GetSpan()] = s
	}
	h.spans = spans
	h.results = append(h.results, r.GetResults()...)
}

// ask sends one message with one ask for each span.
func (l *leader) ask(node string, action sessionv1.Ask_Action, spans ...operator.Span) {
	m := &sessionv1.DispatchResponse{}
	for _, s := range spans {
		m.Asks = append(m.Asks, askFor(action, s))
	}
	l.send(node, m)
}

func askFor(action sessionv1.Ask_Action, s operator.Span) *sessionv1.Ask {
	a := &sessionv1.Ask{
		Keyspace: s.Keyspace, Action: action, Workload: "test", By: int32(record.ByPlacement), Settings: map[string]string{"a": "b"},
		Members: []*sessionv1.Ask_Member{{Span: string(s.ID), ModRevision: s.Mod, Record: record.EncodeSpan(s.Span)}},
	}
	if s.Intent != nil {
		a.Operator = s.Intent.Operator
	}
	if s.Checkpoint.Known {
		a.Members[0].Checkpoint = &s.Checkpoint.At
	}
	return a
}

// askTogether is one ask for all spans. A cancel or a supersede names the claims that there are now.
func (w *world) askTogether(action sessionv1.Ask_Action, spans ...operator.Span) *sessionv1.Ask {
	w.t.Helper()
	ask := askFor(action, spans[0])
	for _, s := range spans[1:] {
		ask.Members = append(ask.Members, askFor(action, s).Members...)
	}
	for n, s := range spans {
		if c := w.claim(s.ID); c != nil && action != sessionv1.Ask_ACTION_CLOSE {
			ask.Members[n].Claim = c.Mod
		}
	}
	return ask
}

// sendAsk sends a message with one ask.
func (w *world) sendAsk(node string, ask *sessionv1.Ask) {
	w.leader.send(node, &sessionv1.DispatchResponse{Asks: []*sessionv1.Ask{ask}})
}

// send sends a message under the leader's term, unless the message has one.
func (l *leader) send(node string, m *sessionv1.DispatchResponse) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.nodes[node]
	if h == nil {
		l.t.Fatalf("%s has no stream", node)
	}
	if m.Term == 0 {
		m.Term = l.term
	}
	h.out <- m
}

// cut ends the stream of a node.
func (l *leader) cut(node string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.nodes[node].breaks)
}

// state is the newest that a node has said of a span.
func (l *leader) state(node, id string) sessionv1.SpanStatus_State {
	return l.node(node).spans[id].GetState()
}

// lastResult is the newest answer for a span; nil if there is none.
func (l *leader) lastResult(node, id string) (last *sessionv1.StageResult) {
	for _, r := range l.node(node).results {
		if r.GetSpan() == id {
			last = r
		}
	}
	return last
}
