package maintainer

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// evictAgain is the pause before a lease that could not be revoked, or was and whose node key has not gone yet, is
// revoked again.
const evictAgain = time.Second

// evicting is a node whose present session was declared dead. The record says so; that its lease goes follows from the
// record alone, so whoever leads carries it out.
type evicting struct {
	// at is when the lease is revoked next.
	at time.Time
	// busy: it is being revoked.
	busy bool
}

// noteEvicted finds out whether the session that a node has now was declared dead.
func (l *loop) noteEvicted(name string) {
	n := l.state.Node(name)
	if n == nil || l.state.NodeConfig(name).Evicted != n.Session {
		delete(l.evicting, name)
		return
	}
	if l.evicting[name] == nil {
		l.log.Info("ending an evicted session", zap.String("node", name), zap.Int64("session", n.Session))
		l.evicting[name] = &evicting{}
	}
}

// evict ends sessions that were declared dead.
func (l *loop) evict(ctx context.Context, now time.Time) {
	for name, e := range l.evicting {
		if e.busy || now.Before(e.at) {
			continue
		}
		n := l.state.Node(name)
		if n == nil || l.state.NodeConfig(name).Evicted != n.Session {
			continue
		}
		e.busy = true
		lease := clientv3.LeaseID(n.LeaseID)
		l.running.Go(func() {
			err := l.m.revokeEvicted(ctx, lease)
			l.post(func() { l.revoked(name, e, err) })
		})
	}
}

func (l *loop) revoked(name string, e *evicting, err error) {
	e.busy, e.at = false, time.Now().Add(evictAgain)
	if err != nil {
		l.log.Warn("lease of an evicted session could not be revoked", zap.String("node", name), zap.Error(err))
		return
	}
	l.m.stats.evictions.Add(1)
}

// revokeEvicted ends a lease. It needs no term: the lease belongs to a session that is recorded as evicted, and to no other.
func (m *Maintainer) revokeEvicted(ctx context.Context, lease clientv3.LeaseID) error {
	if err := m.hit(ctx, "maintainer/evict/revoke/before"); err != nil {
		return err
	}
	try, cancel := context.WithTimeout(ctx, m.cfg.RequestTimeout)
	defer cancel()
	_, err := m.cfg.Client.Revoke(try, lease)
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return err
	}
	return m.hit(ctx, "maintainer/evict/revoke/after")
}
