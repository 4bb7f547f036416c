package dispatcher

import (
	"context"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// Position is a checkpoint: a place in the source's order up to which a span's work is durable. It may be unknown.
type Position = record.Position

// At is the known position p.
func At(p uint64) Position { return record.At(p) }

// Task is a span as a workload gets it to run.
type Task struct {
	Cluster, Keyspace string
	Span              span.ID
	Range             span.Range
	Node              string
	// Token fences the sink: once Open has returned, no write with a smaller token into any key of Range may
	// succeed, also when it came from a span with another range.
	Token uint64
	// From is the position to start at; unknown for a span that never ran.
	From Position
	// Parents are the spans that this one was made from, by a split or a merge.
	Parents []string
	// Settings are those of the keyspace.
	Settings map[string]string
}

// Workload runs spans of one kind. Its methods are called concurrently for different spans, and for one span one
// at a time: the next Open of a range comes only after the former instance in this process was closed.
type Workload interface {
	// Open starts the work on a span. It returns once the work runs and the sink is fenced with the token, or
	// with an error after which nothing runs. ctx ends when the opening is given up; Open must then return soon,
	// with nothing left running. The instance must not use ctx after Open has returned.
	Open(ctx context.Context, t Task, r Reporter) (Instance, error)
}

// Instance is the running work of one span.
type Instance interface {
	// Close ends the work and returns the final position. After it has returned without an error no write of
	// the instance can follow: not later, not from a retry, not from a buffer. After an error the instance
	// counts as running and Close is called again. ctx bounds one try.
	Close(ctx context.Context) (Position, error)
	// Abort ends the work at once because the right to act is over or was never confirmed. It returns when
	// nothing of the instance runs any more; what the sink has not answered yet is refused there by its fence. It may
	// come while Close runs, which then fails soon.
	Abort()
}

// Reporter takes what an instance has to say. Its methods never block and keep only the newest value, so they may
// be called as often as things change.
type Reporter interface {
	// Report replaces the status of the span.
	Report(Status)
	// Fail says that the instance cannot go on. It is closed, its span handed back and opened again after a
	// while, perhaps elsewhere.
	Fail(error)
}

// Status is what an instance reports about itself. Pointers are nil while a value is unknown.
type Status struct {
	// Checkpoint is durable at the sink: work before it is never needed again.
	Checkpoint Position
	// LagMS is how far, in milliseconds, the sink is behind the source.
	LagMS *int64
	// Load is the span's own measure of what it costs, comparable within a keyspace. What is no number, or below zero,
	// counts as unknown, here and in Size.
	Load *float64
	// Size is how much the span holds, as the workload counts it: keys, say. It is comparable within a keyspace, too.
	Size *float64
	// SplitKeys are keys at which the span would split well, ascending.
	SplitKeys []string
	// Copied and CopyTotal count the keys of an initial copy while it goes on.
	Copied, CopyTotal *int64
	// Error is a trouble that the instance lives with and goes on retrying, "" while it is well.
	Error string
}

// CloserAt is implemented by instances that can stop exactly at a given position, which lets a merge give all its
// sources one common end. Where one of them cannot, all are closed where they are, the merged span starts at the lowest
// of their positions, and the others' work since then is done again.
type CloserAt interface {
	// Hold stops the taking in of new work and returns the lowest position at which the instance can still be closed.
	// Work that was begun goes on. Unknown means that there is none to choose, and that it closes where it is. Hold is
	// followed by CloseAt, Close or Abort, and may be called again after an error.
	Hold(ctx context.Context) (Position, error)
	// CloseAt is Close once the position has reached at exactly, which is not below what Hold has returned. A try may end
	// before that; the way there goes on, and another one follows.
	CloseAt(ctx context.Context, at Position) (Position, error)
}
