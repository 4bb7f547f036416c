package maintainer

import (
	"context"
	"time"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

const (
	// schedulerWait bounds how long a user's operator waits for one of the scheduler's to leave its span: those take moments,
	// and the user has not asked for them.
	schedulerWait = 3 * time.Second
	schedulerPoll = 20 * time.Millisecond
)

// awaitScheduler waits for operators of balance, and splits and merges for load, that are in flight on spans. If they are not
// over in time the request is refused like any other on a busy span.
func (c *control) awaitScheduler(ctx context.Context, keyspace string, ids ...string) error {
	for until := time.Now().Add(schedulerWait); time.Now().Before(until); {
		busy := false
		c.view.Read(func(s *view.State) {
			for _, id := range ids {
				sp := s.Span(operator.Ref{Keyspace: keyspace, ID: span.ID(id)})
				busy = busy || sp != nil && sp.Intent != nil && scheduler.ClassOf(sp.Intent.By) >= scheduler.ClassBalance
			}
		})
		if !busy {
			return nil
		}
		if !pause(ctx, schedulerPoll) {
			return ctx.Err()
		}
	}
	return nil
}
