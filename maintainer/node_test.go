package maintainer

import (
	"context"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

const nodeTTL = 5 * time.Second

// node is a fake dispatcher: it speaks the session stream and makes the transactions of a real one, but runs nothing.
type node struct {
	w       *world
	name    string
	etcd    *etcdtest.Process
	lease   clientv3.LeaseID
	session int64
	cancel  context.CancelFunc
	dead    bool

	mu sync.Mutex
	// running are the tokens of what runs here.
	running map[operator.Ref]uint64
	// asks counts what came, by action; messages the messages that brought asks; confirms what was to be confirmed.
	asks     map[sessionv1.Ask_Action]int
	openings map[operator.Ref][]*sessionv1.Ask
	times    map[operator.Ref][]time.Time
	messages int
	confirms []*sessionv1.SpanRef
	// answer decides what becomes of an ask; nil carries it out.
	answer func(a *sessionv1.Ask) sessionv1.StageResult_Result
	// mayAct is what the node declares, mute keeps it from registering anew.
	mayAct time.Duration
	mute   bool
	// capacity and labels are in its record. tells makes it report each change of what runs, as a real one does.
	capacity int64
	labels   map[string]string
	tells    bool
	stream   sessionv1.Session_DispatchClient
	cut      context.CancelFunc
}

// node starts one and waits until it is registered in etcd.
func (w *world) node(name string, change ...func(*node)) *node {
	w.t.Helper()
	n := &node{
		w: w, name: name, etcd: w.etcd.Process(), running: map[operator.Ref]uint64{}, mayAct: nodeTTL - time.Second,
		asks: map[sessionv1.Ask_Action]int{}, openings: map[operator.Ref][]*sessionv1.Ask{},
		times: map[operator.Ref][]time.Time{},
	}
	for _, c := range change {
		c(n)
	}
	n.enter()
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	w.nodes = append(w.nodes, n)
	w.wg.Go(func() { n.renew(ctx) })
	w.wg.Go(func() { n.follow(ctx) })
	return n
}

// enter grants the lease and puts the node key; the session is its revision.
func (n *node) enter() {
	n.w.t.Helper()
	c := n.etcd.Client()
	g, err := c.Grant(context.Background(), int64(nodeTTL/time.Second))
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.lease = g.ID
	value := record.EncodeNode(record.Node{
		Name: n.name, Instance: "i-" + n.name, Workloads: []string{"gate"}, TTL: nodeTTL, Lease: int64(g.ID), Capacity: n.capacity, Labels: n.labels,
	})
	r, err := c.Put(context.Background(), n.w.layout.Node(n.name), string(value), clientv3.WithLease(g.ID))
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.session = r.Header.Revision
}

func (n *node) renew(ctx context.Context) {
	for pause(ctx, nodeTTL/3) {
		try, cancel := context.WithTimeout(ctx, time.Second)
		_, err := n.etcd.Client().KeepAliveOnce(try, n.lease)
		cancel()
		if err == nil {
			n.say(&sessionv1.Report{})
		}
	}
}

// kill is kill -9.
func (n *node) kill() {
	if n.dead {
		return
	}
	n.dead = true
	n.etcd.Kill()
	n.cancel()
}

// follow keeps a stream to whoever leads.
func (n *node) follow(ctx context.Context) {
	for pause(ctx, 20*time.Millisecond) {
		r, err := n.etcd.Client().Get(ctx, n.w.layout.Leader())
		if err != nil || len(r.Kvs) == 0 {
			continue
		}
		l, err := record.DecodeLeader(r.Kvs[0].Value)
		if err != nil || l.Resigned || n.muted() {
			continue
		}
		n.talk(ctx, l.Address)
	}
}

func (n *node) talk(ctx context.Context, address string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithContextDialer(n.w.net.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	s, err := sessionv1.NewSessionClient(conn).Dispatch(ctx)
	if err != nil {
		return
	}
	if err := s.Send(&sessionv1.DispatchRequest{Register: &sessionv1.Register{
		Cluster: "test", Node: n.name, Session: n.session, Instance: "i-" + n.name,
	}}); err != nil {
		return
	}
	n.mu.Lock()
	n.stream, n.cut = s, cancel
	n.mu.Unlock()
	n.say(n.full())
	for {
		m, err := s.Recv()
		if err != nil {
			n.mu.Lock()
			n.stream = nil
			n.mu.Unlock()
			return
		}
		n.hear(ctx, m)
	}
}

// silence keeps the node from registering, or lets it.
func (n *node) silence(yes bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mute = yes
	if yes {
		n.cut()
	}
}

func (n *node) muted() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mute
}

// obey makes the node carry out what it is asked.
func (n *node) obey() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = nil
}

// answers sets what becomes of asks.
func (n *node) answers(f func(*sessionv1.Ask) sessionv1.StageResult_Result) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = f
}

func (n *node) answering() func(*sessionv1.Ask) sessionv1.StageResult_Result {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.answer
}

