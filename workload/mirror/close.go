package mirror

import (
	"context"
	"errors"
	"time"

	"github.com/spanward/spanward/dispatcher"
)

// errAborted is what a closing hears that was overtaken by Abort.
var errAborted = errors.New("aborted")

// Close ends the work, stores the position and returns it. Nothing that was unanswered can land after it.
func (in *instance) Close(ctx context.Context) (dispatcher.Position, error) {
	in.stop()
	return in.finish(ctx)
}

// Hold begins nothing more. The position is that of the newest change that was begun, or the newest of the pieces that
// the range was put together from.
//
// While something of the range is still to be copied, no revision is a common end, and waiting for one would take as
// long as the copy. So the copy is given up at once, and the answer is that there is no position to choose. What had been
// brought to a position keeps it, and the next owner copies the rest.
func (in *instance) Hold(context.Context) (dispatcher.Position, error) {
	select {
	case <-in.aborted:
		return dispatcher.Position{}, errAborted
	default:
	}
	if rev, ok := in.brake.hold(); ok {
		return in.checkpoint().Max(position(rev)), nil
	}
	in.stop()
	return dispatcher.Position{}, nil
}

// CloseAt is Close once the position has reached at. If it is beyond already, or was copying and has no position to
// reach, it stays where it is and says so.
func (in *instance) CloseAt(ctx context.Context, at dispatcher.Position) (dispatcher.Position, error) {
	if !at.Known || at.At == 0 || !in.brake.end(int64(at.At)) { //nolint:gosec // positions are revisions
		return in.Close(ctx)
	}
	in.hurry(ctx)
	return in.finish(ctx)
}

// hurryEvery is how often the source is asked how far it is while a closing waits for a position.
const hurryEvery = 25 * time.Millisecond

// hurry asks the source again and again until the instance has ended, or its closing is not wanted any more: etcd leaves a
// question about progress unanswered while a watch of the stream still catches up, and the span is down meanwhile.
func (in *instance) hurry(ctx context.Context) {
	again := time.NewTicker(hurryEvery)
	defer again.Stop()
	for {
		in.src.hurry()
		select {
		case <-in.done:
			return
		case <-ctx.Done():
			return
		case <-in.aborted:
			return
		case <-again.C:
		}
	}
}

// Abort ends the work at once. What is unanswered is refused by the fence, once a newer owner has opened.
func (in *instance) Abort() {
	in.over.Do(func() { close(in.aborted) })
	in.abort()
	<-in.done
	in.ending.Lock()
	defer in.ending.Unlock()
	in.release()
}

// release frees what the instance holds, once. The caller has ending.
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
	case <-in.aborted:
		return dispatcher.Position{}, errAborted
	}
	in.ending.Lock()
	defer in.ending.Unlock()
	switch {
	case in.closed:
		return in.checkpoint(), nil
	case in.freed:
		return dispatcher.Position{}, errAborted
	}
	if err := in.unlessAborted(ctx, in.seal); err != nil && !errors.Is(err, errFenced) {
		return dispatcher.Position{}, err
	}
	in.closed = true
	in.release()
	return in.checkpoint(), nil
}

// unlessAborted gives f a context that ends with Abort, too.
func (in *instance) unlessAborted(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-in.aborted:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := f(ctx)
	cancel()
	<-watched
	return err
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
	}
	if len(holes(in.sink.state().Parts, in.r)) > 0 {
		return nil
	}
	stored := lowest(in.sink.state().effective())
	if in.pos = max(in.pos, stored); in.pos > stored {
		if err := in.write(func() error { return in.sink.move(ctx, in.pos) }); err != nil {
			return err
		}
	}
	in.reached(in.pos, time.Time{})
	return nil
}
