package mirror

import (
	"context"
	"errors"
	"time"

	"github.com/spanward/spanward/dispatcher"
)

// Close ends the work, stores the position and returns it. Nothing that was unanswered can land after it.
func (in *instance) Close(ctx context.Context) (dispatcher.Position, error) {
	in.stop()
	return in.finish(ctx)
}

// CloseAt is Close once the position has reached at. If it is beyond already, it stays where it is.
func (in *instance) CloseAt(ctx context.Context, at dispatcher.Position) (dispatcher.Position, error) {
	if !at.Known || at.At == 0 {
		return in.Close(ctx)
	}
	in.limit.Store(int64(at.At)) //nolint:gosec // positions are revisions
	return in.finish(ctx)
}

// Abort ends the work at once. What is unanswered is refused by the fence, once a newer owner has opened.
func (in *instance) Abort() {
	in.abort()
	<-in.done
	in.release()
}

func (in *instance) release() {
	if in.freed {
		return
	}
	in.freed = true
	in.abort()
	in.sink.close()
	in.free()
}

// finish waits for the goroutine and does what is left.
func (in *instance) finish(ctx context.Context) (dispatcher.Position, error) {
	select {
	case <-in.done:
	case <-ctx.Done():
		return dispatcher.Position{}, ctx.Err()
	}
	if in.freed {
		return in.checkpoint(), nil
	}
	if err := in.seal(ctx); err != nil && !errors.Is(err, errFenced) {
		return dispatcher.Position{}, err
	}
	in.release()
	return in.checkpoint(), nil
}

// seal makes sure that no write can follow, and that the position is stored. Whoever is fenced can write nothing.
func (in *instance) seal(ctx context.Context) error {
	if in.fenced {
		return nil
	}
	if in.dirty {
		if err := in.settle(ctx); err != nil {
			return err
		}
		in.pos = max(in.pos, in.sink.state().At)
	}
	if in.pos <= in.sink.state().At || len(holes(in.sink.state().Parts, in.r)) > 0 {
		return nil
	}
	if err := in.write(func() error { return in.sink.move(ctx, in.pos) }); err != nil {
		return err
	}
	in.reached(in.pos, time.Time{})
	return nil
}
