package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
)

func (a *app) newNodeDrain() *cobra.Command {
	var f changeFlags
	var dryRun, force bool
	cmd := &cobra.Command{
		Use:   "drain NODE",
		Short: "move all spans of a dispatcher elsewhere",
		Long: `Move all spans of a dispatcher elsewhere, a bounded number at a time, and keep new ones away. The decision is recorded:
it outlives leaders and restarts of the node, until ` + "`spanward node uncordon`" + `. A node in state drained has confirmed itself that
it runs nothing, so it can be stopped without any span noticing.

A drain that would leave a keyspace without a node that could run it is refused. With --force it begins all the same: what can
go nowhere runs on where it is, and goes once a node can take it.

With --dry-run nothing is changed: the command prints where each span would go, and what can go nowhere and why; then it ends
with code 1. With --wait it returns when the node is drained.`,
		Example:           "  spanward node drain n1 --wait --timeout 10m\n  spanward node drain n1 --dry-run\n  spanward node uncordon n1",
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeArgs(a.nodeNames),
		RunE: a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
			if err := keys.CheckName("node", args[0]); err != nil {
				return err
			}
			req := &controlv1.DrainNodeRequest{RequestId: f.id(), Name: args[0], Force: force, DryRun: dryRun}
			if dryRun {
				return a.planDrain(ctx, c, req)
			}
			return a.drainNode(ctx, c, &f, req)
		}),
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be done, and change nothing")
	cmd.Flags().BoolVar(&force, "force", false, "drain also if a keyspace is left without a node that could run it")
	return cmd
}

func (a *app) planDrain(ctx context.Context, c *cluster, req *controlv1.DrainNodeRequest) error {
	resp, err := c.Control().DrainNode(ctx, req)
	if err != nil {
		return err
	}
	if err := a.printer().Drain(output.FromDrain(req.GetName(), resp)); err != nil {
		return err
	}
	if n := resp.GetCannotMove(); n > 0 {
		return fault.New(fault.Failed, "%d of its spans can go nowhere", n).On("node", req.GetName()).
			Fix("see the reasons; start or uncordon a node that can take them")
	}
	return nil
}

func (a *app) drainNode(ctx context.Context, c *cluster, f *changeFlags, req *controlv1.DrainNodeRequest) error {
	resp, err := c.Control().DrainNode(ctx, req)
	if err != nil {
		return err
	}
	if n := resp.GetCannotMove(); n > 0 {
		a.note("%d spans can go nowhere at the moment, such as %s: %s", n, resp.GetStuck()[0].GetSpan(), resp.GetStuck()[0].GetReason())
	}
	node := resp.GetNode()
	if f.wait {
		if node, err = a.waitDrained(ctx, c, req.GetName()); err != nil {
			return err
		}
	}
	return a.printer().Node(output.FromNode(node))
}

// waitDrained returns when the node has confirmed that it runs nothing.
func (a *app) waitDrained(ctx context.Context, c *cluster, name string) (*controlv1.Node, error) {
	var node *controlv1.Node
	pace := newPace(time.Now())
	err := a.poll(ctx, func() (bool, string, error) {
		resp, err := c.Control().ListNodes(ctx, &controlv1.ListNodesRequest{Name: name})
		if err != nil {
			return false, "", err
		}
		if len(resp.GetNodes()) == 0 {
			return false, "", fault.New(fault.UnknownNode, "is not registered any more").On("node", name).Fix("see `spanward node list`")
		}
		node = resp.GetNodes()[0]
		now := time.Now()
		pace.see(now, node.GetSpans())
		switch node.GetState() {
		case "drained":
			return true, "", nil
		case "gone":
			return false, "", fault.New(fault.Failed, "is gone, and has not said that it runs nothing").On("node", name).
				Fix("what it had runs elsewhere once it may act no more; see `spanward status`")
		case "ready", "cordoned":
			return false, "", fault.New(fault.Failed, "is %s: somebody has ended the drain", node.GetState()).On("node", name).
				Fix("repeat the command with another request id")
		}
		return false, pace.text() + a.hindrance(ctx, c, node, pace.stalled(now)), nil
	})
	return node, err
}

// hindrance says what the drain waits for beside time: spans that can go nowhere, and if nothing has happened for a while
// the first span that is still there.
func (a *app) hindrance(ctx context.Context, c *cluster, node *controlv1.Node, stalled bool) string {
	if node.GetState() == "unreachable" {
		return "; the node does not answer the leader"
	}
	text := ""
	if node.GetWhy() != "" {
		text = "; " + node.GetWhy()
	}
	if !stalled {
		return text
	}
	spans, err := c.ListSpans(ctx, &controlv1.ListSpansRequest{Node: node.GetName()})
	if err != nil {
		return text // it is only told
	}
	for _, s := range spans {
		if s.GetOperator() != "" && s.GetWhy() != "" {
			return fmt.Sprintf("%s; %s is %s: %s", text, s.GetId(), s.GetState(), s.GetWhy())
		}
	}
	return text
}

const (
	// paceWindow is the time over which the rate of a drain is measured.
	paceWindow = 5 * time.Second
	// stallAfter is how long nothing may have left the node before it is looked what holds it up.
	stallAfter = 3 * time.Second
)

// pace is how fast the spans of a node become fewer.
type pace struct {
	seen []sighting
	// moved is when the number last changed.
	moved time.Time
}

type sighting struct {
	at   time.Time
	left int64
}

func newPace(now time.Time) *pace { return &pace{moved: now} }

// see takes a count, and forgets those that are older than the window.
func (p *pace) see(now time.Time, left int64) {
	if n := len(p.seen); n > 0 && p.seen[n-1].left != left {
		p.moved = now
	}
	p.seen = append(p.seen, sighting{now, left})
	for len(p.seen) > 2 && now.Sub(p.seen[1].at) >= paceWindow {
		p.seen = p.seen[1:]
	}
}

func (p *pace) stalled(now time.Time) bool { return now.Sub(p.moved) >= stallAfter }

// rate is in spans a second; 0 if they do not become fewer.
func (p *pace) rate() float64 {
	first, last := p.seen[0], p.seen[len(p.seen)-1]
	if !last.at.After(first.at) {
		return 0
	}
	return max(0, float64(first.left-last.left)/last.at.Sub(first.at).Seconds())
}

// text says how many are left and, if that is known, when there will be none.
func (p *pace) text() string {
	left := p.seen[len(p.seen)-1].left
	if left == 0 {
		return "0 spans left, waiting until the node itself confirms that it runs nothing"
	}
	spans := "spans"
	if left == 1 {
		spans = "span"
	}
	rate, now := p.rate(), p.seen[len(p.seen)-1].at
	if rate == 0 || p.stalled(now) {
		return fmt.Sprintf("%d %s left", left, spans) // a rate of before says nothing of when a drain that is held up ends
	}
	// It has been quiet for as long already: what comes in batches takes at least as long again.
	eta := max(time.Duration(float64(left)/rate*float64(time.Second)), now.Sub(p.moved), time.Second).Round(time.Second)
	return fmt.Sprintf("%d %s left, %.0f/s, about %s to go", left, spans, rate, eta)
}
