package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
)

// seat is who leads, as the leader key says.
type seat struct {
	term    int64
	address string
}

// stream keeps one session with whoever leads. It never touches what the loop owns.
type stream struct {
	d     *Dispatcher
	log   *zap.Logger
	me    *session
	loop  *loop
	seats chan seat
}

// run follows the leader key and holds a stream to whom it names, until ctx ends.
func (s *stream) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		watchKey(ctx, s.d.cfg.Client, s.log, s.d.cfg.Cluster.Leader(), func(v sight) bool { return s.sit(ctx, v) })
		return nil
	})
	g.Go(func() error { s.follow(ctx); return nil })
	return g.Wait()
}

// sit hands on who leads now; a seat that nobody has is the zero one.
func (s *stream) sit(ctx context.Context, v sight) bool {
	var now seat
	if v.kv != nil {
		l, err := record.DecodeLeader(v.kv.Value)
		switch {
		case err != nil:
			s.log.Error("leader record cannot be read", zap.Error(err), zap.Int64("revision", v.kv.ModRevision))
		case !l.Resigned:
			now = seat{term: v.kv.ModRevision, address: l.Address}
		}
	}
	select {
	case s.seats <- now:
		return true
	case <-ctx.Done():
		return false
	}
}

// follow holds one stream at a time, to the newest seat.
func (s *stream) follow(ctx context.Context) {
	var now seat
	for ctx.Err() == nil {
		if now.term == 0 {
			select {
			case now = <-s.seats:
			case <-ctx.Done():
			}
			continue
		}
		now = s.stay(ctx, now)
	}
}

// stay dials a seat again and again until another one is taken, which it returns.
func (s *stream) stay(ctx context.Context, now seat) seat {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	defer func() {
		cancel()
		<-done
	}()
	go func() {
		defer close(done)
		s.dialAgain(ctx, now)
	}()
	for {
		select {
		case next := <-s.seats:
			if next != now {
				return next
			}
		case <-ctx.Done():
			return now
		}
	}
}

func (s *stream) dialAgain(ctx context.Context, now seat) {
	log := s.log.With(zap.Int64("term", now.term), zap.String("address", now.address))
	wait, said := retryPause, false
	for ctx.Err() == nil {
		start := time.Now()
		err := s.talk(ctx, now, log)
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) > maxRetryPause {
			wait, said = retryPause, false
		}
		if !said {
			log.Warn("stream to the leader broke", zap.Error(err))
			said = true
		}
		_ = pause(ctx, wait/2+jitter(wait))
		wait = min(2*wait, maxRetryPause)
	}
}

var errStreamOver = errors.New("the leader ended the stream")

// talk opens a stream, registers, and carries reports one way and asks the other until it breaks.
func (s *stream) talk(ctx context.Context, now seat, log *zap.Logger) error {
	conn, err := s.d.cfg.Dial(now.address)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	str, err := sessionv1.NewSessionClient(conn).Dispatch(ctx)
	if err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	err = str.Send(&sessionv1.DispatchRequest{Register: &sessionv1.Register{
		Cluster: s.d.cfg.Cluster.ClusterName(), Node: s.d.cfg.Name, Session: s.me.id, Instance: s.me.instance,
	}})
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("register: %w", err)
	}
	g.Go(func() error { return s.report(ctx, str, log) })
	g.Go(func() error { return s.listen(ctx, str) })
	return g.Wait()
}

func (s *stream) listen(ctx context.Context, str sessionv1.Session_DispatchClient) error {
	for {
		m, err := str.Recv()
		if err != nil {
			return errors.Join(errStreamOver, err)
		}
		select {
		case s.loop.asks <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// report sends whatever there is to say, one message at a time: a slow stream makes reports fewer, not longer queues.
func (s *stream) report(ctx context.Context, str sessionv1.Session_DispatchClient, log *zap.Logger) error {
	for full := true; ; full = false {
		r, err := s.pull(ctx, s.first(ctx, full))
		if err != nil {
			return err
		}
		if full {
			log.Info("reporting to the leader", zap.Int("spans", len(r.Spans)), zap.Int64("revision", r.Revision))
		}
		p := reportOf(r)
		if err := s.d.hit(ctx, p.before); err != nil {
			return err
		}
		r.MayActForMs = s.me.mayActFor().Milliseconds()
		if err := str.Send(&sessionv1.DispatchRequest{Report: r}); errors.Is(err, io.EOF) {
			return nil // listen gets the reason
		} else if err != nil {
			return fmt.Errorf("report: %w", err)
		}
		if err := s.d.hit(ctx, p.after); err != nil {
			return err
		}
	}
}

// first is the pull of a full report, on a new stream: it is as new as etcd is now. What was written before is in the
// actors or, if its answer is still to come, reported as pending. Without it a session that writes nothing would go on
// reporting at a revision that the leader's own writes have overtaken.
func (s *stream) first(ctx context.Context, full bool) pull {
	p := pull{full: full}
	if !full {
		return p
	}
	try, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if r, err := s.d.cfg.Client.Get(try, s.d.cfg.Cluster.Node(s.d.cfg.Name), clientv3.WithCountOnly()); err == nil {
		p.revision = r.Header.Revision
	}
	return p
}

func (s *stream) pull(ctx context.Context, p pull) (*sessionv1.Report, error) {
	p.reply = make(chan *sessionv1.Report, 1)
	select {
	case s.loop.pulls <- p:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case r := <-p.reply:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
