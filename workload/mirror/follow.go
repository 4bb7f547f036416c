package mirror

import (
	"context"
	"errors"
	"time"

	"github.com/spanward/spanward/span"
)

// follow applies the source's changes as they come. It returns with an error only.
func (in *instance) follow(ctx, hard context.Context, head int64) error {
	parts := in.sink.state().effective()
	for i := range parts {
		parts[i].Rev = max(parts[i].Rev, in.pos)
	}
	from := lowest(parts)
	in.pos = from
	in.following(parts)
	in.reached(from, in.current(from, head))
	watching, cancel := context.WithCancel(ctx)
	w := in.src.watch(watching, in.watched(), from, head-from > aloneBehind, in.fragments)
	f := newFeed(in.m, parts, w.shared)
	received := make(chan struct{})
	go func() {
		defer close(received)
		f.receive(watching, w.ch)
		cancel() // clientv3 would go on buffering for an instance that is held
	}()
	err := in.consume(ctx, hard, f, w.shared)
	cancel()
	<-received
	w.leave(errors.Is(err, errStalled))
	in.fragments = in.fragments || largeAnswer(err)
	return err
}

// current is when a position that is the source's head was known to be it: at the last look, a moment ago.
func (in *instance) current(from, head int64) time.Time {
	if from < head {
		return time.Time{}
	}
	return in.looked
}

// watched is the range to watch. A span in which no key has the source's prefix watches all of it, for the progress.
func (in *instance) watched() span.Range {
	if clipped, ok := in.m.clip(in.r); ok {
		return clipped
	}
	return in.r
}

// consume applies what a feed brings.
func (in *instance) consume(ctx, hard context.Context, f *feed, shared bool) error {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		if err := in.brake.wait(ctx, in.pos); err != nil {
			return err
		}
		if in.gone.Swap(false) {
			in.pos = 0
			return errors.Join(errLeaseLost, in.store(hard, nil, true))
		}
		n, err := f.next(ctx, tick.C)
		if err != nil {
			return err
		}
		if err := in.applyAll(ctx, hard, n.groups); err != nil {
			return err
		}
		if n.progress > 0 {
			if in.advance(n.progress, n.at); !shared {
				return errRejoin
			}
		}
		if err := in.keep(hard); err != nil {
			return err
		}
	}
}

// errLeaseLost means that keys may have vanished at the destination with a lease that nobody kept alive.
var errLeaseLost = errors.New("a lease ended at the destination while it lives at the source; comparing again")

// applyAll writes groups in as few transactions as they allow, and waits where nothing more may begin.
func (in *instance) applyAll(ctx, hard context.Context, gs []group) error {
	for len(gs) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		ops, bytes := in.sink.limits()
		ready := in.brake.begin(gs[:pack(gs, in.m, ops, bytes)])
		if ready == 0 {
			// The next change is beyond the limit, so that all up to that have been seen.
			in.advance(gs[0].rev-1, time.Time{})
			if err := in.brake.wait(ctx, in.pos); err != nil {
				return err
			}
			continue
		}
		n, err := in.apply(hard, gs[:ready])
		if err != nil {
			return err
		}
		gs = gs[n:]
	}
	return nil
}

// apply writes some groups in one transaction. The sink may take fewer, if it finds that they are too large together.
func (in *instance) apply(ctx context.Context, gs []group) (int, error) {
	if in.leases.on() && !in.sink.state().Leased && anyLease(gs) {
		if err := in.store(ctx, in.sink.state().Parts, true); err != nil {
			return 0, err
		}
	}
	if err := in.write(func() error { return in.sink.apply(ctx, gs) }); err != nil {
		return 0, err
	}
	in.pos = in.sink.state().At
	n := len(upTo(gs, in.pos))
	in.changed(gs[:n])
	in.stored = time.Now()
	in.reached(in.pos, time.Time{})
	return n, nil
}

// upTo gives the groups of revisions up to rev.
func upTo(gs []group, rev int64) []group {
	for i, g := range gs {
		if g.rev > rev {
			return gs[:i]
		}
	}
	return gs
}

func anyLease(gs []group) bool {
	for _, g := range gs {
		for _, c := range g.changes {
			if c.lease != 0 {
				return true
			}
		}
	}
	return false
}

// advance takes progress: everything up to rev has been applied, or did not concern the span.
func (in *instance) advance(rev int64, at time.Time) {
	limited := in.brake.pass(rev)
	if limited < rev {
		at = time.Time{} // the rest was there, and was left
	}
	in.pos = max(in.pos, limited)
	in.reached(in.pos, at)
}

// keep stores the position of a span that has long had no change.
func (in *instance) keep(ctx context.Context) error {
	if time.Since(in.stored) < idleStore {
		return nil
	}
	in.stored = time.Now()
	if in.pos <= in.sink.state().At {
		return nil
	}
	return in.write(func() error { return in.sink.move(ctx, in.pos) })
}
