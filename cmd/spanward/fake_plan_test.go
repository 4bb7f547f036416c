package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
)

// planned is an operator of each kind. Of their spans, as fake lists them, 812-1.0 is busy, 812-1.1 as it was, 812-2.0 changed, and
// the others are gone.
func planned() []*controlv1.PlannedOperator {
	return []*controlv1.PlannedOperator{
		{
			Type: "move", Keyspace: "orders", Spans: []*controlv1.PlannedSpan{{Id: "812-1.0", Revision: 41}}, From: "n1", To: "n2", By: "drain",
			Reason: "node n1 is drained, and this is a text that is too long for a cell", Load: new(1.5), Size: new(2e6),
		},
		{
			Type: "split", Keyspace: "bin", Spans: []*controlv1.PlannedSpan{{Id: "812-2.0", Revision: 7}}, From: "n2", At: [][]byte{[]byte("a:\\\xff0")},
			By: "load", Reason: "load 1500 for 30s, more than split.load=1000", Load: new(1500.0),
		},
		{
			Type: "move", Keyspace: "orders", Spans: []*controlv1.PlannedSpan{{Id: "812-1.1", Revision: 40}}, From: "n3", To: "n2", By: "balance",
			Reason: "n3 carries 3 spans and n2 1",
		},
		{
			Type: "merge", Keyspace: "bin", Spans: []*controlv1.PlannedSpan{{Id: "812-4.0", Revision: 50}, {Id: "812-4.1", Revision: 51}}, By: "load",
			Reason: "cold for 10m0s",
		},
	}
}

// many are more operators than a person is shown, and than one call may have.
func many(n int) (out []*controlv1.PlannedOperator) {
	for i := range n {
		out = append(out, &controlv1.PlannedOperator{
			Type: "move", Keyspace: "orders", Spans: []*controlv1.PlannedSpan{{Id: fmt.Sprintf("9-%d.0", i), Revision: 5}}, From: "n1", To: "n2",
			By: "balance", Reason: "n1 carries more",
		})
	}
	return out
}

// Plan knows what follows if nothing is supposed, and of some nodes.
func (f *fake) Plan(req *controlv1.PlanRequest, s grpc.ServerStreamingServer[controlv1.PlanResponse]) error {
	for _, name := range append(req.GetDrain(), req.GetRemoveNode()...) {
		if name == "unknown" {
			return fault.New(fault.UnknownNode, "no node of this name is registered").On("drain", name).Fix("choose another")
		}
	}
	if err := f.change(req, "", ""); err != nil {
		return err
	}
	first := &controlv1.PlanResponse{Revision: 60, Nodes: []*controlv1.PlannedNode{
		{Name: "n1", State: "ready", SpansBefore: 2, SpansAfter: 1, LoadBefore: 3, LoadAfter: 1.5, Weight: 1},
		{Name: "n2", State: "ready", SpansBefore: 1, SpansAfter: 3, LoadBefore: 1500, LoadAfter: 1501.5, Weight: 1, Capacity: 10},
		{Name: "n3", State: "ready", SpansBefore: 3, SpansAfter: 2, Weight: 1},
		{Name: "n4", State: "gone", Weight: 1},
	}}
	operators := planned()
	switch {
	case f.big > 0:
		operators = many(f.big)
	case f.empty:
		first, operators = &controlv1.PlanResponse{Revision: 60, Paused: f.paused}, nil
	case slices.Contains(req.GetDrain(), "full"):
		operators = nil
		first.Nodes = nil
		first.Stuck = []*controlv1.PlannedStuck{{Keyspace: "orders", Span: "812-1.1", Node: "full", Reason: "none of 2 nodes can take it; n2 is at its capacity of 10"}}
	case len(req.GetAddNode()) > 0:
		operators = many(120)
		first.Nodes = append(first.Nodes, &controlv1.PlannedNode{Name: "n9", State: "new", SpansAfter: 4, Weight: 2})
		first.Paused = []string{"balance"}
	}
	if err := s.Send(first); err != nil {
		return err
	}
	for piece := range slices.Chunk(operators, 100) {
		if err := s.Send(&controlv1.PlanResponse{Operators: piece}); err != nil {
			return err
		}
	}
	return nil
}

