package events

import (
	"context"
	"io"

	"github.com/spanward/spanward/dispatcher"
)

// Wrap gives the same workload, with its events written to every sink. Write is called from many goroutines.
func (r *Recorder) Wrap(w dispatcher.Workload, sinks ...io.Writer) dispatcher.Workload {
	return &workload{rec: r, inner: w, sinks: sinks}
}

type workload struct {
	rec   *Recorder
	inner dispatcher.Workload
	sinks []io.Writer
}

func (w *workload) Open(ctx context.Context, task dispatcher.Task, r dispatcher.Reporter) (dispatcher.Instance, error) {
	t := w.rec.start(task, w.sinks)
	inner, err := w.inner.Open(ctx, task, reporter{Reporter: r, track: t})
	if err != nil {
		t.end(Aborted)
		return nil, err
	}
	t.opened()
	inst := &instance{inner: inner, track: t}
	if at, ok := inner.(dispatcher.CloserAt); ok {
		return &instanceAt{instance: inst, at: at}, nil
	}
	return inst, nil
}

// reporter remembers the position that passes through it.
type reporter struct {
	dispatcher.Reporter
	track *track
}

func (r reporter) Report(s dispatcher.Status) {
	r.track.position(s.Checkpoint)
	r.Reporter.Report(s)
}

type instance struct {
	inner dispatcher.Instance
	track *track
}

func (i *instance) Close(ctx context.Context) (dispatcher.Position, error) {
	return i.close(func() (dispatcher.Position, error) { return i.inner.Close(ctx) })
}

// close writes "closed" only when the instance really is; after an error it still runs.
func (i *instance) close(do func() (dispatcher.Position, error)) (dispatcher.Position, error) {
	i.track.note(CloseStart)
	at, err := do()
	if err != nil {
		return at, err
	}
	i.track.position(at)
	i.track.end(Closed)
	return at, nil
}

func (i *instance) Abort() {
	i.inner.Abort()
	i.track.end(Aborted)
}

// instanceAt is for workloads that can close at a position: wrapping must not hide that.
type instanceAt struct {
	*instance
	at dispatcher.CloserAt
}

// Hold is no event: the span stays owned, and work that was begun goes on.
func (i *instanceAt) Hold(ctx context.Context) (dispatcher.Position, error) { return i.at.Hold(ctx) }

func (i *instanceAt) CloseAt(ctx context.Context, at dispatcher.Position) (dispatcher.Position, error) {
	return i.close(func() (dispatcher.Position, error) { return i.at.CloseAt(ctx, at) })
}
