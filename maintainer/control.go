package maintainer

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/view"
)

// control serves the control API. Every maintainer does; all but the leader forward to the leader.
type control struct {
	controlv1.UnimplementedControlServer

	layout  keys.Layout
	name    string
	address string
	view    *view.View
	// current is the term that this process leads, nil if it does not; leader is where the one serves that does.
	current func() *term
	leader  func() string
	// rising is closed when this process begins to lead. One that is stopping never will.
	rising   func() <-chan struct{}
	stopping func() bool
	// elapsed is the clock by which nodes declare until when they may act.
	elapsed    func() time.Duration
	hit        func(ctx context.Context, name string) error
	validators map[string]Validator
	tuning     *tuning

	peers *peers
	// locks are held by changes: on their request id, and on the keyspace whose record they rewrite.
	locks locks
}

// newControl makes the service. Its close ends the connections to other maintainers.
func newControl(m *Maintainer) *control {
	return &control{
		layout: m.cfg.Layout, name: m.cfg.Name, address: m.cfg.Advertise, view: m.view,
		current: m.current, leader: m.leaderAddress, rising: m.rising, stopping: m.stopping.Load, elapsed: m.clock, hit: m.hit, validators: m.cfg.Validators,
		tuning: m.tuning, peers: newPeers(m.dial),
	}
}

func (c *control) close() { c.peers.close() }

func (c *control) GetStatus(ctx context.Context, q *controlv1.GetStatusRequest) (*controlv1.GetStatusResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.GetStatus, c.getStatus)
}

func (c *control) CreateKeyspace(ctx context.Context, q *controlv1.CreateKeyspaceRequest) (*controlv1.CreateKeyspaceResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.CreateKeyspace, c.createKeyspace)
}

func (c *control) ListKeyspaces(ctx context.Context, q *controlv1.ListKeyspacesRequest) (*controlv1.ListKeyspacesResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.ListKeyspaces, c.listKeyspaces)
}

func (c *control) SetKeyspace(ctx context.Context, q *controlv1.SetKeyspaceRequest) (*controlv1.SetKeyspaceResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.SetKeyspace, c.setKeyspace)
}

func (c *control) ChangeKeyspaceState(ctx context.Context, q *controlv1.ChangeKeyspaceStateRequest) (*controlv1.ChangeKeyspaceStateResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.ChangeKeyspaceState, c.changeKeyspaceState)
}

func (c *control) AddSpan(ctx context.Context, q *controlv1.AddSpanRequest) (*controlv1.AddSpanResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.AddSpan, c.addSpan)
}

func (c *control) RemoveSpan(ctx context.Context, q *controlv1.RemoveSpanRequest) (*controlv1.RemoveSpanResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.RemoveSpan, c.removeSpan)
}

func (c *control) MoveSpan(ctx context.Context, q *controlv1.MoveSpanRequest) (*controlv1.MoveSpanResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.MoveSpan, c.moveSpan)
}

func (c *control) ListOperators(ctx context.Context, q *controlv1.ListOperatorsRequest) (*controlv1.ListOperatorsResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.ListOperators, c.listOperators)
}

func (c *control) ListNodes(ctx context.Context, q *controlv1.ListNodesRequest) (*controlv1.ListNodesResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.ListNodes, c.listNodes)
}

func (c *control) Lookup(ctx context.Context, q *controlv1.LookupRequest) (*controlv1.LookupResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.Lookup, c.lookup)
}

// GetConfig is part of the control API.
func (c *control) GetConfig(ctx context.Context, q *controlv1.GetConfigRequest) (*controlv1.GetConfigResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.GetConfig, c.getConfig)
}

// SetConfig is part of the control API.
func (c *control) SetConfig(ctx context.Context, q *controlv1.SetConfigRequest) (*controlv1.SetConfigResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.SetConfig, c.setConfig)
}

func (c *control) ListSpans(q *controlv1.ListSpansRequest, out grpc.ServerStreamingServer[controlv1.ListSpansResponse]) error {
	return streaming(c, q, out, controlv1.ControlClient.ListSpans, c.listSpans)
}

func (c *control) WatchOperators(q *controlv1.WatchOperatorsRequest, out grpc.ServerStreamingServer[controlv1.WatchOperatorsResponse]) error {
	return streaming(c, q, out, controlv1.ControlClient.WatchOperators, c.watchOperators)
}

// unary serves a call where this process leads, else has the leader serve it.
func unary[Q request, A any](
	ctx context.Context, c *control, q Q,
	forward func(controlv1.ControlClient, context.Context, Q, ...grpc.CallOption) (A, error),
	serve func(context.Context, *term, Q) (A, error),
) (A, error) {
	var answer A
	err := c.route(ctx, q, func(ctx context.Context, t *term) (err error) {
		answer, err = serve(ctx, t, q)
		return err
	}, func(ctx context.Context, leader controlv1.ControlClient) (err error) {
		answer, err = forward(leader, ctx, q)
		return err
	})
	return answer, err
}

// streaming is unary for streams. One that has begun is not begun again: the caller has seen a part of it.
func streaming[Q request, A any](
	c *control, q Q, out grpc.ServerStreamingServer[A],
	forward func(controlv1.ControlClient, context.Context, Q, ...grpc.CallOption) (grpc.ServerStreamingClient[A], error),
	serve func(context.Context, *term, Q, func(*A) error) error,
) error {
	begun := false
	send := func(a *A) error {
		begun = true
		return out.Send(a)
	}
	once := func(err error) error {
		if begun && err != nil {
			return begunError{err}
		}
		return err
	}
	err := c.route(out.Context(), q, func(ctx context.Context, t *term) error {
		return once(serve(ctx, t, q, send))
	}, func(ctx context.Context, leader controlv1.ControlClient) error {
		in, err := forward(leader, ctx, q)
		if err == nil {
			err = relay(in, send)
		}
		return once(err)
	})
	if b, ok := errors.AsType[begunError](err); ok {
		return b.error
	}
	return err
}

// begunError keeps a call from being repeated.
type begunError struct{ error }

func (c *control) sameCluster(name string) error {
	if own := c.layout.ClusterName(); name != own {
		return fault.New(fault.WrongCluster, "this maintainer belongs to cluster %s", own).
			On("cluster", name).Fix("give the --cluster and --etcd that belong together")
	}
	return nil
}

// underTerm serves a call under a term that this process holds. A term that ends ends the call.
func (c *control) underTerm(ctx context.Context, t *term, serve func(context.Context, *term) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.over, cancel)() //nolint:contextcheck // the end of the term ends the call as well
	// Never decide on a view older than the term: what the leader before has accepted would be missing.
	err := c.await(ctx, t.number)
	if err == nil {
		err = serve(ctx, t)
	}
	if _, explained := fault.As(err); err == nil || explained {
		return err
	}
	if t.over.Err() != nil {
		return fault.New(fault.NotLeader, "the leader was replaced during the call").Fix(repeat).Because(err)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.Timeout, "not finished in time").Fix(repeat).Because(err)
	}
	return err
}

// viewWait is how long a call waits for the view to reach a revision that is already in etcd.
const viewWait = 5 * time.Second

func (c *control) await(ctx context.Context, revision int64) error {
	ctx, cancel := context.WithTimeout(ctx, viewWait)
	defer cancel()
	if err := c.view.Wait(ctx, revision); err != nil {
		return fault.New(fault.Unavailable, "the leader's view of etcd is behind").Fix(repeat).Because(err)
	}
	return nil
}

// repeat is the remedy where the outcome of a change is unknown.
const repeat = "repeat with the same --request-id"
