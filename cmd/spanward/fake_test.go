package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/client"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/rpcerr"
	"github.com/spanward/spanward/keys"
)

// fake is a maintainer that knows one small cluster and notes what it is asked to change.
type fake struct {
	controlv1.UnimplementedControlServer

	mu sync.Mutex
	// asked are the changing requests, in their order.
	asked []string
	// looks counts how often something was waited for: each look finds it further on.
	looks int
	// down lets that many calls fail as if nobody led.
	down int
	// end is how operators end.
	end string
	// empty is a cluster without anything in it.
	empty bool
	// made is how many spans of a creation are found by one look after the other; as long as some are left, whoever
	// creates gets no answer.
	made []int64
	// accepted are the operators of plans that were accepted, by so many calls; there are errors beyond those that it takes, if
	// breaks is not 0.
	accepted        []*controlv1.Operator
	applies, breaks int
	breakAs         fault.Reason
	// big is how many operators its plan has, if not 0.
	big int
	// paused are planners.
	paused []string
}

var epoch = time.Date(2026, 11, 23, 12, 0, 0, 500, time.UTC)

func at(seconds int) *timestamppb.Timestamp {
	return timestamppb.New(epoch.Add(time.Duration(seconds) * time.Second))
}

func (f *fake) change(req proto.Message, field, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.away(); err != nil {
		return err
	}
	raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(req)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil { // protojson varies its spaces on purpose
		return err
	}
	f.asked = append(f.asked, fmt.Sprintf("%s %s", req.ProtoReflect().Descriptor().Name(), &b))
	return known(field, name)
}

func (f *fake) away() error {
	if f.down > 0 {
		f.down--
		return fault.New(fault.NotLeader, "nobody leads")
	}
	return nil
}

func (f *fake) look() (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.away(); err != nil {
		return 0, err
	}
	f.looks++
	return f.looks, nil
}

// known refuses names that stand for what can be wrong with them.
func known(field, name string) error {
	switch name {
	case "unknown":
		return fault.New(map[string]fault.Reason{"keyspace": fault.UnknownKeyspace, "span": fault.UnknownSpan}[field], "does not exist").
			On(field, name).Fix("choose another")
	case "busy":
		return fault.New(fault.SpanBusy, "operator 812-9 holds it").On(field, name).Fix("wait for it")
	}
	return nil
}

func orders() *controlv1.Keyspace {
	return &controlv1.Keyspace{
		Name: "orders", Workload: "mirror", Set: map[string]string{"source": "http://a:1", "dest": "file:<d>"}, State: "running",
		Ranges: []*controlv1.Range{{Start: []byte("m"), End: nil}, {Start: nil, End: []byte("m")}},
		Spans:  map[string]int64{"total": 2, "running": 1, "absent": 1}, Checkpoint: new(uint64(7)), LagMs: new(int64(61500)),
		Copied: new(int64(5)), CopyTotal: new(int64(10)),
	}
}

func spans() []*controlv1.Span {
	return []*controlv1.Span{
		{Id: "812-1.1", Keyspace: "orders", Start: []byte("m"), State: "absent", Why: "no eligible node", Revision: 40},
		{
			Id: "812-1.0", Keyspace: "orders", End: []byte("m"), State: "running", Node: "n1", Session: 20, Token: 1<<48 | 31,
			Checkpoint: new(uint64(0)), LagMs: new(int64(12)), Load: new(1.5), Operator: "812-3", LastError: "disk\nfull",
			Parents: []string{"811-1.0"}, Copied: new(int64(5)), CopyTotal: new(int64(10)), Revision: 41, Size: new(2e6),
		},
		{Id: "812-2.0", Keyspace: "bin", Start: []byte("a:\\\xff"), End: []byte("b"), State: "opening", Node: "n2", Session: 21, Token: 32},
	}
}

