package mirror

import (
	"context"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A pool shares connections among the spans of a process: one per etcd and way of access. It closes those that no span
// uses any more, and ends what ran beside them.
type pool struct {
	connect func(context.Context, Etcd) (*clientv3.Client, error)

	mu   sync.Mutex
	open map[string]*shared
}

// A shared is one client and what all its users have in common.
type shared struct {
	source
	users int
	ready chan struct{} // closed when the connection is there or has failed
	err   error
	end   context.CancelFunc
	ended chan struct{}

	listing sync.Mutex
	listers map[string]*lister // by prefix
}

// lister is the one that all spans of a keyspace share.
func (s *shared) lister(prefix string) *lister {
	s.listing.Lock()
	defer s.listing.Unlock()
	if s.listers == nil {
		s.listers = map[string]*lister{}
	}
	if s.listers[prefix] == nil {
		s.listers[prefix] = newLister()
	}
	return s.listers[prefix]
}

// get gives a client for an etcd; compact is the interval at which its history is thrown away, 0 for never.
func (p *pool) get(ctx context.Context, e Etcd, compact time.Duration) (*shared, func(), error) {
	id := fmt.Sprintf("%+q %v", e, compact)
	p.mu.Lock()
	s := p.open[id]
	if s == nil {
		s = &shared{ready: make(chan struct{}), ended: make(chan struct{}), end: func() {}}
		s.soon, s.turns = make(chan struct{}, 1), make(chan struct{}, 1)
		p.open[id] = s
		go p.dial(context.WithoutCancel(ctx), s, e, compact)
	}
	s.users++
	p.mu.Unlock()
	var once sync.Once
	free := func() { once.Do(func() { p.put(id, s) }) }
	select {
	case <-s.ready:
	case <-ctx.Done():
		free()
		return nil, nil, ctx.Err()
	}
	if s.err != nil {
		free()
		return nil, nil, s.err
	}
	return s, free, nil
}

// dial connects and runs what goes with the connection.
func (p *pool) dial(ctx context.Context, s *shared, e Etcd, compact time.Duration) {
	defer close(s.ended)
	ctx, s.end = context.WithCancel(ctx)
	if s.c, s.err = p.connect(ctx, e); s.err != nil {
		close(s.ready)
		return
	}
	close(s.ready)
	var helpers sync.WaitGroup
	helpers.Go(func() { s.run(ctx) })
	if compact > 0 {
		helpers.Go(func() { compactEvery(ctx, s.c, compact) })
	}
	helpers.Wait()
	_ = s.c.Close()
}

// put returns a client; the last user waits until everything about it has ended.
func (p *pool) put(id string, s *shared) {
	p.mu.Lock()
	s.users--
	last := s.users == 0
	if last {
		delete(p.open, id)
	}
	p.mu.Unlock()
	if !last {
		return
	}
	<-s.ready
	s.end()
	<-s.ended
}

// compactEvery throws away the history that is older than the interval, as etcd's own periodic compaction does.
func compactEvery(ctx context.Context, c *clientv3.Client, every time.Duration) {
	var before int64
	for sleep(ctx, every) {
		call, cancel := context.WithTimeout(ctx, opTimeout)
		if before > 0 {
			_, _ = c.Compact(call, before) // another process may have done it, and the next time is soon
		}
		if r, err := c.Get(call, ownPrefix, clientv3.WithKeysOnly()); err == nil {
			before = r.Header.Revision
		}
		cancel()
	}
}
