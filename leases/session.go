package leases

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Errors that end a session.
var (
	// ErrExpired says that the right to act is over, or that etcd has dropped the lease.
	ErrExpired = errors.New("the session with etcd is over")
	// ErrRevoked says that Revoke ended the session.
	ErrRevoked = fmt.Errorf("%w: revoked", ErrExpired)

	errGone = fmt.Errorf("%w: etcd no longer has its lease", ErrExpired)
)

// Session is a lease and the right to act that goes with it.
type Session struct {
	cfg    Config
	client *clientv3.Client
	id     clientv3.LeaseID
	ttl    time.Duration

	renewed chan struct{}
	lost    chan struct{}

	mu    sync.Mutex
	sent  time.Duration // when the last answered renewal was sent, on the clock
	until time.Duration // the end of the right to act, on the clock
	over  error         // why the right is over; it never is unset
}

// Grant asks etcd for a lease. It starts nothing: the right to act ends by itself unless Run renews it. If the answer is
// lost, etcd may hold a lease without keys that nobody knows; it goes away after its TTL.
func Grant(ctx context.Context, client *clientv3.Client, cfg Config) (*Session, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	// An answer that takes longer would carry no right to act.
	ctx, cancel := context.WithTimeout(ctx, cfg.TTL-cfg.Margin)
	defer cancel()
	sent := cfg.Clock()
	r, err := client.Grant(ctx, int64(cfg.TTL/time.Second))
	if err != nil {
		return nil, fmt.Errorf("grant a lease of %v: %w", cfg.TTL, err)
	}
	s := &Session{
		cfg: cfg, client: client, id: r.ID, ttl: time.Duration(r.TTL) * time.Second,
		renewed: make(chan struct{}, 1), lost: make(chan struct{}),
		sent: sent, until: sent + time.Duration(r.TTL)*time.Second - cfg.Margin,
	}
	s.cfg.Logger = cfg.Logger.With(zap.String("lease", fmt.Sprintf("%x", int64(r.ID))))
	return s, nil
}

// ID is the lease, for the keys that belong to this process.
func (s *Session) ID() clientv3.LeaseID { return s.id }

// TTL is what etcd granted.
func (s *Session) TTL() time.Duration { return s.ttl }

// Now reads the session's clock.
func (s *Session) Now() time.Duration { return s.cfg.Clock() }

// MayAct reports whether the process may still act. Once false it stays so.
func (s *Session) MayAct() bool { return s.Remaining() > 0 }

// MayActUntil is the end of the right to act on the session's clock, as far as it is known now. It lies in the past once
// the right is over, and moves on with every answered renewal before.
func (s *Session) MayActUntil() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until
}

// Remaining is how long the right to act lasts if no renewal is answered any more; zero once it is over.
func (s *Session) Remaining() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remaining()
}

// remaining ends the right if its moment has passed, so that a renewal answered later cannot bring it back after
// somebody was told that it is over. The caller holds mu.
func (s *Session) remaining() time.Duration {
	if s.over != nil {
		return 0
	}
	now := s.cfg.Clock()
	if now < s.until {
		return s.until - now
	}
	s.endLocked(fmt.Errorf("%w: no renewal was answered for %v", ErrExpired, (now - s.sent).Round(time.Millisecond)))
	return 0
}

// Lost is closed as soon as the right to act is over; see Err for the reason. While Run runs that takes no call of
// MayAct or Remaining.
func (s *Session) Lost() <-chan struct{} { return s.lost }

// Err is why the right to act is over, or nil while it is not.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remaining()
	return s.over
}

// Renewed has something to receive after the end of the right has moved. Several moves may be reported as one.
func (s *Session) Renewed() <-chan struct{} { return s.renewed }

// Revoke ends the right to act and then the lease, with every key on it. It tries a few times, since an endpoint may hang,
// and may be called again: after an error, or after the session was lost, to take away what etcd may still hold.
func (s *Session) Revoke(ctx context.Context) error {
	s.end(ErrRevoked)
	var err error
	for range maxTries {
		if err = s.revoke(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

func (s *Session) revoke(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.TryTimeout)
	defer cancel()
	_, err := s.client.Revoke(ctx, s.id)
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("revoke the lease: %w", err)
	}
	return nil
}

// Gone ends the right to act: etcd has told somebody other than Run that it no longer has the lease.
func (s *Session) Gone() { s.end(errGone) }

// extend records an answered renewal. It reports false if the right was over before the answer came.
func (s *Session) extend(sent, ttl time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.remaining() == 0 {
		return false
	}
	if sent > s.sent {
		s.sent, s.until = sent, sent+ttl-s.cfg.Margin
	}
	select {
	case s.renewed <- struct{}{}:
	default:
	}
	return true
}

func (s *Session) end(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(cause)
}

func (s *Session) endLocked(cause error) {
	if s.over != nil {
		return
	}
	// The moment is moved as well: what was declared before stays true, and nobody may count on more.
	s.over, s.until = cause, min(s.until, s.cfg.Clock())
	close(s.lost)
}

// due is how long to wait until the next renewal should be sent.
func (s *Session) due() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent + s.cfg.renewInterval() - s.cfg.Clock()
}
