package client_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/client"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/rpcerr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// maintainer is a fake: each call is answered by the first function left in its queue, the last stays.
type maintainer struct {
	controlv1.UnimplementedControlServer

	mu      sync.Mutex
	seen    []*controlv1.MoveSpanRequest
	move    []func(context.Context) error
	list    []func(grpc.ServerStreamingServer[controlv1.ListSpansResponse]) error
	plans   int
	watches int
	lookup  *controlv1.LookupResponse
}

func (m *maintainer) MoveSpan(ctx context.Context, req *controlv1.MoveSpanRequest) (*controlv1.MoveSpanResponse, error) {
	m.mu.Lock()
	m.seen = append(m.seen, req)
	f := m.move[0]
	if len(m.move) > 1 {
		m.move = m.move[1:]
	}
	m.mu.Unlock()
	if err := f(ctx); err != nil {
		return nil, err
	}
	return &controlv1.MoveSpanResponse{Operator: &controlv1.Operator{Id: "7-1"}}, nil
}

func (m *maintainer) ListSpans(_ *controlv1.ListSpansRequest, s grpc.ServerStreamingServer[controlv1.ListSpansResponse]) error {
	m.mu.Lock()
	f := m.list[0]
	if len(m.list) > 1 {
		m.list = m.list[1:]
	}
	m.mu.Unlock()
	return f(s)
}

// Plan breaks off the first time.
func (m *maintainer) Plan(_ *controlv1.PlanRequest, s grpc.ServerStreamingServer[controlv1.PlanResponse]) error {
	m.mu.Lock()
	m.plans++
	n := m.plans
	m.mu.Unlock()
	if err := s.Send(&controlv1.PlanResponse{Revision: int64(n), Operators: []*controlv1.PlannedOperator{{Reason: "a"}}}); err != nil {
		return err
	}
	if n == 1 {
		return notLeader(s.Context())
	}
	return s.Send(&controlv1.PlanResponse{Operators: []*controlv1.PlannedOperator{{Reason: "b"}}})
}

func (m *maintainer) WatchOperators(_ *controlv1.WatchOperatorsRequest, s grpc.ServerStreamingServer[controlv1.WatchOperatorsResponse]) error {
	m.mu.Lock()
	m.watches++
	n := m.watches
	m.mu.Unlock()
	id := []string{"7-1", "7-2", "7-3"}[n-1]
	if err := s.Send(&controlv1.WatchOperatorsResponse{Operator: &controlv1.Operator{Id: id}}); err != nil {
		return err
	}
	return notLeader(s.Context())
}

func (m *maintainer) Lookup(context.Context, *controlv1.LookupRequest) (*controlv1.LookupResponse, error) {
	return m.lookup, nil
}

func answer(context.Context) error    { return nil }
func notLeader(context.Context) error { return fault.New(fault.NotLeader, "m2 leads") }
func busy(context.Context) error      { return fault.New(fault.SpanBusy, "held").On("span", "s1") }
func hang(ctx context.Context) error  { <-ctx.Done(); return ctx.Err() }

// cluster is maintainers by address, all in this process.
type cluster struct {
	t         *testing.T
	listeners map[string]*bufconn.Listener
	addrs     []string
	findErr   error
}

func newCluster(t *testing.T) *cluster {
	return &cluster{t: t, listeners: map[string]*bufconn.Listener{}}
}

func (c *cluster) add(addr string, m *maintainer) {
	l := bufconn.Listen(1 << 16)
	s := grpc.NewServer(grpc.UnaryInterceptor(rpcerr.UnaryServer(zap.NewNop())), grpc.StreamInterceptor(rpcerr.StreamServer(zap.NewNop())))
	controlv1.RegisterControlServer(s, m)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }()
	c.t.Cleanup(func() { s.Stop(); <-ended })
	c.listeners[addr] = l
	c.addrs = append(c.addrs, addr)
}

