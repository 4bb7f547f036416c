package election

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/leases"
)

// forever is the patience with a leader.
const forever = time.Duration(-1)

// Campaign waits until this candidate has won the seat. It ends with an error when ctx ends, when the session is lost
// (errors.Is leases.ErrExpired), or when etcd denies access; what happened to a request that was then under way is found
// out by the next call. It does not return a seat whose term has been this candidate's before.
func (c *Candidate) Campaign(ctx context.Context) (*Seat, error) {
	if c.seated() {
		return nil, ErrSeated
	}
	ctx, release := c.whileSession(ctx)
	defer release()
	f := newFollower(c.cfg.Client, c.cfg.Key, c.cfg.Logger)
	defer f.close()
	if err := f.reread(ctx); err != nil {
		return nil, err
	}
	for {
		if c.mine(f.cur) && !c.used(f.cur.Term) {
			return c.won(f.cur.Term)
		}
		ready, err := c.await(ctx, f)
		if err != nil {
			return nil, err
		}
		if !ready {
			continue
		}
		if seat, err := c.seize(ctx, f); seat != nil || err != nil {
			return seat, err
		}
	}
}

// await lets what the key says be for as long as that deserves. It reports true if this candidate may now take the seat.
func (c *Candidate) await(ctx context.Context, f *follower) (bool, error) {
	if c.cfg.Draining() {
		_, err := f.wait(ctx, drainPoll)
		return false, err
	}
	patience := c.patience(f.cur)
	if patience == 0 {
		return true, nil
	}
	if f.cur.Term != 0 && !f.cur.Leads() && !f.cur.Resigned {
		c.cfg.Logger.Error("leader key holds something foreign", zap.Int64("revision", f.cur.Term), zap.Error(f.cur.Problem))
	}
	changed, err := f.wait(ctx, patience)
	return !changed && !c.cfg.Draining(), err
}

// patience is how long a candidate waits with that before it.
func (c *Candidate) patience(h Holder) time.Duration {
	switch {
	case h.Term == 0, c.mine(h):
		return 0
	case h.Leads():
		return forever
	case h.Resigned && (h.Successor == "" || h.Successor == c.cfg.Self.Maintainer):
		return 0
	}
	return c.cfg.Grace
}

// seize swaps the key for this candidate's until the outcome is definite. It returns nil if the key says something else
// by then, which the follower has learned.
func (c *Candidate) seize(ctx context.Context, f *follower) (*Seat, error) {
	from := f.cur.Term
	for pause := firstPause; f.cur.Term == from; pause = min(2*pause, longestPause) {
		term, err := c.swap(ctx, f)
		if term != 0 {
			return c.won(term)
		}
		if err == nil {
			break // somebody was quicker, or an earlier attempt was carried out
		}
		if hopeless(err) || errors.Is(err, leases.ErrExpired) {
			return nil, err
		}
		c.cfg.Logger.Warn("outcome of the election unknown", zap.Error(err))
		if err := f.reread(ctx); err != nil {
			return nil, err
		}
		if f.cur.Term == from {
			sleep(ctx, pause)
		}
	}
	if c.mine(f.cur) && !c.used(f.cur.Term) {
		return c.won(f.cur.Term)
	}
	return nil, nil
}

// swap replaces what the follower knows by this candidate's record, on its lease. It returns the new term, or 0 if the
// key has changed; after any other error but that of a lost lease the outcome is unknown.
func (c *Candidate) swap(ctx context.Context, f *follower) (int64, error) {
	if err := c.cfg.Session.Err(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.cfg.Client.Txn(ctx).
		If(unchanged(c.cfg.Key, f.cur.Term)).
		Then(clientv3.OpPut(c.cfg.Key, c.value, clientv3.WithLease(c.cfg.Session.ID()))).
		Else(clientv3.OpGet(c.cfg.Key)).
		Commit()
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		c.cfg.Session.Gone() // or the caller would come back here until the next renewal
		return 0, c.cfg.Session.Err()
	case err != nil:
		return 0, fmt.Errorf("take the leader key: %w", err)
	case r.Succeeded:
		return r.Header.Revision, nil
	}
	f.learn(holderOf(first(r.Responses[0].GetResponseRange().GetKvs()), r.Header.Revision))
	return 0, nil
}

// unchanged compares the mod revision, which is 0 for a key that is not there.
func unchanged(key string, term int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", term)
}
