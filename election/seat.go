package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/spanward/spanward/internal/record"
)

// resignTimeout bounds what Hold does after the work has returned.
const resignTimeout = 5 * time.Second

// Seat is one term of this candidate.
type Seat struct {
	candidate *Candidate
	term      int64
	lost      chan struct{}

	mu   sync.Mutex
	over error // why the term is over; it never is unset
	gone bool  // the key is known to show something else
}

// Term is the mod revision of the key.
func (s *Seat) Term() int64 { return s.term }

// Fence is true in a transaction exactly while the term lasts.
func (s *Seat) Fence() clientv3.Cmp { return unchanged(s.candidate.cfg.Key, s.term) }

// Lost is closed when the term is over, as seen by Run or made by Resign.
func (s *Seat) Lost() <-chan struct{} { return s.lost }

// Err is why the term is over (errors.Is ErrTermOver), or nil while it is not known to be.
func (s *Seat) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

func (s *Seat) end(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return
	}
	s.over = cause
	close(s.lost)
	s.candidate.cfg.Logger.Info("term over", zap.Int64("term", s.term), zap.Error(cause))
}

// Run watches the key until the term is over, and returns why, or until ctx ends, and returns nil.
func (s *Seat) Run(ctx context.Context) error {
	ctx, release := s.candidate.whileSession(ctx)
	defer release()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.watch(ctx) })
	g.Go(func() error {
		select {
		case <-s.lost:
			return s.Err()
		case <-ctx.Done():
			return nil
		}
	})
	_ = g.Wait() // the reason is in the seat
	return s.Err()
}

// watch follows the key from the revision after the term.
func (s *Seat) watch(ctx context.Context) error {
	c := s.candidate
	f := newFollower(c.cfg.Client, c.cfg.Key, c.cfg.Logger)
	defer f.close()
	f.cur, f.read = Holder{Term: s.term, Revision: s.term}, time.Now()
	changed, err := f.wait(ctx, forever)
	switch {
	case changed:
		s.mu.Lock()
		s.gone = true
		s.mu.Unlock()
		s.end(fmt.Errorf("%w: %s", ErrTermOver, f.cur))
	case c.cfg.Session.Err() != nil:
		s.end(fmt.Errorf("%w: %w", ErrTermOver, c.cfg.Session.Err()))
	case ctx.Err() == nil:
		s.end(fmt.Errorf("%w: %w", ErrTermOver, err))
	}
	return s.Err()
}

// Resign ends the term and leaves the seat to a successor; others may take it after a grace, or at once if the successor
// is "". Nothing of the term may still be under way: see Hold. It may be called again; nil means that the key no longer
// shows this term, even if that is not Resign's doing.
func (s *Seat) Resign(ctx context.Context, successor string) error {
	s.end(ErrResigned)
	value := s.candidate.cfg.Self
	value.Resigned, value.Successor = true, successor
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		if s.isGone() {
			return nil
		}
		// The same transaction until the answer is definite: if a lost one was carried out, this one finds another
		// revision.
		err := s.leave(ctx, string(record.EncodeLeader(value)))
		if err == nil || hopeless(err) || ctx.Err() != nil {
			return err
		}
		s.candidate.cfg.Logger.Warn("outcome of the resignation unknown", zap.Int64("term", s.term), zap.Error(err))
		sleep(ctx, pause)
	}
}

func (s *Seat) isGone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

func (s *Seat) leave(ctx context.Context, value string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.candidate.cfg.Client.Txn(ctx).If(s.Fence()).Then(clientv3.OpPut(s.candidate.cfg.Key, value)).Commit()
	if err != nil {
		return fmt.Errorf("resign: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	return nil
}

// Hold does the work of a term. The context of the work ends with the term, with the reason as its cause. Hold returns
// after the work has, so that nothing of one term outlives it, and resigns last, to whom successor then names. It returns
// the first error of the work or ErrTermOver, and what kept it from resigning.
func Hold(ctx context.Context, seat *Seat, successor func() string, work func(ctx context.Context, term int64) error) error {
	g, gctx := errgroup.WithContext(ctx)
	scope, end := context.WithCancelCause(gctx)
	g.Go(func() error {
		defer end(nil)
		return work(scope, seat.Term())
	})
	g.Go(func() error {
		err := seat.Run(scope)
		end(err)
		return err
	})
	err := g.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), resignTimeout)
	defer cancel()
	return errors.Join(err, seat.Resign(last, successor()))
}