// full is a report of everything that runs.
func (n *node) full() *sessionv1.Report {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := &sessionv1.Report{Full: true, Revision: n.session}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // a killed process gets no answer
	defer cancel()
	if resp, err := n.etcd.Client().Get(ctx, "x"); err == nil {
		r.Revision = resp.Header.Revision
	}
	for ref, token := range n.running {
		r.Spans = append(r.Spans, status(ref, sessionv1.SpanStatus_STATE_RUNNING, token))
	}
	return r
}

func status(r operator.Ref, s sessionv1.SpanStatus_State, token uint64) *sessionv1.SpanStatus {
	return &sessionv1.SpanStatus{Keyspace: r.Keyspace, Span: string(r.ID), State: s, Token: token}
}

func (n *node) say(r *sessionv1.Report) {
	r.MayActForMs = n.mayAct.Milliseconds()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stream != nil {
		_ = n.stream.Send(&sessionv1.DispatchRequest{Report: r})
	}
}

// checkpoint reports a position of a span that runs here.
func (n *node) checkpoint(r operator.Ref, at uint64) {
	s := status(r, sessionv1.SpanStatus_STATE_RUNNING, n.running[r])
	s.Checkpoint = proto.Uint64(at)
	n.say(&sessionv1.Report{Spans: []*sessionv1.SpanStatus{s}})
}

func (n *node) hear(ctx context.Context, m *sessionv1.DispatchResponse) {
	n.mu.Lock()
	if len(m.GetAsks()) > 0 {
		n.messages++
	}
	n.confirms = append(n.confirms, m.GetConfirm()...)
	n.mu.Unlock()
	var results []*sessionv1.StageResult
	var carry []*sessionv1.Ask
	for _, a := range m.GetAsks() {
		n.mu.Lock()
		n.asks[a.GetAction()]++
		r := operator.Ref{Keyspace: a.GetKeyspace(), ID: span.ID(a.GetMembers()[0].GetSpan())}
		n.openings[r] = append(n.openings[r], a)
		n.times[r] = append(n.times[r], time.Now())
		n.mu.Unlock()
		if answer := n.answering(); answer != nil {
			if res := answer(a); res != sessionv1.StageResult_RESULT_CLAIMED {
				results = append(results, n.result(a, res))
				continue
			}
		}
		if a.GetAction() == sessionv1.Ask_ACTION_ABORT {
			results = append(results, n.abort(ctx, r, a))
			continue
		}
		if a.GetAction() == sessionv1.Ask_ACTION_RELEASE {
			results = append(results, n.release(ctx, r, a))
			continue
		}
		if shapes(a) {
			results = append(results, n.result(a, n.shape(ctx, a)))
			continue
		}
		carry = append(carry, a)
	}
	results = append(results, n.carryOut(ctx, m.GetTerm(), carry)...)
	kept := results[:0]
	for _, r := range results {
		if r.GetResult() != sessionv1.StageResult_RESULT_UNSPECIFIED {
			kept = append(kept, r)
		}
	}
	if len(kept) > 0 {
		n.say(&sessionv1.Report{Results: kept})
	}
}

func (n *node) result(a *sessionv1.Ask, r sessionv1.StageResult_Result) *sessionv1.StageResult {
	return &sessionv1.StageResult{
		Keyspace: a.GetKeyspace(), Span: a.GetMembers()[0].GetSpan(), Operator: a.GetOperator(), Result: r,
	}
}

func (n *node) me() operator.Identity { return operator.Identity{Node: n.name, Session: n.session} }

// carryOut claims all spans in one batch, and ends the step of those claimed in another.
func (n *node) carryOut(ctx context.Context, term int64, asks []*sessionv1.Ask) []*sessionv1.StageResult {
	if len(asks) == 0 {
		return nil
	}
	l := n.w.layout
	outer := []txn.Cmp{operator.Leading(l, term), operator.Acting(l, n.me())}
	var parts []txn.Part
	spans := make([]operator.Span, len(asks))
	claims := make([]operator.Claim, len(asks))
	for i, a := range asks {
		rec, err := record.DecodeSpan(a.GetMembers()[0].GetRecord())
		if err != nil {
			n.w.t.Errorf("ask: %v", err)
			return nil
		}
		spans[i] = operator.Span{
			Ref:  operator.Ref{Keyspace: a.GetKeyspace(), ID: span.ID(a.GetMembers()[0].GetSpan())},
			Span: rec, Mod: a.GetMembers()[0].GetModRevision(),
		}
		c := record.Claim{
			Stage: record.StageOpening, Node: n.name, Session: n.session, At: time.Now(), Term: term, By: record.By(a.GetBy()),
		}
		if a.GetAction() == sessionv1.Ask_ACTION_CLOSE {
			c.Stage = record.StageClosing
		}
		if rec.Intent != nil {
			c.Operator, c.Kind = rec.Intent.Operator, rec.Intent.Kind
		}
		claims[i].Claim = c
		parts = append(parts, operator.ClaimSpan(l, spans[i], c))
	}
	var out []*sessionv1.StageResult
	var ends []txn.Part
	for i, res := range n.run(ctx, outer, parts) {
		if res.Outcome != txn.Done {
			out = append(out, n.result(asks[i], sessionv1.StageResult_RESULT_REFUSED))
			continue
		}
		claims[i].Mod = res.Revision
		ends = append(ends, n.end(asks[i], spans[i], claims[i]))
		out = append(out, n.result(asks[i], sessionv1.StageResult_RESULT_DONE))
	}
	n.tell(asks, n.run(ctx, outer[1:], ends))
	return out
}

