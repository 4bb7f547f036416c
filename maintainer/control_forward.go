package maintainer

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
)

const (
	// electionWait is how long a call waits for somebody to lead, and to answer.
	electionWait = 2 * time.Second
	// electionPoll is between two looks.
	electionPoll = 20 * time.Millisecond
	// forwardedBy marks a call that a maintainer has forwarded, with the name of that one. It is not forwarded again:
	// two maintainers that each take the other for the leader would play ping-pong.
	forwardedBy = "spanward-forwarded-by"
)

// request is what all requests have in common.
type request interface {
	proto.Message
	GetCluster() string
}

// route finds who serves a call. Somebody who does not lead any more, or cannot be reached, is not the last word as long
// as an election may be under way; repeating is safe, since a change has one request id in all tries.
func (c *control) route(
	ctx context.Context, q request,
	serve func(context.Context, *term) error, forward func(context.Context, controlv1.ControlClient) error,
) error {
	if err := c.sameCluster(q.GetCluster()); err != nil {
		return err
	}
	nameRequest(q)
	for until := time.Now().Add(electionWait); ; {
		risen := c.rising()
		again, err := c.try(ctx, serve, forward)
		if errors.Is(err, errLeaderReplaced) {
			until = time.Now().Add(electionWait) // what the old one took counts for nothing
		}
		if !again || time.Now().After(until) || !pauseUntil(ctx, risen, electionPoll) {
			return err
		}
	}
}

// pauseUntil is pause, cut short when something has happened.
func pauseUntil(ctx context.Context, happened <-chan struct{}, d time.Duration) bool {
	select {
	case <-happened:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// try says whether another try may find another leader.
func (c *control) try(
	ctx context.Context, serve func(context.Context, *term) error, forward func(context.Context, controlv1.ControlClient) error,
) (again bool, err error) {
	if t := c.current(); t != nil {
		err := c.underTerm(ctx, t, serve)
		return elsewhere(err, fault.NotLeader), err
	}
	address := c.leader()
	switch {
	case c.stopping():
		return false, fault.New(fault.NotLeader, "this maintainer stops").Fix("ask another one")
	case address == "":
		return true, nobodyLeads("nobody leads at the moment")
	case address == c.address:
		return true, nobodyLeads("this maintainer has just been elected and is not ready")
	case forwarded(ctx):
		return false, fault.New(fault.NotLeader, "this maintainer does not lead").Fix("ask %s", address)
	}
	led, done := c.whileLeads(ctx, address)
	err = c.peers.call(address, func(leader controlv1.ControlClient) error {
		return forward(metadata.AppendToOutgoingContext(led, forwardedBy, c.name), leader)
	})
	done()
	if _, begun := errors.AsType[begunError](err); err != nil && !begun && errors.Is(context.Cause(led), errLeaderReplaced) {
		return true, fault.New(fault.NotLeader, "the leader was replaced during the call").Fix(repeat).Because(errLeaderReplaced)
	}
	return elsewhere(err, fault.NotLeader, fault.Unavailable), err
}

// replacedPoll is how often a forwarded call looks whether its leader still is one.
const replacedPoll = 100 * time.Millisecond

var errLeaderReplaced = errors.New("another leader")

// whileLeads derives a context that ends when the leader is no longer the one at the address: a host that does not
// answer any more would keep the call until its connection is given up, long after the next leader was elected.
func (c *control) whileLeads(ctx context.Context, address string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for pause(ctx, replacedPoll) {
			if c.leader() != address {
				cancel(errLeaderReplaced)
			}
		}
	}()
	return ctx, func() { cancel(nil); <-watched }
}

func nobodyLeads(text string) error {
	return fault.New(fault.NotLeader, "%s", text).Fix("try again; if it stays so, check that a maintainer runs and reaches etcd")
}

func elsewhere(err error, reasons ...fault.Reason) bool {
	if _, begun := errors.AsType[begunError](err); begun {
		return false
	}
	for _, r := range reasons {
		if fault.Is(err, r) {
			return true
		}
	}
	return false
}

func forwarded(ctx context.Context) bool {
	return len(metadata.ValueFromIncomingContext(ctx, forwardedBy)) > 0
}

// nameRequest gives a change that has no request id one, so that it can be repeated on the way.
func nameRequest(q request) {
	m := q.ProtoReflect()
	if f := m.Descriptor().Fields().ByName("request_id"); f != nil && !m.Has(f) {
		m.Set(f, protoreflect.ValueOfString(uuid.NewString()))
	}
}

// relay hands on what a stream brings, until it ends.
func relay[A any](in grpc.ServerStreamingClient[A], send func(*A) error) error {
	for {
		a, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := send(a); err != nil {
			return err
		}
	}
}

// peers are connections to maintainers that lead or have led: one for each address, closed when it is no longer the one
// to ask and its last call is over.
type peers struct {
	dial func(address string) (*grpc.ClientConn, error)

	mu     sync.Mutex
	open   map[string]*peer
	newest string
	closed bool
}

type peer struct {
	conn  *grpc.ClientConn
	calls int
}

func newPeers(dial func(string) (*grpc.ClientConn, error)) *peers {
	return &peers{dial: dial, open: map[string]*peer{}}
}

// call makes one call at an address.
func (p *peers) call(address string, do func(controlv1.ControlClient) error) error {
	conn, err := p.begin(address)
	if err != nil {
		return fault.New(fault.Unavailable, "cannot connect to the leader").On("address", address).Fix(repeat).Because(err)
	}
	defer p.end(address)
	return do(controlv1.NewControlClient(conn))
}

var errClosed = errors.New("closed")

func (p *peers) begin(address string) (*grpc.ClientConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	to := p.open[address]
	if to == nil {
		conn, err := p.dial(address)
		if err != nil {
			return nil, err
		}
		to = &peer{conn: conn}
		p.open[address] = to
	}
	p.newest = address
	to.calls++
	p.tidy()
	return to.conn, nil
}

func (p *peers) end(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if to := p.open[address]; to != nil {
		to.calls--
		p.tidy()
	}
}

func (p *peers) tidy() {
	for address, to := range p.open {
		if to.calls == 0 && (address != p.newest || p.closed) {
			_ = to.conn.Close()
			delete(p.open, address)
		}
	}
}

// close breaks what is under way. No call begins afterwards.
func (p *peers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, to := range p.open {
		_ = to.conn.Close()
	}
	clear(p.open)
}
