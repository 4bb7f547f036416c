package gate

import (
	"context"
	"errors"

	"github.com/spanward/spanward/span"
)

// waiter is an opening or closing that a file holds up.
type waiter struct {
	names [2]string
	// done gets the verdict; it has room for it, so that the poller never waits for a waiter that has gone.
	done chan error
}

// pass returns once no file holds the span up, with the text of one that makes it fail, or when ctx ends.
func (g *Gate) pass(ctx context.Context, file string, id span.ID) error {
	w := &waiter{names: names(file, id), done: make(chan error, 1)}
	if held, err := w.verdict(g.newListing()); !held {
		return err
	}
	g.change(func() { g.waiters[w] = struct{}{} })
	defer g.change(func() { delete(g.waiters, w) })
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// verdict says whether the files hold the waiter up and, if not, whether they make it fail.
func (w *waiter) verdict(l *listing) (held bool, err error) {
	for _, name := range w.names {
		f := l.file(name)
		if f.text != "" {
			return false, errors.New(f.text)
		}
		held = held || f.exists
	}
	return held, nil
}

// release lets go of everything that is not held any more.
func (g *Gate) release(l *listing) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for w := range g.waiters {
		if held, err := w.verdict(l); !held {
			w.done <- err
			delete(g.waiters, w)
		}
	}
}
