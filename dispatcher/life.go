package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

var (
	// errLost ends a session that the process outlives.
	errLost = errors.New("the session is over")
	// errStopped ends a session with which nothing runs any more.
	errStopped = errors.New("stopped")
	// errLate ends a session whose clean stop took too long.
	errLate = errors.New("the bound of a clean stop was reached")
	// errEvicted ends a session that an administrator has declared dead.
	errEvicted = errors.New("the node was evicted")
)

// live carries one session to its end. ctx ends when the process dies; stop is closed for a clean stop.
func (d *Dispatcher) live(ctx context.Context, stop <-chan struct{}, s *session) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	env := operator.Env{
		Layout: d.cfg.Cluster, Generation: s.generation, Me: operator.Identity{Node: d.cfg.Name, Session: s.id},
	}
	l := newLoop(d, s, env, end)
	d.stats.begin(s, l.runs)
	defer d.stats.reset()
	d.cfg.Observer.Renewed(s.lease.MayActUntil()) // the grant counts, and whoever watches must know before anything opens
	str := &stream{d: d, log: s.log.Named("stream"), me: s, loop: l, seats: make(chan seat)}
	var g sync.WaitGroup
	g.Go(func() { d.guard(ctx, end, s, l.runs) })
	g.Go(func() { _ = s.lease.Run(ctx) })
	g.Go(func() { d.tellRenewals(ctx, s, l) })
	g.Go(func() { d.watchSelf(ctx, end, s) })
	g.Go(func() { d.watchEviction(ctx, end, s) })
	g.Go(func() { _ = str.run(ctx) })
	left := l.work(ctx, stop)
	if left == 0 {
		end(errStopped)
	}
	end(errLate)
	g.Wait()
	return d.part(ctx, stop, s, l.runs, left)
}

// guard aborts everything the moment that the session is over, whatever the loop, etcd and the leader do.
func (d *Dispatcher) guard(ctx context.Context, end context.CancelCauseFunc, s *session, runs *instances) {
	select {
	case <-s.lease.Lost():
		end(fmt.Errorf("%w: %w", errNoRight, s.lease.Err()))
	case <-ctx.Done():
	}
	if errors.Is(context.Cause(ctx), errStopped) {
		return
	}
	// Whoever writes down what the loss has hit should do so before it is gone, but must not hold it up.
	noted := make(chan struct{})
	go func() {
		defer close(noted)
		d.cfg.Observer.Fenced()
	}()
	select {
	case <-noted:
	case <-time.After(fencedPause):
	}
	if n := runs.fence(); n > 0 {
		s.log.Warn("session over: everything that runs is aborted", zap.Int("spans", n), zap.Error(context.Cause(ctx)))
	}
	<-noted
}

func (d *Dispatcher) tellRenewals(ctx context.Context, s *session, l *loop) {
	for {
		select {
		case <-s.lease.Renewed():
			d.cfg.Observer.Renewed(s.lease.MayActUntil())
			select {
			case l.renewed <- struct{}{}:
			default:
			}
		case <-ctx.Done():
			return
		}
	}
}

// watchSelf ends the session when its node key goes, or says that the process is dead.
func (d *Dispatcher) watchSelf(ctx context.Context, end context.CancelCauseFunc, s *session) {
	watchKey(ctx, d.cfg.Client, s.log, d.cfg.Cluster.Node(d.cfg.Name), func(v sight) bool {
		if v.kv == nil || v.kv.CreateRevision != s.id {
			end(errNodeKey)
			return false
		}
		n, err := record.DecodeNode(v.kv.Value)
		if err == nil && n.Ended != record.EndedNot {
			end(fmt.Errorf("the node key says that the process ended: %v", n.Ended))
			return false
		}
		return true
	})
}

