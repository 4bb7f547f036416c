package maintainer

import (
	"cmp"
	"context"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/view"
)

// usualWeight is that of a node of which nothing was said. It is not recorded.
const usualWeight = 1

// SetNodeWeight is part of the control API.
func (c *control) SetNodeWeight(ctx context.Context, q *controlv1.SetNodeWeightRequest) (*controlv1.SetNodeWeightResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.SetNodeWeight, c.setNodeWeight)
}

// setNodeWeight records how much a node is to carry. Placement goes by it from the next span on, and balance moves what is
// too much elsewhere.
func (c *control) setNodeWeight(ctx context.Context, t *term, q *controlv1.SetNodeWeightRequest) (*controlv1.SetNodeWeightResponse, error) {
	if err := scheduler.CheckWeight(q.GetWeight()); err != nil {
		return nil, err
	}
	err := c.configureNode(ctx, t, q, q.GetName(), func(_ *view.State, _ *view.Node, next *record.NodeConfig) error {
		if next.Weight = q.GetWeight(); next.Weight == usualWeight {
			next.Weight = 0
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.SetNodeWeightResponse{Node: c.renderedNode(t, q.GetName())}, nil
}

// weight of a node, as people see it.
func (f nodeFacts) weight() float64 { return cmp.Or(f.config.Weight, usualWeight) }