func move(stage, outcome string) *controlv1.Operator {
	o := &controlv1.Operator{
		Id: "812-3", RequestId: "r1", Type: "move", Keyspace: "orders", Spans: []string{"812-1.0"}, From: "n1", To: "n2", Stage: stage,
		Outcome: outcome, By: "user", Reason: "asked for", Created: at(0),
		Steps: []*controlv1.Operator_Step{
			{Stage: "queued", At: at(0), Span: "812-1.0", DurationMs: new(int64(1000))},
			{Stage: "closing", At: at(1), Node: "n1", Span: "812-1.0", DurationMs: new(int64(2000))},
		},
	}
	if outcome != "" {
		o.FinishedAt = at(3)
		o.Results = []string{"812-1.0"}
	}
	switch outcome {
	case "failed":
		o.Error = "n2 cannot open it"
	case "cancelled":
		o.Cause = &controlv1.Operator_Cause{By: "user", Reason: "asked for by a user", RequestId: "r2"}
	}
	return o
}

func (f *fake) GetStatus(context.Context, *controlv1.GetStatusRequest) (*controlv1.GetStatusResponse, error) {
	if f.empty {
		return &controlv1.GetStatusResponse{Cluster: "default", Paused: f.paused}, nil
	}
	return &controlv1.GetStatusResponse{
		Cluster: "default", Leader: "m2", Term: 12, Revision: 50,
		Maintainers: []*controlv1.Maintainer{
			{Name: "m2", Address: "127.0.0.1:2", Leader: true, Version: "v1"}, {Name: "m1", Address: "127.0.0.1:1", Draining: true, Version: "v1"},
		},
		Nodes: map[string]int64{"total": 3, "ready": 2, "unreachable": 1}, Spans: map[string]int64{"total": 3, "running": 1, "absent": 1, "opening": 1},
		Operators: map[string]int64{"total": 1, "handed_off": 1},
		Problems: []*controlv1.Problem{
			{Kind: "unreachable", Node: "n3", Since: at(5), Message: "no stream"},
			{Kind: "quarantined", Keyspace: "orders", Span: "812-1.0", Since: at(2), Message: "cannot be decoded"},
		},
		Keyspaces: []*controlv1.Keyspace{orders()},
	}, nil
}

func (f *fake) ListKeyspaces(_ context.Context, req *controlv1.ListKeyspacesRequest) (*controlv1.ListKeyspacesResponse, error) {
	if err := known("keyspace", req.GetName()); err != nil || f.empty {
		return &controlv1.ListKeyspacesResponse{}, err
	}
	k := orders()
	if made, creating := f.creation(); creating {
		return &controlv1.ListKeyspacesResponse{Keyspaces: []*controlv1.Keyspace{{
			Name: req.GetName(), State: "creating", ExpectedSpans: new(int64(9)), Spans: map[string]int64{"total": made},
		}}}, nil
	}
	if req.GetName() == "" {
		return &controlv1.ListKeyspacesResponse{Keyspaces: []*controlv1.Keyspace{k, {Name: "bin", Workload: "gate", State: "paused"}}}, nil
	}
	n, err := f.look()
	if err != nil {
		return nil, err
	}
	k.Name = req.GetName()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) > 0 {
		err = f.advance(k, n)
	}
	return &controlv1.ListKeyspacesResponse{Keyspaces: []*controlv1.Keyspace{k}}, err
}

// advance is how a keyspace gets to where it was asked to be: on the third look it is there.
func (f *fake) advance(k *controlv1.Keyspace, n int) error {
	last := f.asked[len(f.asked)-1]
	goal := "running"
	if strings.Contains(last, `"verb":"pause"`) {
		goal = "paused"
	}
	if n < 3 {
		return nil
	}
	if strings.Contains(last, `"verb":"delete"`) {
		return fault.New(fault.UnknownKeyspace, "does not exist").On("keyspace", k.GetName())
	}
	k.State, k.Spans = goal, map[string]int64{"total": 2, goal: 2}
	return nil
}

// creation is how many spans are made, and whether somebody still creates.
func (f *fake) creation() (made int64, creating bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.made) == 0 {
		return 0, false
	}
	made, f.made = f.made[0], f.made[1:]
	return made, true
}

func (f *fake) CreateKeyspace(ctx context.Context, req *controlv1.CreateKeyspaceRequest) (*controlv1.CreateKeyspaceResponse, error) {
	f.mu.Lock()
	hangs := len(f.made) > 0
	f.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := f.change(req, "keyspace", req.GetName()); err != nil {
		return nil, err
	}
	return &controlv1.CreateKeyspaceResponse{Keyspace: &controlv1.Keyspace{Name: req.GetName(), Workload: req.GetWorkload(), State: "creating"}}, nil
}

