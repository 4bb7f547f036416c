package main

import (
	"context"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
)

func (f *fake) CordonNode(_ context.Context, req *controlv1.CordonNodeRequest) (*controlv1.CordonNodeResponse, error) {
	return &controlv1.CordonNodeResponse{Node: &controlv1.Node{Name: req.GetName(), State: "cordoned", Spans: 2}}, f.changeNode(req, req.GetName())
}

func (f *fake) UncordonNode(_ context.Context, req *controlv1.UncordonNodeRequest) (*controlv1.UncordonNodeResponse, error) {
	return &controlv1.UncordonNodeResponse{Node: &controlv1.Node{Name: req.GetName(), State: "ready", Spans: 2}}, f.changeNode(req, req.GetName())
}

func (f *fake) SetNodeWeight(_ context.Context, req *controlv1.SetNodeWeightRequest) (*controlv1.SetNodeWeightResponse, error) {
	return &controlv1.SetNodeWeightResponse{Node: &controlv1.Node{Name: req.GetName(), State: "ready", Spans: 2, Weight: req.GetWeight()}}, f.changeNode(req, req.GetName())
}

func (f *fake) changeNode(req proto.Message, name string) error {
	if name == "unknown" {
		return fault.New(fault.UnknownNode, "no node of this name is registered").On("node", name).Fix("choose another")
	}
	return f.change(req, "node", name)
}

// DrainNode knows a node that can be emptied, one that cannot wholly, and one that nobody can replace.
func (f *fake) DrainNode(_ context.Context, req *controlv1.DrainNodeRequest) (*controlv1.DrainNodeResponse, error) {
	if req.GetName() == "last" && !req.GetForce() {
		return nil, fault.New(fault.Refused, "keyspace orders would be left without a node that could run it: n2 is cordoned").On("node", "last").Fix("uncordon one")
	}
	if err := f.changeNode(req, req.GetName()); err != nil {
		return nil, err
	}
	out := &controlv1.DrainNodeResponse{Node: &controlv1.Node{Name: req.GetName(), State: "draining", Spans: 2}, CanMove: 1}
	stuck := &controlv1.DrainNodeResponse_DrainStuck{Keyspace: "orders", Span: "812-1.1", Reason: "none of 2 nodes can take it; n2 is at its capacity of 10"}
	if req.GetName() == "full" || req.GetName() == "last" {
		out.CannotMove, out.Stuck = 1, []*controlv1.DrainNodeResponse_DrainStuck{stuck}
	}
	if req.GetDryRun() && req.GetName() != "idle" {
		out.Moves = []*controlv1.DrainNodeResponse_DrainMove{{Keyspace: "orders", Span: "812-1.0", From: req.GetName(), To: "n2", Reason: "node " + req.GetName() + " is drained"}}
	}
	return out, nil
}

// drainingNode gets emptier with each look.
func (f *fake) drainingNode(name string) (*controlv1.ListNodesResponse, error) {
	n, err := f.look()
	if err != nil {
		return nil, err
	}
	node := &controlv1.Node{Name: name, State: "draining", Spans: int64(max(0, 2-n))}
	switch {
	case name == "drain-vanishes" && n > 1:
		node.State = "gone"
	case name == "drain-ended" && n > 1:
		node.State = "ready"
	case name == "drain-waits" && n == 1:
		node.Why = "1 spans can leave it for no other node, such as span 812-1.1 of keyspace orders: n2 is cordoned"
	case n > 3:
		node.State = "drained"
	}
	return &controlv1.ListNodesResponse{Nodes: []*controlv1.Node{node}}, nil
}
