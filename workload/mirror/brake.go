package mirror

import (
	"context"
	"sync"
)

// A brake decides how far an instance goes. The goroutine of the instance asks it before everything it begins; whoever
// closes the instance sets it.
type brake struct {
	mu sync.Mutex
	// begun is the highest revision of what was found, handed to the destination or passed without a change. Some key
	// may have the state of that revision, so that nothing below it is a common end.
	begun int64
	// limit is the revision beyond which nothing may begin; 0 for none.
	limit int64
	// final says that the limit is the end, and not a place to wait.
	final bool
	// copying says that some of the range has no revision yet.
	copying bool
	// moved wakes the goroutine that waits at a limit.
	moved chan struct{}
}

// newBrake is for an instance that takes over these parts of its range.
func newBrake(parts []part, copying bool) *brake {
	return &brake{begun: highest(parts), copying: copying, moved: make(chan struct{}, 1)}
}

// hold lets nothing more begin and gives the lowest revision that is a common end; false while there is none.
func (b *brake) hold() (int64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.copying {
		return 0, false
	}
	b.limit, b.final = b.begun, false
	return b.limit, true
}

// end makes rev the end, or what has begun if that is later; false while there is no common end at all.
func (b *brake) end(rev int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.copying {
		return false
	}
	b.limit, b.final = max(rev, b.begun), true
	select {
	case b.moved <- struct{}{}:
	default:
	}
	return true
}

// copy asks to fill holes: not with a limit, since what is copied is as new as the source.
func (b *brake) copy() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit > 0 {
		return false
	}
	b.copying = true
	return true
}

// whole notes that all of the range has a revision now.
func (b *brake) whole(highest int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.copying, b.begun = false, max(b.begun, highest)
}

// begin gives how many of the leading groups may be written, and counts them as begun.
func (b *brake) begin(gs []group) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit > 0 {
		gs = upTo(gs, b.limit)
	}
	if len(gs) > 0 {
		b.begun = max(b.begun, gs[len(gs)-1].rev)
	}
	return len(gs)
}

// pass gives how far the instance may go without a change.
func (b *brake) pass(rev int64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit > 0 {
		rev = min(rev, b.limit)
	}
	b.begun = max(b.begun, rev)
	return rev
}

// wait returns at once below the limit, with errEnd at a final one, and at any other when that is moved.
func (b *brake) wait(ctx context.Context, pos int64) error {
	for {
		b.mu.Lock()
		reached, final := b.limit > 0 && pos >= b.limit, b.final
		b.mu.Unlock()
		switch {
		case !reached:
			return nil
		case final:
			return errEnd
		}
		select {
		case <-b.moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
