package main

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/client"
	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/fault"
)

// drainPoll is between two looks at whether anything runs.
const drainPoll = 20 * time.Millisecond

// drainer is a dispatcher that is told to stop: it has its spans moved elsewhere first, as far as that is done in time.
// What is left is closed and handed back, like without it. A second signal kills meanwhile.
type drainer struct {
	role server
	// runs tells the session that lives, 0 for none, and how many spans it has.
	runs func() (session, spans int64)
	// ask asks the leader to drain a session. stuck: none of its spans can go anywhere.
	ask     func(ctx context.Context, session int64) (stuck bool, err error)
	timeout time.Duration
	log     *zap.Logger
}

// Run returns when the role has stopped.
func (d *drainer) Run(ctx context.Context) error {
	inner, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), context.Canceled) { // else something has failed, and there is no time
				d.drain(alive)
			}
			stop(context.Cause(ctx))
		case <-alive.Done():
		}
	}()
	err := d.role.Run(inner)
	end()
	<-drained
	return err
}

// drain returns when nothing runs any more, nothing can go anywhere, the time is up, or the role has ended by itself.
func (d *drainer) drain(alive context.Context) {
	ctx, cancel := context.WithTimeout(alive, d.timeout)
	defer cancel()
	began, asked := time.Now(), int64(0)
	for {
		session, spans := d.runs()
		if session != 0 && spans == 0 {
			d.log.Info("drained", zap.Duration("after", time.Since(began).Round(time.Millisecond)))
			return
		}
		if session != 0 && session != asked { // a new session is not drained by the request of an old one
			d.log.Info("draining before the stop", zap.Int64("session", session), zap.Int64("spans", spans), zap.Duration("timeout", d.timeout))
			stuck, err := d.ask(ctx, session)
			if err != nil && ctx.Err() == nil && !fault.Is(err, fault.Refused) {
				d.log.Warn("cannot be drained: the spans are handed back", zap.Error(err))
				return
			}
			if err == nil && stuck {
				d.log.Info("no span can go anywhere: they are handed back", zap.Int64("spans", spans))
				return
			}
			asked = session
		}
		select {
		case <-time.After(drainPoll):
		case <-ctx.Done():
			_, spans := d.runs()
			d.log.Warn("not drained in time: the rest is handed back", zap.Int64("spans", spans), zap.Duration("timeout", d.timeout))
			return
		}
	}
}

// draining wraps a dispatcher. Its client finds the leader through etcd.
func (f *dispatcherCommand) draining(b *baggage, d *dispatcher.Dispatcher) (server, func(), error) {
	if f.drainTimeout == 0 {
		return d, func() {}, nil
	}
	c, err := client.New(client.Config{
		Cluster: b.layout.ClusterName(), Find: client.FromEtcd(b.etcd, b.layout), TLS: b.clientTLS,
	})
	if err != nil {
		return nil, nil, err
	}
	return &drainer{
		role: d, timeout: f.drainTimeout, log: b.log,
		runs: func() (int64, int64) {
			s := d.Stats()
			return s.Session, s.Opening + s.Running + s.Closing
		},
		ask: func(ctx context.Context, session int64) (bool, error) {
			resp, err := c.Control().DrainNode(ctx, &controlv1.DrainNodeRequest{
				RequestId: uuid.NewString(), Name: f.name, Force: true, ThisSession: true, Session: session,
			})
			return resp.GetCanMove() == 0 && resp.GetCannotMove() > 0, err
		},
	}, func() { _ = c.Close() }, nil
}
