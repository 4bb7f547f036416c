package maintainer

import (
	"context"
	"time"

	"google.golang.org/grpc"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/view"
)

// Plan is part of the control API.
func (c *control) Plan(q *controlv1.PlanRequest, out grpc.ServerStreamingServer[controlv1.PlanResponse]) error {
	return streaming(c, q, out, controlv1.ControlClient.Plan, c.makePlan)
}

// planLock is held while a plan is made: that of a large cluster takes as much memory as its records, so there is one at a
// time.
const planLock = "plan"

func (c *control) makePlan(ctx context.Context, t *term, q *controlv1.PlanRequest, send func(*controlv1.PlanResponse) error) error {
	if err := c.awaitNodes(ctx, t); err != nil {
		return err
	}
	p, err := c.prospect(ctx, t, q)
	if err != nil {
		return err
	}
	return p.pieces(send)
}

func (c *control) prospect(ctx context.Context, t *term, q *controlv1.PlanRequest) (*prospect, error) {
	release, err := c.locks.take(ctx, planLock)
	if err != nil {
		return nil, err
	}
	defer release()
	var f planFacts
	c.view.Read(func(s *view.State) { f = c.planFacts(s) })
	changes, err := checkPlan(f, q)
	if err != nil {
		return nil, err
	}
	p := newProspect(f, changes, t.known, time.Now())
	return p, p.make(ctx)
}
