package mirror

import (
	"context"

	"github.com/spanward/spanward/span"
)

// A sink is a fenced destination of one span. It is used by one goroutine at a time. After an error of a write its
// outcome is unknown, unless the error says otherwise; settle comes next then.
type sink interface {
	// state is the segment as far as it is known to be stored.
	state() segment
	// apply makes groups durable, in one step with the position of the last one.
	apply(ctx context.Context, gs []group) error
	// settle makes sure that no write that is unanswered can still happen, and brings state up to date.
	settle(ctx context.Context) error
	// move stores the position without data.
	move(ctx context.Context, at int64) error
	// store replaces the parts and the leased mark of the segment.
	store(ctx context.Context, parts []part, leased bool) error
	// copy makes the destination's part of r, a range without gaps in what the source has at a revision, equal to it.
	copy(ctx context.Context, r span.Range, src listing, seen func(item)) error
	// limits are what one apply should not exceed.
	limits() (ops, bytes int)
	// close frees what is held; it writes nothing.
	close()
}
