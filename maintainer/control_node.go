package maintainer

import (
	"context"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/view"
)

// EvictNode is part of the control API.
func (c *control) EvictNode(ctx context.Context, q *controlv1.EvictNodeRequest) (*controlv1.EvictNodeResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.EvictNode, c.evictNode)
}

// evictNode declares the present session of a node dead. What follows, the end of its lease and then of its right to
// act, follows from that record.
func (c *control) evictNode(ctx context.Context, t *term, q *controlv1.EvictNodeRequest) (*controlv1.EvictNodeResponse, error) {
	if err := keys.CheckName("node", q.GetName()); err != nil {
		return nil, err
	}
	_, err := c.accept(ctx, t, "evict", nodeLock(q.GetName()), q, once(func(s *view.State, who asker) (plan, error) {
		return c.planEvict(s, who, q.GetName())
	}))
	if err != nil {
		return nil, err
	}
	c.awaitEvicted(ctx, q.GetName())
	return &controlv1.EvictNodeResponse{Node: c.renderedNode(t, q.GetName())}, nil
}

func (c *control) planEvict(s *view.State, who asker, name string) (plan, error) {
	return c.configure(s, who, name, "nothing is left to be ended; see `spanward node list`", func(n *view.Node, next *record.NodeConfig) error {
		next.Evicted = n.Session
		return nil
	})
}

// configure plans a change of what administrators have decided about a node that is registered.
func (c *control) configure(
	s *view.State, who asker, name, gone string, change func(n *view.Node, next *record.NodeConfig) error,
) (plan, error) {
	n, err := nodeNamed(s, name, gone)
	if err != nil {
		return plan{}, err
	}
	var next record.NodeConfig
	var mod int64
	if cfg := s.NodeConfig(name); cfg != nil {
		next, mod = cfg.NodeConfig, cfg.Mod
	} else if q := quarantined(s, func(p keys.Parsed) bool { return p.Kind == keys.NodeConfig && p.Name == name }); q != nil {
		return plan{}, unreadable("node", name, q)
	}
	if err := change(n, &next); err != nil {
		return plan{}, err
	}
	next.Requests = c.keep(s).remembered(next.Requests, who.request("", time.Now()), keptNodeRequests)
	return plan{parts: []txn.Part{operator.Configure(c.layout, name, mod, n.Session, next)}}, nil
}

// nodeNamed finds a node that is registered. gone is what to do if it is not any more.
func nodeNamed(s *view.State, name, gone string) (*view.Node, error) {
	if n := s.Node(name); n != nil {
		return n, nil
	}
	if _, known := nodeFactsOf(s, name); known {
		return nil, fault.New(fault.UnknownNode, "is gone: its session is over").On("node", name).Fix("%s", gone)
	}
	return nil, unknownNode("node", name)
}

const (
	// evictedWait is how long the answer waits for the session to end, which takes a moment if etcd is well.
	evictedWait = 2 * time.Second
	evictedPoll = 20 * time.Millisecond
)

// awaitEvicted gives the leader time to end the session, so that the answer shows the node as it is afterwards.
func (c *control) awaitEvicted(ctx context.Context, name string) {
	for until := time.Now().Add(evictedWait); time.Now().Before(until); {
		over := false
		c.view.Read(func(s *view.State) {
			n, cfg := s.Node(name), s.NodeConfig(name)
			over = n == nil || cfg == nil || n.Session != cfg.Evicted
		})
		if over || !pause(ctx, evictedPoll) {
			return
		}
	}
}

func (c *control) renderedNode(t *term, name string) *controlv1.Node {
	f := nodeFacts{name: name}
	c.view.Read(func(s *view.State) {
		if got, ok := nodeFactsOf(s, name); ok {
			f = got
		}
	})
	return renderNode(f, t.known.node(f.session()), c.elapsed())
}

func nodeLock(name string) string { return "node " + name }
