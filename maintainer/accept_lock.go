package maintainer

import (
	"context"
	"sync"
)

// locks are named locks, held while a change is accepted. They only spare useless tries and make twins of one request
// wait for the first: what keeps changes of several processes apart are the compares of their transactions.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	free  chan struct{} // holds one token while nobody holds the lock
	users int
}

// take takes several locks, in the order given; names that are empty are left out. release gives them back.
func (l *locks) take(ctx context.Context, names ...string) (release func(), err error) {
	var taken []string
	release = func() {
		for _, name := range taken {
			l.leave(name, true)
		}
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		select {
		case <-l.enter(name).free:
			taken = append(taken, name)
		case <-ctx.Done():
			l.leave(name, false)
			release()
			return nil, ctx.Err()
		}
	}
	return release, nil
}

// try takes one lock if nobody holds it.
func (l *locks) try(name string) (release func(), ok bool) {
	select {
	case <-l.enter(name).free:
		return func() { l.leave(name, true) }, true
	default:
		l.leave(name, false)
		return nil, false
	}
}

func (l *locks) enter(name string) *lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[string]*lock{}
	}
	k := l.held[name]
	if k == nil {
		k = &lock{free: make(chan struct{}, 1)}
		k.free <- struct{}{}
		l.held[name] = k
	}
	k.users++
	return k
}

func (l *locks) leave(name string, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.held[name]
	if held {
		k.free <- struct{}{}
	}
	if k.users--; k.users == 0 {
		delete(l.held, name)
	}
}
