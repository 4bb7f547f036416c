package main

import (
	"context"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
)

func (f *fake) SplitSpan(_ context.Context, req *controlv1.SplitSpanRequest) (*controlv1.SplitSpanResponse, error) {
	op := &controlv1.Operator{
		Id: "812-3", Type: "split", Keyspace: req.GetKeyspace(), Spans: []string{req.GetSpan()}, At: req.GetAt(),
		Results: []string{"812-3.0", "812-3.1"}, Stage: "queued", By: "user", Created: at(0),
	}
	return &controlv1.SplitSpanResponse{Operator: op}, f.change(req, "span", req.GetSpan())
}

func (f *fake) MergeSpans(_ context.Context, req *controlv1.MergeSpansRequest) (*controlv1.MergeSpansResponse, error) {
	op := &controlv1.Operator{
		Id: "812-3", Type: "merge", Keyspace: req.GetKeyspace(), Spans: req.GetSpans(), Results: []string{"812-3.0"}, Stage: "queued",
		By: "user", Created: at(0),
	}
	return &controlv1.MergeSpansResponse{Operator: op}, f.change(req, "span", req.GetSpans()[0])
}

// CancelOperator knows a move that can be taken back and one that was handed off.
func (f *fake) CancelOperator(_ context.Context, req *controlv1.CancelOperatorRequest) (*controlv1.CancelOperatorResponse, error) {
	if err := f.change(req, "operator", req.GetId()); err != nil {
		return nil, err
	}
	switch req.GetId() {
	case "812-3":
		op := move("finished", "cancelled")
		op.Spans, op.Error = []string{"812-4.0"}, "cancelled: asked by a user"
		return &controlv1.CancelOperatorResponse{Operator: op}, nil
	case "812-8":
		return nil, fault.New(fault.Refused, "is past its commit point").On("operator", req.GetId()).Fix("wait until it is over")
	}
	return nil, fault.New(fault.UnknownOperator, "is not known, or no longer").On("operator", req.GetId()).Fix("see `spanward history`")
}