// ApplyPlan refuses what concerns 812-1.1, and nothing at all after as many calls as it is told.
func (f *fake) ApplyPlan(_ context.Context, req *controlv1.ApplyPlanRequest) (*controlv1.ApplyPlanResponse, error) {
	small := len(req.GetOperators()) < 10
	if small {
		if err := f.change(req, "", ""); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applies++
	if f.breaks > 0 && f.applies > f.breaks {
		return nil, fault.New(f.breakAs, "no more").On("request-id", req.GetRequestId())
	}
	if !small {
		f.asked = append(f.asked, fmt.Sprintf("ApplyPlanRequest %s with %d operators", req.GetRequestId(), len(req.GetOperators())))
	}
	out := &controlv1.ApplyPlanResponse{}
	for _, o := range req.GetOperators() {
		if o.GetSpans()[0].GetId() == "812-1.1" {
			out.Results = append(out.Results, &controlv1.ApplyPlanResponse_Result{
				Refused: "its record has changed since the plan was made", Reason: "REFUSED", Remedy: "make a new plan",
			})
			continue
		}
		op := &controlv1.Operator{
			Id: fmt.Sprintf("900-%d", len(f.accepted)+1), RequestId: req.GetRequestId(), Type: o.GetType(), Keyspace: o.GetKeyspace(), From: o.GetFrom(), To: o.GetTo(),
			At: o.GetAt(), Stage: "queued", By: "user", Reason: "plan: " + o.GetReason(), Created: at(0),
		}
		for _, s := range o.GetSpans() {
			op.Spans = append(op.Spans, s.GetId())
		}
		if op.GetType() != "move" {
			op.Results = []string{"812-4.0"} // a span that takes a while to run
		}
		f.accepted = append(f.accepted, op)
		out.Results = append(out.Results, &controlv1.ApplyPlanResponse_Result{Operator: op})
	}
	return out, nil
}

// acceptedOperators are over one after the other; the last is in no list, as if there were too many.
func (f *fake) acceptedOperators(req *controlv1.ListOperatorsRequest) (*controlv1.ListOperatorsResponse, error) {
	n := 0
	if !req.GetFinished() {
		var err error
		if n, err = f.look(); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if n == 0 {
		n = f.looks
	}
	out := &controlv1.ListOperatorsResponse{}
	for i, op := range f.accepted {
		last := i == len(f.accepted)-1
		switch over := i < (n-1)/2; {
		case over && op.GetOutcome() == "":
			op.Stage, op.Outcome, op.FinishedAt = "finished", f.end, at(1)
			if i == 0 && f.end == "mixed" {
				op.Outcome, op.Error = "failed", "n2 cannot open it"
			} else if f.end == "mixed" {
				op.Outcome = "done"
			}
		case !over && i < n:
			op.Stage = "closing"
		}
		if req.GetId() == op.GetId() || req.GetId() == "" && !last && req.GetFinished() == (op.GetOutcome() != "") {
			out.Operators = append(out.Operators, op)
		}
	}
	if req.GetId() != "" && len(out.GetOperators()) == 0 {
		return nil, fault.New(fault.UnknownOperator, "is not known").On("operator", req.GetId())
	}
	return out, nil
}

func (f *fake) ListSchedulers(context.Context, *controlv1.ListSchedulersRequest) (*controlv1.ListSchedulersResponse, error) {
	return &controlv1.ListSchedulersResponse{Schedulers: []*controlv1.Scheduler{
		{Name: "placement", State: "on", Help: "opens spans that nobody owns, among them those of nodes that are lost", Waiting: 2, Accepted: 7},
		{Name: "balance", State: "paused", Help: "moves spans", InFlight: 3, Limit: 32},
	}}, nil
}

func (f *fake) SetScheduler(_ context.Context, req *controlv1.SetSchedulerRequest) (*controlv1.SetSchedulerResponse, error) {
	state := "on"
	if req.GetPaused() {
		state = "paused"
	}
	return &controlv1.SetSchedulerResponse{Scheduler: &controlv1.Scheduler{Name: req.GetName(), State: state, Help: "does " + strings.ToUpper(req.GetName())}},
		f.change(req, "", "")
}