func (c *cluster) client(cfg client.Config) *client.Client {
	c.t.Helper()
	cfg.Cluster = "c1"
	cfg.Find = func(context.Context) ([]string, error) { return slices.Clone(c.addrs), c.findErr }
	cfg.DialOptions = []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		if l, ok := c.listeners[addr]; ok {
			return l.DialContext(ctx)
		}
		return nil, errors.New("connection refused")
	})}
	cl, err := client.New(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = cl.Close() })
	return cl
}

func move(ctx context.Context, c *client.Client) error {
	_, err := c.Control().MoveSpan(ctx, &controlv1.MoveSpanRequest{Keyspace: "ks", Span: "s1", To: "n2"})
	return err
}

// The heart of it: whatever happens on the way, the change is asked for under one request id.
func TestChangeIsRepeatedUnderOneRequestID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		m1 := &maintainer{move: []func(context.Context) error{hang, notLeader}}
		m2 := &maintainer{move: []func(context.Context) error{notLeader, answer}}
		c.add("m1", m1)
		c.addrs = append(c.addrs, "gone")
		c.add("m2", m2)
		if err := move(t.Context(), c.client(client.Config{})); err != nil {
			t.Fatal(err)
		}
		all := append(m1.seen, m2.seen...)
		if len(all) != 4 {
			t.Fatalf("%d requests, want 4", len(all))
		}
		for _, req := range all {
			if req.GetRequestId() == "" || req.GetRequestId() != all[0].GetRequestId() {
				t.Errorf("request id %q, want that of the first, %q", req.GetRequestId(), all[0].GetRequestId())
			}
			if req.GetCluster() != "c1" {
				t.Errorf("cluster %q", req.GetCluster())
			}
		}
	})
}

func TestDefiniteAnswersAreNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		m := &maintainer{move: []func(context.Context) error{busy}}
		c.add("m1", m)
		err := move(t.Context(), c.client(client.Config{}))
		if f, ok := fault.As(err); !ok || f.Reason != fault.SpanBusy || f.Value != "s1" || len(m.seen) != 1 {
			t.Errorf("got %v after %d requests", err, len(m.seen))
		}
	})
}

// What no maintainer would take in is refused before it is sent, with a way out.
func TestRequestsThatAreTooLargeAreRefused(t *testing.T) {
	c := newCluster(t)
	m := &maintainer{move: []func(context.Context) error{answer}}
	c.add("m1", m)
	_, err := c.client(client.Config{}).Control().MoveSpan(t.Context(), &controlv1.MoveSpanRequest{Span: strings.Repeat("x", 64<<20)})
	f, ok := fault.As(err)
	if !ok || f.Reason != fault.InvalidArgument || !strings.Contains(f.Message, "65 MiB") || !strings.Contains(f.Message, "64 MiB") || f.Remedy == "" {
		t.Errorf("%v", err)
	}
	if len(m.seen) > 0 {
		t.Error("it was sent")
	}
}

func TestGivingUp(t *testing.T) {
	for _, tc := range []struct {
		name    string
		timeout time.Duration
		addrs   []string
		findErr error
		want    fault.Reason
		after   time.Duration
	}{
		{name: "nobody is registered", want: fault.Unavailable, after: 5 * time.Second},
		{name: "nobody answers", addrs: []string{"gone"}, want: fault.Unavailable, after: 30 * time.Second},
		{name: "etcd does not answer", findErr: fault.New(fault.EtcdUnreachable, "x"), want: fault.Unavailable, after: 30 * time.Second},
		{name: "the caller's deadline counts alone", timeout: 50 * time.Second, want: fault.Timeout, after: 50 * time.Second},
		{name: "and may be short", timeout: time.Second, addrs: []string{"gone"}, want: fault.Timeout, after: time.Second},
		{name: "another error is final", findErr: fault.New(fault.EtcdAuth, "x"), want: fault.EtcdAuth},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				c.addrs, c.findErr = tc.addrs, tc.findErr
				ctx := t.Context()
				if tc.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.timeout)
					defer cancel()
				}
				began := time.Now()
				err := move(ctx, c.client(client.Config{}))
				if !fault.Is(err, tc.want) {
					t.Errorf("got %v, want %s", err, tc.want)
				}
				if took := time.Since(began); took < tc.after || took > tc.after+2*time.Second {
					t.Errorf("took %v, want %v", took, tc.after)
				}
			})
		})
	}
}

func TestCancelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.add("m1", &maintainer{move: []func(context.Context) error{hang}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := move(ctx, c.client(client.Config{})); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func send(ids ...string) func(grpc.ServerStreamingServer[controlv1.ListSpansResponse]) error {
	return func(s grpc.ServerStreamingServer[controlv1.ListSpansResponse]) error {
		for _, id := range ids {
			if err := s.Send(&controlv1.ListSpansResponse{Spans: []*controlv1.Span{{Id: id}}}); err != nil {
				return err
			}
		}
		return nil
	}
}

// A listing that breaks off begins again: half of it twice, or a hole, would be a lie.
func TestListingIsWholeOrBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type stream = grpc.ServerStreamingServer[controlv1.ListSpansResponse]
		c := newCluster(t)
		slow := 0
		c.add("m1", &maintainer{list: []func(stream) error{
			func(s stream) error {
				_ = send("a")(s)
				return notLeader(s.Context())
			},
			func(s stream) error { // silent in the middle
				_ = send("a", "b")(s)
				return hang(s.Context())
			},
			func(s stream) error { // slow, but it goes on
				slow++
				for _, id := range []string{"a", "b", "c"} {
					time.Sleep(9 * time.Second)
					if err := send(id)(s); err != nil {
						return err
					}
				}
				return nil
			},
		}})
		spans, err := c.client(client.Config{Patience: time.Hour}).ListSpans(t.Context(), &controlv1.ListSpansRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, s := range spans {
			ids = append(ids, s.GetId())
		}
		if diff := cmp.Diff([]string{"a", "b", "c"}, ids); diff != "" {
			t.Error(diff)
		}
		if slow != 1 {
			t.Errorf("a listing that was slow and went on was asked for %d times", slow)
		}
	})
}

// Pieces of two plans would be carried out as one.
func TestPlanIsWholeOrBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.add("m1", &maintainer{})
		plan, err := c.client(client.Config{}).Plan(t.Context(), &controlv1.PlanRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range plan.GetOperators() {
			got = append(got, o.GetReason())
		}
		if plan.GetRevision() != 2 || !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("revision %d, %v", plan.GetRevision(), got)
		}
	})
}

func TestWatchGoesOnElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.add("m1", &maintainer{})
		enough := errors.New("enough")
		var ids []string
		err := c.client(client.Config{}).WatchOperators(t.Context(), &controlv1.WatchOperatorsRequest{}, func(o *controlv1.Operator) error {
			if ids = append(ids, o.GetId()); len(ids) == 3 {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) || !slices.Equal(ids, []string{"7-1", "7-2", "7-3"}) {
			t.Errorf("%v, %v", ids, err)
		}
	})
}

func TestLookup(t *testing.T) {
	for _, tc := range []struct {
		name string
		resp *controlv1.LookupResponse
		want int
	}{
		{"owned", &controlv1.LookupResponse{Span: "s", Node: "n", State: "running", Token: 3}, 0},
		{"not covered", &controlv1.LookupResponse{}, 1},
		{"nobody's", &controlv1.LookupResponse{Span: "s", State: "absent"}, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				c.add("m1", &maintainer{lookup: tc.resp})
				o, err := c.client(client.Config{}).Lookup(t.Context(), "ks", "k")
				if got := fault.ExitCode(err); got != tc.want || string(o.Span) != tc.resp.GetSpan() || o.Node != tc.resp.GetNode() {
					t.Errorf("%+v, %v", o, err)
				}
			})
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := client.New(client.Config{}); err == nil {
		t.Error("a client without a cluster")
	}
}

func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.add("m1", &maintainer{move: []func(context.Context) error{answer}})
		cl := c.client(client.Config{})
		if err := cl.Close(); err != nil {
			t.Fatal(err)
		}
		if err := move(t.Context(), cl); err == nil {
			t.Error("a closed client calls")
		}
	})
}