// watchEviction ends the session when an administrator says so; the node key follows, but perhaps later.
func (d *Dispatcher) watchEviction(ctx context.Context, end context.CancelCauseFunc, s *session) {
	watchKey(ctx, d.cfg.Client, s.log, d.cfg.Cluster.NodeConfig(d.cfg.Name), func(v sight) bool {
		if v.kv == nil {
			return true
		}
		c, err := record.DecodeNodeConfig(v.kv.Value)
		if err == nil && c.Evicted == s.id {
			end(errEvicted)
			return false
		}
		return true
	})
}

// part says good-bye to etcd as far as that is true: nothing of the session runs in this process any more.
func (d *Dispatcher) part(ctx context.Context, stop <-chan struct{}, s *session, runs *instances, left int) error {
	cause := context.Cause(ctx)
	var dead killed
	if errors.As(cause, &dead) {
		_ = d.awaitEnd(s, runs, closedChannel())
		return cause
	}
	ctx = context.WithoutCancel(ctx)
	switch {
	case errors.Is(cause, errStopped):
		// Nothing runs; a call that an abort has cut short may not have noticed.
		_ = d.awaitEnd(s, runs, closedChannel())
		d.finish(ctx, s, record.EndedClean)
		return nil
	case errors.Is(cause, errLate):
		if d.awaitEnd(s, runs, closedChannel()) {
			d.finish(ctx, s, record.EndedNot)
		}
		return fmt.Errorf("%w: %d spans had not closed after %v and were aborted", errLate, left, d.cfg.StopTimeout)
	}
	s.log.Warn("session lost, a new one follows", zap.Error(cause))
	if !d.awaitEnd(s, runs, stop) {
		return fmt.Errorf("%w, and %d instances have not ended: %w", errLate, runs.running(), cause)
	}
	d.past[s.instance] = true
	d.finish(ctx, s, record.EndedDead)
	return fmt.Errorf("%w: %w", errLost, cause)
}

// awaitEnd waits until nothing runs: a new session must not open what an old one still writes. Once hurry is closed
// it gives up after a while.
func (d *Dispatcher) awaitEnd(s *session, runs *instances, hurry <-chan struct{}) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runs.calls.Wait()
	}()
	var bound <-chan time.Time
	for {
		select {
		case <-done:
			return true
		case <-hurry:
			hurry, bound = nil, time.After(endPause)
		case <-bound:
			return false
		case <-time.After(complainEvery):
			s.log.Error("instances of a lost session do not end; the node stays away until they do", zap.Int("spans", runs.running()))
		}
	}
}

// complainEvery is how often a workload that does not end is complained about.
const complainEvery = 10 * time.Second

func closedChannel() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// finish marks how the session has ended, if that is known, and revokes its lease. All of it is a courtesy that spares
// the leader a wait.
func (d *Dispatcher) finish(ctx context.Context, s *session, how record.Ended) {
	p := failpointsOf("any", "revoke")
	if d.hit(ctx, p.before) != nil {
		return
	}
	if how != record.EndedNot {
		d.mark(ctx, s, how)
	}
	d.revoke(ctx, s)
	_ = d.hit(ctx, p.after)
}

func (d *Dispatcher) mark(ctx context.Context, s *session, how record.Ended) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	key := d.cfg.Cluster.Node(d.cfg.Name)
	s.node.Ended = how
	_, err := d.settleOne(ctx, s, txn.Part{
		If:   []txn.Cmp{txn.Created(key, s.id)},
		Then: []txn.Op{txn.PutLeased(key, record.EncodeNode(s.node))},
	})
	if err != nil {
		d.log.Warn("node could not be marked as ended", zap.Error(err))
	}
}

// revoke ends the lease as well as it can within a bound; else the lease ends by itself.
func (d *Dispatcher) revoke(ctx context.Context, s *session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := s.lease.Revoke(ctx); err != nil {
		d.log.Warn("lease could not be revoked; it ends by itself", zap.Error(err), zap.Duration("ttl", s.lease.TTL()))
	}
}

// revoked ends somebody's lease; one that is gone is no error.
func revoked(ctx context.Context, c *clientv3.Client, id clientv3.LeaseID) error {
	_, err := c.Revoke(ctx, id)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return err
}
