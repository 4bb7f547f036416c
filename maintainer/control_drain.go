package maintainer

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/view"
)

// CordonNode is part of the control API.
func (c *control) CordonNode(ctx context.Context, q *controlv1.CordonNodeRequest) (*controlv1.CordonNodeResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.CordonNode, c.cordonNode)
}

// UncordonNode is part of the control API.
func (c *control) UncordonNode(ctx context.Context, q *controlv1.UncordonNodeRequest) (*controlv1.UncordonNodeResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.UncordonNode, c.uncordonNode)
}

// DrainNode is part of the control API.
func (c *control) DrainNode(ctx context.Context, q *controlv1.DrainNodeRequest) (*controlv1.DrainNodeResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.DrainNode, c.drainNode)
}

func (c *control) cordonNode(ctx context.Context, t *term, q *controlv1.CordonNodeRequest) (*controlv1.CordonNodeResponse, error) {
	err := c.configureNode(ctx, t, q, q.GetName(), func(_ *view.State, _ *view.Node, next *record.NodeConfig) error {
		next.Cordoned = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.CordonNodeResponse{Node: c.renderedNode(t, q.GetName())}, nil
}

func (c *control) uncordonNode(ctx context.Context, t *term, q *controlv1.UncordonNodeRequest) (*controlv1.UncordonNodeResponse, error) {
	err := c.configureNode(ctx, t, q, q.GetName(), func(_ *view.State, _ *view.Node, next *record.NodeConfig) error {
		next.Cordoned, next.Draining, next.DrainSession = false, false, 0
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.UncordonNodeResponse{Node: c.renderedNode(t, q.GetName())}, nil
}

// nodesLock is held by all commands but evictions: whether a drain leaves a node that could take over depends on the others.
const nodesLock = "nodes"

const startAgain = "start it again first, or see `spanward node list`"

// configureNode records a decision about a node. What the leader does about it follows from the record.
func (c *control) configureNode(
	ctx context.Context, t *term, q change, name string, decide func(*view.State, *view.Node, *record.NodeConfig) error,
) error {
	if err := keys.CheckName("node", name); err != nil {
		return err
	}
	_, err := c.accept(ctx, t, "node", nodesLock, q, once(func(s *view.State, who asker) (plan, error) {
		return c.configure(s, who, name, startAgain, func(n *view.Node, next *record.NodeConfig) error { return decide(s, n, next) })
	}))
	return err
}

// shownStuck bounds the spans that the answer to a drain names.
const shownStuck = 100

func (c *control) drainNode(ctx context.Context, t *term, q *controlv1.DrainNodeRequest) (*controlv1.DrainNodeResponse, error) {
	if err := keys.CheckName("node", q.GetName()); err != nil {
		return nil, err
	}
	if err := c.awaitNodes(ctx, t); err != nil {
		return nil, err
	}
	preview, err := c.previewDrain(t, q)
	if err != nil || q.GetDryRun() {
		return preview, err
	}
	err = c.configureNode(ctx, t, q, q.GetName(), func(s *view.State, n *view.Node, next *record.NodeConfig) error {
		if err := checkDrain(s, t.known, n, q); err != nil {
			return err
		}
		lasts := next.Draining && next.DrainSession == 0
		if next.Draining = true; !q.GetThisSession() {
			next.DrainSession = 0
		} else if !lasts {
			next.DrainSession = n.Session
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	preview.Node, preview.Moves = c.renderedNode(t, q.GetName()), nil
	preview.Stuck = preview.Stuck[:min(shownStuck, len(preview.Stuck))]
	return preview, nil
}

// awaitNodes gives nodes that the term has not heard of yet a moment to connect: just after an election that is true of
// all of them, and no reason to think that nobody could take over.
func (c *control) awaitNodes(ctx context.Context, t *term) error {
	for until := time.Now().Add(electionWait); time.Now().Before(until); {
		var sessions []int64
		c.view.Read(func(s *view.State) {
			for n := range s.Nodes() {
				sessions = append(sessions, n.Session)
			}
		})
		unheard := func(session int64) bool {
			k := t.known.node(session)
			return !k.connected && k.since.IsZero()
		}
		if !slices.ContainsFunc(sessions, unheard) {
			return nil
		}
		if !pause(ctx, electionPoll) {
			return ctx.Err()
		}
	}
	return nil
}

// previewDrain says what a drain would do now. A request that was carried out before is not judged by what is now.
func (c *control) previewDrain(t *term, q *controlv1.DrainNodeRequest) (out *controlv1.DrainNodeResponse, err error) {
	c.view.Read(func(s *view.State) {
		n := s.Node(q.GetName())
		if q.GetDryRun() {
			if n, err = nodeNamed(s, q.GetName(), startAgain); err == nil {
				err = checkDrain(s, t.known, n, q)
			}
		}
		if out = (&controlv1.DrainNodeResponse{}); err == nil && n != nil {
			previewMoves(s, t.known, n, out)
		}
	})
	if err == nil {
		out.Node = c.renderedNode(t, q.GetName())
	}
	return out, err
}

// checkDrain refuses to drain a session that is not meant, and to leave a keyspace without a node that could run it.
func checkDrain(s *view.State, k *known, n *view.Node, q *controlv1.DrainNodeRequest) error {
	if q.GetSession() != 0 && q.GetSession() != n.Session {
		return fault.New(fault.Refused, "that session of node %s is over", n.Name).On("session", strconv.FormatInt(q.GetSession(), 10)).
			Fix("nothing is left to be drained")
	}
	if q.GetForce() {
		return nil
	}
	left, why := abandoned(s, k, n)
	if len(left) == 0 {
		return nil
	}
	text := "keyspace " + left[0]
	if len(left) > 1 {
		text = fmt.Sprintf("%s and %d more", text, len(left)-1)
	}
	return fault.New(fault.Refused, "%s would be left without a node that could run it: %s", text, why).On("node", n.Name).
		Fix("start another node, or `spanward node uncordon` one; with --force its spans stay until one can take them")
}

// abandoned are the keyspaces that no other node could run, with what stands against the others.
func abandoned(s *view.State, k *known, n *view.Node) (names []string, why string) {
	nodes := nodesOf(s)
	here := map[string]bool{}
	for sp := range s.OwnedBy(n.Session) {
		here[sp.Keyspace] = true
	}
	for ks := range s.Keyspaces() {
		if ks.State == record.KeyspaceDeleting || !slices.Contains(n.Workloads, ks.Workload) {
			continue
		}
		rules := rulesIn(ks.Settings)
		var against []string
		taken, now := false, here[ks.Name]
		for _, f := range nodes {
			switch {
			case f.name == n.Name:
				now = now || f.against(ks, rules, k) == ""
			case f.node != nil:
				if text := f.against(ks, rules, k); text != "" {
					against = append(against, f.name+" "+text)
				} else {
					taken = true
				}
			}
		}
		if taken || !now {
			continue
		}
		if names = append(names, ks.Name); why == "" {
			if why = strings.Join(against[:min(3, len(against))], ", "); why == "" {
				why = "no other node is registered"
			}
		}
	}
	return names, why
}

// against says why new spans of a keyspace are not opened on the node, "" if they are. Being full is not among it: that
// passes, and is found out span by span.
func (f nodeFacts) against(ks *view.Keyspace, rules *scheduler.Rules, k *known) string {
	lacking, lacks := rules.Lacks(scheduler.Node{Name: f.name, Labels: f.node.Labels})
	switch state := f.state(k.node(f.session())); {
	case !f.runs(ks.Workload):
		return "does not run " + ks.Workload
	case lacks:
		return fmt.Sprintf("does not have %s", lacking)
	case state != nodeReady:
		return "is " + state
	case f.config.Evicted == f.session():
		return "is being evicted"
	}
	return ""
}