func (f *fake) SetKeyspace(_ context.Context, req *controlv1.SetKeyspaceRequest) (*controlv1.SetKeyspaceResponse, error) {
	return &controlv1.SetKeyspaceResponse{Keyspace: orders()}, f.change(req, "keyspace", req.GetName())
}

func (f *fake) ChangeKeyspaceState(_ context.Context, req *controlv1.ChangeKeyspaceStateRequest) (*controlv1.ChangeKeyspaceStateResponse, error) {
	return &controlv1.ChangeKeyspaceStateResponse{Keyspace: orders()}, f.change(req, "keyspace", req.GetName())
}

func (f *fake) ListSpans(req *controlv1.ListSpansRequest, s grpc.ServerStreamingServer[controlv1.ListSpansResponse]) error {
	if err := known("keyspace", req.GetKeyspace()); err != nil {
		return err
	}
	if err := known("span", req.GetSpan()); err != nil || f.empty {
		return err
	}
	for _, sp := range spans() {
		if req.GetSpan() == "812-4.0" { // an add's
			sp.Id = "812-4.0"
			if n, _ := f.look(); n > 2 {
				sp.State = "running"
			}
			return s.Send(&controlv1.ListSpansResponse{Spans: []*controlv1.Span{sp}})
		}
		if req.GetKeyspace() != "" && req.GetKeyspace() != sp.GetKeyspace() || req.GetSpan() != "" && req.GetSpan() != sp.GetId() {
			continue
		}
		if req.GetSpan() != "" {
			sp.Next = "stays: it came here 20s ago, and balance.cooldown=1m0s is not over"
		}
		if err := s.Send(&controlv1.ListSpansResponse{Spans: []*controlv1.Span{sp}}); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) AddSpan(_ context.Context, req *controlv1.AddSpanRequest) (*controlv1.AddSpanResponse, error) {
	op := &controlv1.Operator{Id: "812-4", Type: "add", Keyspace: req.GetKeyspace(), Spans: []string{"812-4.0"}, Stage: "finished", Outcome: "done", By: "user", Created: at(0), FinishedAt: at(0)}
	return &controlv1.AddSpanResponse{Operator: op}, f.change(req, "keyspace", req.GetKeyspace())
}

func (f *fake) RemoveSpan(_ context.Context, req *controlv1.RemoveSpanRequest) (*controlv1.RemoveSpanResponse, error) {
	return &controlv1.RemoveSpanResponse{Operator: move("queued", "")}, f.change(req, "span", req.GetSpan())
}

func (f *fake) MoveSpan(_ context.Context, req *controlv1.MoveSpanRequest) (*controlv1.MoveSpanResponse, error) {
	return &controlv1.MoveSpanResponse{Operator: move("queued", "")}, f.change(req, "span", req.GetSpan())
}

func (f *fake) ListOperators(_ context.Context, req *controlv1.ListOperatorsRequest) (*controlv1.ListOperatorsResponse, error) {
	if f.empty {
		return &controlv1.ListOperatorsResponse{}, nil
	}
	if f.applies > 0 {
		return f.acceptedOperators(req)
	}
	ops := []*controlv1.Operator{move("handed_off", ""), {Id: "9-1", Type: "split", Keyspace: "bin", Spans: []string{"s"}, At: [][]byte{[]byte("x:")}, Stage: "queued", By: "load", Created: at(-1)}}
	if req.GetFinished() {
		ops = []*controlv1.Operator{move("finished", "done")}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.asked = append(f.asked, fmt.Sprintf("history keyspace=%s span=%s type=%s outcome=%s limit=%d", req.GetKeyspace(), req.GetSpan(), req.GetType(), req.GetOutcome(), req.GetLimit()))
	}
	switch req.GetId() {
	case "":
		return &controlv1.ListOperatorsResponse{Operators: ops, More: req.GetLimit() == 1}, nil
	case "812-4":
		resp, err := f.AddSpan(context.Background(), &controlv1.AddSpanRequest{})
		return &controlv1.ListOperatorsResponse{Operators: []*controlv1.Operator{resp.GetOperator()}}, err
	case "812-3":
	default:
		return nil, fault.New(fault.UnknownOperator, "is not known").On("operator", req.GetId())
	}
	n, err := f.look()
	if err != nil {
		return nil, err
	}
	op := move([]string{"queued", "closing", "handed_off", "opening"}[min(n-1, 3)], "")
	if n > 4 {
		op = move("finished", f.end)
	}
	return &controlv1.ListOperatorsResponse{Operators: []*controlv1.Operator{op}}, nil
}

func (f *fake) WatchOperators(_ *controlv1.WatchOperatorsRequest, s grpc.ServerStreamingServer[controlv1.WatchOperatorsResponse]) error {
	for _, op := range []*controlv1.Operator{move("queued", ""), move("queued", ""), move("closing", ""), move("finished", "failed")} {
		if err := s.Send(&controlv1.WatchOperatorsResponse{Operator: op}); err != nil {
			return err
		}
	}
	return fault.New(fault.Refused, "that is all")
}

func (f *fake) ListNodes(_ context.Context, req *controlv1.ListNodesRequest) (*controlv1.ListNodesResponse, error) {
	if req.GetName() == "unknown" || f.empty {
		return &controlv1.ListNodesResponse{}, nil
	}
	if strings.HasPrefix(req.GetName(), "drain") {
		return f.drainingNode(req.GetName())
	}
	return &controlv1.ListNodesResponse{Nodes: []*controlv1.Node{
		{Name: "n2", Session: 21, Address: "127.0.0.1:9", State: "ready", Spans: 1, Workloads: []string{"mirror", "gate"}, Labels: map[string]string{"zone": "b", "disk": "ssd"}, Capacity: 10, Weight: 2.5, Version: "v1", MayActUntilMs: new(int64(3500))},
		{Name: "n1", State: "gone"},
	}[slices.Index([]string{"n2", "n1", ""}, req.GetName())%2:]}, nil
}

func (f *fake) EvictNode(_ context.Context, req *controlv1.EvictNodeRequest) (*controlv1.EvictNodeResponse, error) {
	if req.GetName() == "unknown" {
		return nil, fault.New(fault.UnknownNode, "no node of this name is registered").On("node", "unknown").Fix("choose another")
	}
	return &controlv1.EvictNodeResponse{Node: &controlv1.Node{Name: req.GetName(), State: "gone"}}, f.change(req, "node", req.GetName())
}

func (f *fake) Lookup(_ context.Context, req *controlv1.LookupRequest) (*controlv1.LookupResponse, error) {
	if err := known("keyspace", req.GetKeyspace()); err != nil {
		return nil, err
	}
	l := &controlv1.LookupResponse{Keyspace: req.GetKeyspace(), Key: req.GetKey(), Span: "812-1.0", State: "absent"}
	switch string(req.GetKey()) {
	case "nobody's":
	case "not:covered":
		return &controlv1.LookupResponse{}, nil
	default:
		l.Node, l.Address, l.Token, l.State = "n1", "127.0.0.1:9", 31, "running"
	}
	return l, nil
}

// terminal is an app against a fake maintainer.
type terminal struct {
	app            *app
	stdout, stderr bytes.Buffer
	// patience is that of a call.
	patience time.Duration
}

func newTerminal(t *testing.T, f *fake, stdin string, env map[string]string) *terminal {
	t.Helper()
	term := &terminal{patience: time.Second}
	term.app = newApp(strings.NewReader(stdin), &term.stdout, &term.stderr, func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	})
	l := bufconn.Listen(1 << 20)
	s := grpc.NewServer(grpc.UnaryInterceptor(rpcerr.UnaryServer(zap.NewNop())), grpc.StreamInterceptor(rpcerr.StreamServer(zap.NewNop())))
	controlv1.RegisterControlServer(s, f)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-ended })
	term.app.connect = func(_ context.Context, a *app) (*cluster, error) {
		layout, err := keys.New(a.cluster.name)
		if err != nil {
			return nil, err
		}
		c, err := client.New(client.Config{
			Cluster: a.cluster.name, Find: func(context.Context) ([]string, error) { return []string{"fake"}, nil },
			Patience:    term.patience,
			DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) })},
		})
		return &cluster{Client: c, layout: layout}, err
	}
	return term
}
