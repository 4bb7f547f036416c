package world

import (
	"context"
	"fmt"

	controlv1 "github.com/spanward/spanward/api/control/v1"
)

// askDrain empties the node that has both spans.
func askDrain(w *World, _ []string) error {
	return w.call(func(ctx context.Context) error {
		_, err := w.Control().DrainNode(ctx, &controlv1.DrainNodeRequest{RequestId: "r1", Name: "d1", Force: true})
		return err
	})
}

// drained: whatever has happened in between, d1 is empty and says so itself, and its spans run elsewhere.
func drained(w *World) string {
	if text := w.unsettled(ks, 2); text != "" {
		return text
	}
	ctx, cancel := w.ctx()
	defer cancel()
	resp, err := w.Control().ListNodes(ctx, &controlv1.ListNodesRequest{Name: "d1"})
	if err != nil {
		return err.Error()
	}
	if n := resp.GetNodes()[0]; n.GetState() != "drained" || n.GetSpans() != 0 {
		return fmt.Sprint(n)
	}
	return ""
}
