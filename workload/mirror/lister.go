package mirror

import (
	"context"
	"sync"
)

// A lister reads all segments of a keyspace once for everybody who is waiting for it at that time: a process that opens
// thousands of spans at once would else read thousands of segments for each of them. Segments cannot be looked up by
// range: while some are taken over they overlap, and the one that reaches into a range may begin anywhere before it.
type lister struct {
	turn chan struct{} // held by whoever reads

	mu      sync.Mutex
	asked   uint64 // how often anybody has asked
	covered uint64 // which of those the last reading began after
	last    []found
}

func newLister() *lister { return &lister{turn: make(chan struct{}, 1)} }

// list gives what a reading found that began after the call. It may be shared and must not be changed.
func (l *lister) list(ctx context.Context, f fencer) ([]found, error) {
	if l == nil {
		all, _, err := f.list(ctx)
		return all, err
	}
	l.mu.Lock()
	l.asked++
	mine := l.asked
	l.mu.Unlock()
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	last, covered, asked := l.last, l.covered, l.asked
	l.mu.Unlock()
	if covered >= mine {
		return last, nil
	}
	all, _, err := f.list(ctx)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.covered = all, asked
	return all, nil
}
