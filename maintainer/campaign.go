package maintainer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/election"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/leases"
)

// handOver is how long a leader that has resigned to a successor leaves etcd to that one. Ending its own session at the
// same moment would double the time that the successor takes.
const handOver = 50 * time.Millisecond

// session holds one session with etcd from grant to end: registered, and campaigning or leading. ctx ends when the
// process is to stop cleanly, inner when nothing may be done any more.
func (m *Maintainer) session(ctx, inner context.Context) error {
	s, err := m.grant(inner)
	if err != nil {
		return err
	}
	renewing, stop := context.WithCancel(inner)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		_ = s.Run(renewing) // why it ended is in the session
	}()
	defer func() { stop(); <-renewed }()
	alive, done := until(ctx, inner, s)
	defer done()
	err = m.register(alive, s)
	if err == nil {
		err = m.campaign(alive, inner, s)
	}
	if inner.Err() != nil {
		return context.Cause(inner)
	}
	return errors.Join(err, m.revoke(inner, s))
}

func (m *Maintainer) grant(ctx context.Context) (*leases.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.RequestTimeout)
	defer cancel()
	return leases.Grant(ctx, m.cfg.Client, leases.Config{
		TTL: m.cfg.TTL, Clock: m.clock, Healthy: m.healthy, Logger: m.log,
	})
}

// revoke ends the session, so that whoever waits for the name or the seat need not wait for the TTL.
func (m *Maintainer) revoke(ctx context.Context, s *leases.Session) error {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.RequestTimeout)
	defer cancel()
	if err := s.Revoke(ctx); err != nil {
		m.log.Warn("session not revoked: it ends with its ttl", zap.Error(err))
	}
	return nil
}

// until derives a context that ends with ctx, with inner, or with the session.
func until(ctx, inner context.Context, s *leases.Session) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(inner, func() { cancel(context.Cause(inner)) })
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-s.Lost():
			cancel(s.Err())
		case <-ctx.Done():
		}
	}()
	return ctx, func() { stop(); cancel(nil); <-gone }
}

// campaign takes the seat whenever it is free, and leads, until ctx ends.
func (m *Maintainer) campaign(ctx, inner context.Context, s *leases.Session) error {
	c, err := election.New(election.Config{
		Client: m.cfg.Client, Key: m.cfg.Layout.Leader(), Session: s, Logger: m.log,
		Self: record.Leader{Maintainer: m.cfg.Name, Instance: m.instance, Address: m.cfg.Advertise},
	})
	if err != nil {
		return fmt.Errorf("campaign: %w", err)
	}
	m.campaigning.Store(true)
	defer m.campaigning.Store(false)
	for ctx.Err() == nil {
		if err := m.hit(ctx, "maintainer/any/campaign/before"); err != nil {
			return err
		}
		seat, err := m.elect(ctx, c)
		if err != nil {
			if ctx.Err() == nil {
				m.log.Warn("campaign interrupted", zap.Error(err))
				pause(ctx, sessionPause)
			}
			continue
		}
		won := time.Now()
		if err := m.hit(ctx, "maintainer/any/campaign/after"); err != nil {
			return err
		}
		if err := m.hold(ctx, inner, seat, won); err != nil {
			return err
		}
	}
	if s.Err() != nil {
		return s.Err()
	}
	return nil
}

// elect waits for the seat. When a standby stream has shown that the leader's process is gone, it is deposed; the
// campaign goes on meanwhile, since its watch of the key is warm.
func (m *Maintainer) elect(ctx context.Context, c *election.Candidate) (*election.Seat, error) {
	campaigning, stop := context.WithCancel(ctx)
	type result struct {
		seat *election.Seat
		err  error
	}
	got := make(chan result, 1)
	go func() {
		seat, err := c.Campaign(campaigning)
		got <- result{seat, err}
	}()
	for {
		select {
		case r := <-got:
			stop()
			return r.seat, r.err
		case e := <-m.evidence:
			seat := m.depose(ctx, c, e)
			if seat == nil {
				continue
			}
			stop()
			if r := <-got; r.err == nil {
				return r.seat, nil // that term was over already, and this is the next
			}
			return seat, nil
		}
	}
}

// depose takes the seat from a leader that is gone, nil if it was not to be had; then the campaign decides.
func (m *Maintainer) depose(ctx context.Context, c *election.Candidate, e election.Evidence) *election.Seat {
	seat, err := c.Depose(ctx, e)
	if err != nil {
		m.log.Debug("not deposed", zap.Int64("term", e.Term), zap.Error(err))
		return nil
	}
	m.log.Info("deposed a leader whose process is gone", zap.Int64("term", e.Term), zap.String("instance", e.Instance))
	return seat
}

// hold leads until the seat is lost or the process is to stop; then it names a successor and resigns, last of all.
func (m *Maintainer) hold(ctx, inner context.Context, seat *election.Seat, won time.Time) error {
	over, end := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		end(seat.Run(over))
	}()
	err := m.govern(over, seat.Term(), won)
	end(nil)
	<-watched
	m.log.Info("no longer leading", zap.Int64("term", seat.Term()), zap.Error(err))
	if inner.Err() != nil {
		return context.Cause(inner)
	}
	return m.resign(ctx, inner, seat)
}

// resign gives the seat up, to a standby that is up to date if the process stops.
func (m *Maintainer) resign(ctx, inner context.Context, seat *election.Seat) error {
	if seat.Err() != nil {
		return nil
	}
	successor := ""
	if ctx.Err() != nil {
		successor = m.standbys.successor()
	}
	if err := m.hit(inner, "maintainer/any/resign/before"); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(inner, m.cfg.ResignTimeout)
	defer cancel()
	if err := seat.Resign(limited, successor); err != nil {
		m.log.Warn("not resigned: the seat is free when the session is over", zap.Error(err))
		return nil
	}
	m.log.Info("resigned", zap.Int64("term", seat.Term()), zap.String("successor", successor))
	if err := m.hit(inner, "maintainer/any/resign/after"); err != nil {
		return err
	}
	if successor != "" {
		pause(inner, handOver)
	}
	return nil
}
