package maintainer

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"google.golang.org/grpc"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/keys"
)

// sessions serves dispatchers and standbys.
type sessions struct {
	sessionv1.UnimplementedSessionServer
	m *Maintainer
}

// Dispatch serves one dispatcher's session until either side ends it, or the term is over.
func (s sessions) Dispatch(rpc grpc.BidiStreamingServer[sessionv1.DispatchRequest, sessionv1.DispatchResponse]) error {
	m := s.m
	ctx, cancel := context.WithCancel(rpc.Context())
	defer cancel()
	t, l := m.awaitLead(ctx)
	if t == nil {
		return m.notLeader()
	}
	in := receive(ctx, m, rpc.Recv)
	first, err := next(ctx, t, in, m.cfg.RegisterTimeout)
	if err != nil {
		return m.ended(t, err)
	}
	st, err := m.admit(ctx, first.GetRegister())
	if err != nil {
		return err
	}
	if !l.post(func() { l.streamUp(st) }) {
		return m.notLeader()
	}
	defer l.post(func() { l.streamDown(st) })
	out := make(chan error, 1)
	m.serving.Go(func() { out <- st.carry(ctx, m, rpc.Send) })
	l.hear(st, first.GetReport(), m.clock())
	for {
		select {
		case msg, ok := <-in.messages:
			if !ok {
				return m.ended(t, in.err)
			}
			l.hear(st, msg.GetReport(), m.clock())
		case err := <-out:
			return m.ended(t, err)
		case <-t.over.Done():
			return m.notLeader()
		}
	}
}

// hear hands a report to the loop. What it says about time is counted from now.
func (l *loop) hear(st *stream, r *sessionv1.Report, now time.Duration) {
	if r != nil {
		l.post(func() { l.report(st, r, now) })
	}
}

// admit checks who speaks: a session of this cluster that its node has now, as far as the view must know by then.
func (m *Maintainer) admit(ctx context.Context, r *sessionv1.Register) (*stream, error) {
	if err := m.sameCluster(r.GetCluster()); err != nil {
		return nil, err
	}
	if err := keys.CheckName("node", r.GetNode()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.RegisterTimeout)
	defer cancel()
	if err := m.view.Wait(ctx, r.GetSession()); err != nil {
		return nil, fault.New(fault.Unavailable, "the leader's view is behind").Fix("try again").Because(err)
	}
	if m.state().Session(r.GetNode()) != r.GetSession() || r.GetSession() == 0 {
		return nil, fault.New(fault.Refused, "etcd does not know this session").
			On("session", strconv.FormatInt(r.GetSession(), 10)).Fix("register the node again with a new session")
	}
	return newStream(r.GetNode(), r.GetSession()), nil
}

func (m *Maintainer) sameCluster(name string) error {
	if own := m.cfg.Layout.ClusterName(); name != own {
		return fault.New(fault.WrongCluster, "this maintainer belongs to cluster %s", own).
			On("cluster", name).Fix("give both the same --cluster, or the address of the right one")
	}
	return nil
}

// ended says why a stream of a term is over: not by itself if the term is.
func (m *Maintainer) ended(t *term, err error) error {
	switch {
	case t.over.Err() != nil:
		return m.notLeader()
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// notLeader sends the caller to the leader, if there is another one. A leader that has just lost its seat may not have
// seen that yet.
func (m *Maintainer) notLeader() error {
	e := fault.New(fault.NotLeader, "this maintainer does not lead")
	if addr := m.leaderAddress(); addr != "" && addr != m.cfg.Advertise {
		return e.Fix("ask %s", addr)
	}
	return e.Fix("wait until one is elected")
}

// inbox is what a stream's peer says, one message at a time. err is set before messages is closed.
type inbox[T any] struct {
	messages chan *T
	err      error
}

// receive reads until the stream ends, which it does at the latest when its handler has returned.
func receive[T any](ctx context.Context, m *Maintainer, recv func() (*T, error)) *inbox[T] {
	in := &inbox[T]{messages: make(chan *T)}
	m.serving.Go(func() {
		defer close(in.messages)
		for {
			msg, err := recv()
			if err != nil {
				in.err = err
				return
			}
			select {
			case in.messages <- msg:
			case <-ctx.Done():
				in.err = ctx.Err()
				return
			}
		}
	})
	return in
}

// next is the next message, which has to come in time.
func next[T any](ctx context.Context, t *term, in *inbox[T], limit time.Duration) (*T, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case msg, ok := <-in.messages:
		if !ok {
			return nil, in.err
		}
		return msg, nil
	case <-timer.C:
		return nil, fault.New(fault.Refused, "said nothing for %v", limit)
	case <-t.over.Done():
		return nil, t.over.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
