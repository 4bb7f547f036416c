package main

import (
	"context"
	"fmt"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
)

// checkPlan says which operators of a plan would be refused as things are. Nothing is asked for.
func (a *app) checkPlan(ctx context.Context, c *cluster, plan output.Plan) error {
	now, err := c.present(ctx, plan.Operators)
	if err != nil {
		return err
	}
	var fit []output.PlanOperator
	var refused []output.Refused
	for _, o := range plan.Operators {
		if wrong := now.against(o); wrong != nil {
			refused = append(refused, o.Refuse(string(wrong.Reason), wrong.Message, wrong.Remedy))
		} else {
			fit = append(fit, o)
		}
	}
	if err := a.printer().Checked(output.Checked{Operators: fit, Refused: refused}); err != nil {
		return err
	}
	if len(refused) == 0 {
		return nil
	}
	return fault.New(fault.Refused, "%d of %d operators would be refused", len(refused), len(plan.Operators)).Fix("see the reasons, or " + newPlan)
}

// present is what a plan is compared with.
type present struct {
	spans map[string]*controlv1.Span // by keyspace/id
	nodes map[string]string          // states
}

func (c *cluster) present(ctx context.Context, ops []output.PlanOperator) (*present, error) {
	out := &present{spans: map[string]*controlv1.Span{}, nodes: map[string]string{}}
	looked := map[string]bool{}
	for _, o := range ops {
		if looked[o.Keyspace] {
			continue
		}
		looked[o.Keyspace] = true
		spans, err := c.ListSpans(ctx, &controlv1.ListSpansRequest{Keyspace: o.Keyspace})
		if err != nil && !fault.Is(err, fault.UnknownKeyspace) {
			return nil, err
		}
		for _, s := range spans {
			out.spans[o.Keyspace+"/"+s.GetId()] = s
		}
	}
	resp, err := c.Control().ListNodes(ctx, &controlv1.ListNodesRequest{})
	if err != nil {
		return nil, err
	}
	for _, n := range resp.GetNodes() {
		out.nodes[n.GetName()] = n.GetState()
	}
	return out, nil
}

// against is why an operator would be refused, nil if nothing is known to be against it.
func (p *present) against(o output.PlanOperator) *fault.Error {
	for _, planned := range o.Spans {
		is := p.spans[o.Keyspace+"/"+planned.ID]
		switch {
		case is == nil:
			return fault.New(fault.UnknownSpan, "span %s does not exist any more", planned.ID).Fix(newPlan)
		case is.GetOperator() != "":
			return fault.New(fault.SpanBusy, "span %s is held by operator %s", planned.ID, is.GetOperator()).
				Fix("wait until that is over, and " + newPlan)
		case is.GetRevision() != planned.Revision:
			return fault.New(fault.PlanOutdated, "the record of span %s has changed since the plan was made", planned.ID).Fix(newPlan)
		}
	}
	if o.Type != "move" {
		return nil
	}
	switch state, known := p.nodes[string(o.To)]; {
	case !known:
		return fault.New(fault.UnknownNode, "node %s is not registered", o.To).Fix("start it first")
	case state != "ready":
		return fault.New(fault.NodeNotReady, "node %s is %s", o.To, state).Fix(fmt.Sprintf("see `spanward node show %s`", o.To))
	}
	return nil
}
