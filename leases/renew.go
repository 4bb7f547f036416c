package leases

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

const (
	// maxTries bounds the attempts under way at the same time.
	maxTries = 3
	// retryPause keeps attempts that fail at once from becoming a busy loop.
	retryPause = 20 * time.Millisecond
)

// Run renews the session until the right to act is over, and returns why (errors.Is ErrExpired), or until ctx ends, and
// returns nil: the lease is then left as it is, for Revoke or for its TTL.
func (s *Session) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.watchClock(ctx) })
	g.Go(func() error { return s.renew(ctx) })
	err := g.Wait()
	if over := s.Err(); over != nil {
		if !errors.Is(over, ErrRevoked) {
			s.cfg.Logger.Warn("session lost", zap.Error(over))
		}
		return over
	}
	return err
}

// watchClock ends the right at its moment, whatever etcd does.
func (s *Session) watchClock(ctx context.Context) error {
	for {
		left := s.Remaining()
		if left == 0 {
			return s.Err()
		}
		if !s.sleep(ctx, min(left, s.cfg.pollInterval())) {
			return s.Err()
		}
	}
}

// renew keeps the lease alive, one round of attempts per interval.
func (s *Session) renew(ctx context.Context) error {
	withheld := false
	for {
		if wait := s.due(); wait > 0 {
			// Short sleeps, for the same reason as in watchClock.
			if !s.sleep(ctx, min(wait, s.cfg.pollInterval())) {
				return s.Err()
			}
			continue
		}
		if !s.cfg.Healthy() {
			if !withheld {
				s.cfg.Logger.Warn("renewal withheld: the process makes no progress", zap.Duration("remaining", s.Remaining()))
			}
			withheld = true
			if !s.sleep(ctx, s.cfg.pollInterval()) {
				return s.Err()
			}
			continue
		}
		withheld = false
		if err := s.round(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// round sends renewals until one is answered, the right is over or ctx ends. An attempt that is not answered in a third
// of its time is left alone and another one sent beside it: clientv3's balancer gives each stream the next endpoint, so
// an endpoint that hangs costs that third only, and an answer that is merely slow still counts, with its own send time.
func (s *Session) round(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan error, maxTries)
	var tries sync.WaitGroup
	defer tries.Wait()
	defer cancel()
	flying := 0
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			if flying < maxTries {
				flying++
				tries.Go(func() { answers <- s.try(ctx) })
			}
			next.Reset(s.cfg.TryTimeout / maxTries)
		case err := <-answers:
			flying--
			if err == nil || s.Err() != nil {
				return s.Err()
			}
			next.Reset(retryPause)
		case <-s.lost:
			return s.Err()
		case <-ctx.Done():
			return nil
		}
	}
}

// try sends one renewal. What counts is when it was sent: etcd may have handled it right then.
func (s *Session) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.TryTimeout)
	defer cancel()
	sent := s.cfg.Clock()
	r, err := s.client.KeepAliveOnce(ctx, s.id)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		s.Gone()
		return err
	}
	if err != nil {
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			s.cfg.Logger.Warn("renewal not answered", zap.Error(err), zap.Duration("remaining", s.Remaining()))
		}
		return err
	}
	s.extend(sent, time.Duration(r.TTL)*time.Second)
	return nil
}

// sleep waits. It reports false if the session or ctx is over.
func (s *Session) sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.lost:
	case <-ctx.Done():
	}
	return false
}
