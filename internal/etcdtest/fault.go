package etcdtest

import (
	"context"
	"path"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Call is a request that a process is about to send.
type Call struct {
	// Method is etcd's name of it: Range, Put, DeleteRange, Txn, Compact, LeaseGrant, LeaseRevoke, LeaseKeepAlive, …
	// A watch is not a call.
	Method string
	// N counts the calls of this method by this process, from 1.
	N int
	// Request is etcd's message, not to be changed.
	Request any
}

// Fault says what becomes of a call. The zero value lets it pass.
type Fault struct {
	Delay time.Duration // waits before the request is sent
	Err   error         // answers so at once: the request is not sent
	Lose  bool          // the request is carried out, but its answer is lost: the caller cannot know the outcome
	Late  time.Duration // the request is carried out, and its answer waits
	// Crash kills the process before the request is sent, CrashAfter when it has been carried out and before anything
	// of the answer is known.
	Crash, CrashAfter bool
}

// errLost is what a caller sees when a connection breaks under its request.
var errLost = status.Error(codes.Unavailable, "etcdtest: the answer was lost")

// Inject asks f about every call of the process from now on, concurrently if calls are made so. nil ends that.
func (p *Process) Inject(f func(Call) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inject = f
}

// LoseTxn makes the outcome of the n-th transaction from now on unknown: it is carried out and its answer lost.
func (p *Process) LoseTxn(n int) { p.onTxn(n, Fault{Lose: true}) }

// FailTxn makes the n-th transaction from now on fail with an error that looks like a lost answer, but nothing is
// carried out.
func (p *Process) FailTxn(n int) { p.onTxn(n, Fault{Err: errLost}) }

func (p *Process) onTxn(n int, f Fault) {
	p.mu.Lock()
	at := p.calls["Txn"] + n
	p.mu.Unlock()
	p.Inject(func(c Call) Fault {
		if c.Method == "Txn" && c.N == at {
			return f
		}
		return Fault{}
	})
}

// decide counts the call and asks the injected function.
func (p *Process) decide(method string, request any) Fault {
	p.mu.Lock()
	name := path.Base(method)
	p.calls[name]++
	c, f := Call{Method: name, N: p.calls[name], Request: request}, p.inject
	p.mu.Unlock()
	if f == nil {
		return Fault{}
	}
	return f(c)
}

// before carries out the part of a fault that precedes the request.
func (p *Process) before(ctx context.Context, f Fault) error {
	if f.Crash {
		p.Kill()
	}
	if err := firstError(pass(ctx, f.Delay), p.running(ctx)); err != nil {
		return err
	}
	return f.Err
}

// after carries out the part of a fault that follows the answer.
func (p *Process) after(ctx context.Context, f Fault) error {
	if f.CrashAfter {
		p.Kill()
	}
	if err := firstError(pass(ctx, f.Late), p.running(ctx)); err != nil {
		return err
	}
	if f.Lose {
		return errLost
	}
	return nil
}

// pass waits; the time is virtual in a bubble.
func pass(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Process) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	f := p.decide(method, req)
	if err := p.before(ctx, f); err != nil {
		return asStatus(err)
	}
	if err := invoke(ctx, method, req, reply, cc, opts...); err != nil {
		return err
	}
	return asStatus(p.after(ctx, f))
}

func (p *Process) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := p.running(ctx); err != nil {
		return nil, asStatus(err)
	}
	s, err := open(ctx, desc, cc, method, opts...)
	if err != nil || path.Base(method) != "LeaseKeepAlive" {
		return s, err
	}
	return &renewals{ClientStream: s, process: p, method: method}, nil
}

// renewals applies faults to the messages of a keep-alive stream. One goroutine sends and then receives, which is how
// clientv3 renews once.
type renewals struct {
	grpc.ClientStream
	process *Process
	method  string
	fault   Fault
}

func (r *renewals) SendMsg(m any) error {
	r.fault = r.process.decide(r.method, m)
	if err := r.process.before(r.Context(), r.fault); err != nil {
		return asStatus(err)
	}
	return r.ClientStream.SendMsg(m)
}

func (r *renewals) RecvMsg(m any) error {
	if err := r.ClientStream.RecvMsg(m); err != nil {
		return err
	}
	return asStatus(r.process.after(r.Context(), r.fault))
}

// asStatus gives the errors of contexts and closed connections the codes that gRPC gives them.
func asStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	if s := status.FromContextError(err); s.Code() != codes.Unknown {
		return s.Err()
	}
	return status.Error(codes.Canceled, err.Error())
}
