package mirror

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A leaseCopier gives destination keys a lease of the same id and TTL as the source key's, and keeps it alive while the
// source's lives. A nil copier drops leases.
//
// When a source lease ends, etcd deletes its keys there, and those deletes are mirrored like any; the destination's
// lease is then no longer renewed and ends empty. While the source cannot be asked, the destination's leases are
// renewed: keys must not vanish because a network is down. If nobody renews for a TTL (no dispatcher runs), the
// destination's keys do end; a segment that has ever used leases is therefore compared in full when it is opened.
type leaseCopier struct {
	source, dest *clientv3.Client

	mu  sync.Mutex
	ttl map[int64]time.Duration // of leases that exist at the destination, as far as known
}

func newLeaseCopier(source, dest *clientv3.Client) *leaseCopier {
	return &leaseCopier{source: source, dest: dest, ttl: make(map[int64]time.Duration)}
}

func (l *leaseCopier) on() bool { return l != nil }

// get makes sure that the lease exists at the destination; no lease if it is gone at the source, whose delete of the
// key then follows.
func (l *leaseCopier) get(ctx context.Context, id int64) (clientv3.LeaseID, error) {
	if l == nil || id == 0 {
		return 0, nil
	}
	l.mu.Lock()
	_, ok := l.ttl[id]
	l.mu.Unlock()
	if ok {
		return clientv3.LeaseID(id), nil
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	r, err := l.source.TimeToLive(ctx, clientv3.LeaseID(id))
	if isLeaseGone(err) || err == nil && r.TTL <= 0 {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("source: lease %x: %w", id, err)
	}
	return clientv3.LeaseID(id), l.grant(ctx, id, r.GrantedTTL)
}

// grant creates the lease; that it exists is as good, other spans may share it.
func (l *leaseCopier) grant(ctx context.Context, id, ttl int64) error {
	_, err := clientv3.RetryLeaseClient(l.dest).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: ttl})
	if err = clientv3.ContextError(ctx, err); err != nil && !isLeaseExist(err) {
		return fmt.Errorf("destination: lease %x: %w", id, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ttl[id] = time.Duration(ttl) * time.Second
	return nil
}

// forget makes the next get ask again about the leases of changes: one of them has ended.
func (l *leaseCopier) forget(gs []group) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range gs {
		for _, c := range g.changes {
			delete(l.ttl, c.lease)
		}
	}
}

// run renews what was granted until ctx ends, and calls lost when a destination's lease has ended, with its keys, while
// the source's lives.
func (l *leaseCopier) run(ctx context.Context, lost func()) {
	due := make(map[int64]time.Time)
	tick := time.NewTicker(renewTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for id, ttl := range l.known() {
				if now.Before(due[id]) {
					continue
				}
				due[id] = now.Add(ttl / 3)
				if !l.renew(ctx, id) {
					lost()
				}
			}
		}
	}
}

// renewTick is how often leases are looked through; their shortest TTL is a second or more.
const renewTick = 300 * time.Millisecond

func (l *leaseCopier) known() map[int64]time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.ttl)
}

// renew keeps one lease alive unless it is known to be gone at the source; false if it has ended too early.
func (l *leaseCopier) renew(ctx context.Context, id int64) bool {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	if r, err := l.source.TimeToLive(ctx, clientv3.LeaseID(id)); isLeaseGone(err) || err == nil && r.TTL <= 0 {
		l.drop(id)
		return true
	}
	if _, err := l.dest.KeepAliveOnce(ctx, clientv3.LeaseID(id)); isLeaseGone(err) {
		l.drop(id)
		return false
	}
	return true
}

// renewTimeout bounds one renewal, the question to the source included.
const renewTimeout = 2 * time.Second

func (l *leaseCopier) drop(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ttl, id)
}