// tell reports what has been opened and closed.
func (n *node) tell(asks []*sessionv1.Ask, ended []txn.Result) {
	if !n.tells || len(ended) == 0 {
		return
	}
	r := &sessionv1.Report{}
	n.mu.Lock()
	for _, res := range ended {
		r.Revision = max(r.Revision, res.Revision)
	}
	for _, a := range asks {
		ref := operator.Ref{Keyspace: a.GetKeyspace(), ID: span.ID(a.GetMembers()[0].GetSpan())}
		state := sessionv1.SpanStatus_STATE_GONE
		if _, runs := n.running[ref]; runs {
			state = sessionv1.SpanStatus_STATE_RUNNING
		}
		r.Spans = append(r.Spans, status(ref, state, n.running[ref]))
	}
	n.mu.Unlock()
	n.say(r)
}

// abort gives an opening up, if it is the one that is meant.
func (n *node) abort(ctx context.Context, r operator.Ref, a *sessionv1.Ask) *sessionv1.StageResult {
	resp := n.w.get(n.w.layout.Operator(r.Keyspace, r.ID))
	if len(resp.Kvs) == 0 || resp.Kvs[0].ModRevision != a.GetMembers()[0].GetClaim() {
		return n.result(a, sessionv1.StageResult_RESULT_REFUSED)
	}
	rec, err := record.DecodeClaim(resp.Kvs[0].Value)
	if err != nil {
		n.w.t.Errorf("claim: %v", err)
	}
	c := operator.Claim{Claim: rec, Mod: resp.Kvs[0].ModRevision}
	n.run(ctx, []txn.Cmp{operator.Acting(n.w.layout, n.me())}, []txn.Part{operator.AbortOpening(n.w.layout, n.w.span(r), c, n.me())})
	return n.result(a, sessionv1.StageResult_RESULT_ABORTED)
}

// release gives a span back.
func (n *node) release(ctx context.Context, r operator.Ref, a *sessionv1.Ask) *sessionv1.StageResult {
	n.mu.Lock()
	delete(n.running, r)
	n.mu.Unlock()
	m := a.GetMembers()[0]
	rec, err := record.DecodeSpan(m.GetRecord())
	if err != nil {
		n.w.t.Errorf("ask: %v", err)
	}
	s := operator.Span{Ref: r, Span: rec, Mod: m.GetModRevision()}
	n.run(ctx, []txn.Cmp{operator.Acting(n.w.layout, n.me())}, []txn.Part{operator.HandBack(n.w.layout, s, record.Position{})})
	return n.result(a, sessionv1.StageResult_RESULT_CLAIMED)
}

// end is the last transaction of a step.
func (n *node) end(a *sessionv1.Ask, s operator.Span, c operator.Claim) txn.Part {
	n.mu.Lock()
	defer n.mu.Unlock()
	l, now := n.w.layout, time.Now()
	if a.GetAction() == sessionv1.Ask_ACTION_OPEN {
		token := operator.Token(0, c.Mod)
		n.running[s.Ref] = token
		from := record.Position{Known: a.GetMembers()[0].Checkpoint != nil, At: a.GetMembers()[0].GetCheckpoint()}
		return operator.Commit(l, s, c, record.Owner{Node: n.name, Session: n.session, Token: token}, from, now)
	}
	delete(n.running, s.Ref)
	if c.Kind == record.KindRemove {
		return operator.Remove(l, s, c, now)
	}
	return operator.HandOff(l, s, c, record.Position{}, now)
}

func (n *node) run(ctx context.Context, outer []txn.Cmp, parts []txn.Part) []txn.Result {
	var out []txn.Result
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // a killed process gets no answer
	defer cancel()
	for _, b := range etcdx.Chunk(outer, parts) {
		res, err := etcdx.Run(ctx, n.etcd.Client(), n.lease, b)
		if err != nil {
			return out
		}
		out = append(out, res...)
	}
	return out
}

// claimOnly claims what it is asked to open, and gets no further.
func (n *node) claimOnly(a *sessionv1.Ask) sessionv1.StageResult_Result {
	rec, err := record.DecodeSpan(a.GetMembers()[0].GetRecord())
	if err != nil {
		n.w.t.Error(err)
	}
	s := operator.Span{
		Ref:  operator.Ref{Keyspace: a.GetKeyspace(), ID: span.ID(a.GetMembers()[0].GetSpan())},
		Span: rec, Mod: a.GetMembers()[0].GetModRevision(),
	}
	c := record.Claim{Stage: record.StageOpening, Node: n.name, Session: n.session, At: time.Now(), By: record.ByPlacement}
	n.run(context.Background(), nil, []txn.Part{operator.ClaimSpan(n.w.layout, s, c)})
	return sessionv1.StageResult_RESULT_UNSPECIFIED
}

func withLease(n *node) clientv3.OpOption { return clientv3.WithLease(n.lease) }
