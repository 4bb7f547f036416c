package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
)

func (a *app) newNodeEvict() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "evict NODE",
		Short: "declare a dispatcher dead and end its session",
		Long: `Declare a dispatcher dead and end its session. This is the way out of spans that are stuck: a closing, or an opening, that
does not end by itself. A node that is to be emptied in peace should rather be stopped with SIGTERM.

The decision is recorded first, then the lease of the session is revoked. What the node has is opened elsewhere once it may
act no more: one session TTL after the end of its session. A process that is alive stops all that it runs at once, and comes
back as a new session, which is like any other.

A process that hangs, or whose host stands still, notices nothing of this, and may write again when it wakes up. Where the
workload fences its sink (mirror does), such writes are refused. Where it does not, make sure that the process
is dead before its spans run elsewhere: within the TTL, or better before the eviction.

With --wait the command returns when everything that the node had, or was opening, runs again.`,
		Example:           "  spanward node evict n1\n  spanward node evict n1 --wait --timeout 1m",
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeArgs(a.nodeNames),
		RunE: a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
			return a.evictNode(ctx, c, &f, args[0])
		}),
	}
	f.register(cmd)
	return cmd
}

func (a *app) evictNode(ctx context.Context, c *cluster, f *changeFlags, name string) error {
	if err := keys.CheckName("node", name); err != nil {
		return err
	}
	var had []*controlv1.Span
	if f.wait {
		var err error
		if had, err = c.spansAt(ctx, name); err != nil {
			return err
		}
	}
	resp, err := c.Control().EvictNode(ctx, &controlv1.EvictNodeRequest{RequestId: f.id(), Name: name})
	if err != nil {
		return err
	}
	node := resp.GetNode()
	if f.wait {
		if err := a.poll(ctx, func() (bool, string, error) { return c.runElsewhere(ctx, had) }); err != nil {
			return err
		}
		if list, err := c.Control().ListNodes(ctx, &controlv1.ListNodesRequest{Name: name}); err == nil && len(list.GetNodes()) > 0 {
			node = list.GetNodes()[0]
		}
	}
	return a.printer().Node(output.FromNode(node))
}

// spansAt are the spans that a node owns or acts on.
func (c *cluster) spansAt(ctx context.Context, node string) ([]*controlv1.Span, error) {
	out, err := c.ListSpans(ctx, &controlv1.ListSpansRequest{Node: node})
	if err != nil {
		return nil, err
	}
	owned := map[string]bool{}
	for _, s := range out {
		owned[s.GetId()] = true
	}
	ops, err := c.Control().ListOperators(ctx, &controlv1.ListOperatorsRequest{})
	if err != nil {
		return nil, err
	}
	for _, op := range ops.GetOperators() {
		steps := op.GetSteps()
		if len(steps) == 0 || steps[len(steps)-1].GetNode() != node {
			continue
		}
		for _, id := range op.GetSpans() {
			if !owned[id] {
				out = append(out, &controlv1.Span{Keyspace: op.GetKeyspace(), Id: id})
			}
		}
	}
	return out, nil
}

// runElsewhere looks whether spans run again under other sessions than they had, or need to run no more.
func (c *cluster) runElsewhere(ctx context.Context, had []*controlv1.Span) (done bool, now string, err error) {
	present := map[string]*controlv1.Span{}
	looked := map[string]bool{}
	for _, s := range had {
		if looked[s.GetKeyspace()] {
			continue
		}
		looked[s.GetKeyspace()] = true
		list, err := c.ListSpans(ctx, &controlv1.ListSpansRequest{Keyspace: s.GetKeyspace()})
		if err != nil && !fault.Is(err, fault.UnknownKeyspace) {
			return false, "", err
		}
		for _, l := range list {
			present[l.GetId()] = l
		}
	}
	left, why := 0, ""
	for _, s := range had {
		if is := present[s.GetId()]; is != nil && !runsSince(s, is) {
			left++
			why = fmt.Sprintf("%s is %s: %s", is.GetId(), is.GetState(), is.GetWhy())
		}
	}
	return left == 0, fmt.Sprintf("%d of %d spans run elsewhere; %s", len(had)-left, len(had), why), nil
}

func runsSince(was, is *controlv1.Span) bool {
	return is.GetState() == "paused" || is.GetSession() != 0 && is.GetSession() != was.GetSession() && is.GetState() != "absent"
}
