package maintainer

import (
	"context"
	"fmt"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

func (c *control) addSpan(ctx context.Context, t *term, q *controlv1.AddSpanRequest) (*controlv1.AddSpanResponse, error) {
	id, err := c.accept(ctx, t, "add", keyspaceLock(q.GetKeyspace()), q, once(func(s *view.State, who asker) (plan, error) {
		return c.planAdd(s, t, who, q)
	}))
	if err != nil {
		return nil, err
	}
	return &controlv1.AddSpanResponse{Operator: c.operator(id)}, nil
}

func (c *control) planAdd(s *view.State, t *term, who asker, q *controlv1.AddSpanRequest) (plan, error) {
	ks, err := keyspaceNamed(s, "keyspace", q.GetKeyspace())
	if err != nil {
		return plan{}, err
	}
	if q.GetRange() == nil {
		return plan{}, fault.New(fault.InvalidArgument, "is missing").On("range", "").Fix("give the range as START:END; : is everything")
	}
	r := rangeOf(q.GetRange())
	if err := r.Validate(); err != nil {
		return plan{}, err
	}
	if err := checkState(ks, record.KeyspaceRunning, record.KeyspacePaused); err != nil {
		return plan{}, err
	}
	if err := checkFree(s, ks.Name, r); err != nil {
		return plan{}, err
	}
	if err := c.checkGrowth(s, ks, 1); err != nil {
		return plan{}, err
	}
	all := append(rangesOf(s, ks.Name), r)
	check := func() error { return c.validate(ks.Workload, ks.Settings, []span.Range{r}, all) }
	now := time.Now()
	id := t.nextOperator()
	made := operator.Span{
		Ref:  operator.Ref{Keyspace: ks.Name, ID: spanID(id, 0)},
		Span: record.Span{Range: r, CreatedAt: now},
	}
	i := who.intent(id, record.KindAdd, now)
	i.Results = []string{string(made.ID)}
	return plan{operator: id, check: check, parts: []txn.Part{operator.Add(c.layout, *ks, made, i, now)}}, nil
}

// checkFree refuses a range in which there is something already, or may be.
func checkFree(s *view.State, keyspace string, r span.Range) error {
	for sp := range s.Overlapping(keyspace, r) {
		both, _ := r.Intersect(sp.Range)
		return fault.New(fault.RangeOverlap, "overlaps span %s (%s) in %s", sp.ID, sp.Range, both).
			On("range", r.String()).Fix("choose a range that no span of keyspace %s has; see `spanward span list %s`", keyspace, keyspace)
	}
	if n := s.QuarantinedSpans(keyspace); n > 0 {
		return fault.New(fault.Refused, "%d span records of keyspace %s cannot be read, and may cover it", n, keyspace).
			On("range", r.String()).Fix("repair them first; see problems in `spanward status`")
	}
	return nil
}

// spanID is the id of the nth span that an operator makes.
func spanID(operator string, n int) span.ID { return span.ID(fmt.Sprintf("%s.%d", operator, n)) }

func (c *control) moveSpan(ctx context.Context, t *term, q *controlv1.MoveSpanRequest) (*controlv1.MoveSpanResponse, error) {
	if err := c.awaitNode(ctx, t, q.GetTo()); err != nil {
		return nil, err
	}
	if err := c.awaitScheduler(ctx, q.GetKeyspace(), q.GetSpan()); err != nil {
		return nil, err
	}
	id, err := c.accept(ctx, t, "move", "", q, once(func(s *view.State, who asker) (plan, error) {
		sp, err := idleSpan(s, q.GetKeyspace(), q.GetSpan(), record.KeyspaceRunning)
		if err != nil {
			return plan{}, err
		}
		if err := checkTarget(s, t.known, sp, q.GetTo()); err != nil {
			return plan{}, err
		}
		return c.planOn(t, sp, who, record.KindMove, q.GetTo()), nil
	}))
	if err != nil {
		return nil, err
	}
	return &controlv1.MoveSpanResponse{Operator: c.operator(id)}, nil
}

// awaitNode gives a node that the term has not heard of yet a moment to connect: just after an election that is true of
// all of them, and no reason to refuse a target.
func (c *control) awaitNode(ctx context.Context, t *term, name string) error {
	for until := time.Now().Add(electionWait); time.Now().Before(until); {
		var session int64
		c.view.Read(func(s *view.State) {
			if n := s.Node(name); n != nil {
				session = n.Session
			}
		})
		heard := t.known.node(session)
		if session == 0 || heard.connected || !heard.since.IsZero() {
			return nil
		}
		if !pause(ctx, electionPoll) {
			return ctx.Err()
		}
	}
	return nil
}

// planOn puts an intent into the record of one span.
func (c *control) planOn(t *term, sp *view.Span, who asker, kind record.Kind, to string) plan {
	i := who.intent(t.nextOperator(), kind, time.Now())
	i.From, i.To, i.Spans = sp.Owner.Node, to, []string{string(sp.ID)}
	return plan{operator: i.Operator, parts: []txn.Part{operator.Accept(c.layout, []operator.Span{*sp}, i)}}
}

// idleSpan finds a span on which nothing is in flight.
func idleSpan(s *view.State, keyspace, id string, fits ...record.KeyspaceState) (*view.Span, error) {
	ks, err := keyspaceNamed(s, "keyspace", keyspace)
	if err != nil {
		return nil, err
	}
	sp, err := spanNamed(s, ks.Name, id)
	if err != nil {
		return nil, err
	}
	switch c := s.Claim(sp.Ref); {
	case sp.Intent != nil:
		return nil, busyWith(sp)
	case c != nil:
		return nil, fault.New(fault.SpanBusy, "%s is %s it", c.Node, record.StageName(c.Stage)).On("span", id).
			Fix("wait until that is over; see `spanward operator list`")
	}
	return sp, checkState(ks, fits...)
}

func target(to string) string {
	if to == "" {
		return ""
	}
	return " to " + to
}

// checkTarget refuses a node that would not take the span now.
func checkTarget(s *view.State, k *known, sp *view.Span, to string) error {
	if to == "" {
		return fault.New(fault.InvalidArgument, "is missing").On("to", "").Fix("name a node; see `spanward node list`")
	}
	f, ok := nodeFactsOf(s, to)
	if !ok {
		return unknownNode("to", to)
	}
	if f.node == nil {
		return fault.New(fault.UnknownNode, "is gone").On("to", to).Fix("start it again, or choose one that is ready in `spanward node list`")
	}
	ks := s.Keyspace(sp.Keyspace)
	notReady := func(format string, args ...any) error {
		return fault.New(fault.NodeNotReady, format, args...).On("to", to).Fix("choose one that is ready in `spanward node list`")
	}
	switch state := f.state(k.node(f.session())); {
	case sp.Owner.Session == f.node.Session:
		return fault.New(fault.NotMoved, "span %s is there already", sp.ID).On("to", to).Fix("choose another node")
	case !f.runs(ks.Workload):
		return notReady("does not run %s", ks.Workload)
	case state != nodeReady:
		return notReady("is %s", state)
	case f.config.Evicted == f.node.Session:
		return notReady("is being evicted")
	case f.full():
		return notReady("is at its capacity of %d spans", f.node.Capacity)
	}
	if why := forbids(ks, *sp, f); why != "" {
		return fault.New(fault.Refused, "%s", why).On("to", to).
			Fix("choose a node that it may have, or change the rules of keyspace %s with `spanward keyspace set`", ks.Name)
	}
	return nil
}

// operator is one as it is now.
func (c *control) operator(id string) *controlv1.Operator {
	out := &controlv1.Operator{Id: id} // trimmed from the history in the meantime
	c.view.Read(func(s *view.State) {
		if o := operatorByID(s, id); o != nil {
			out = o
		}
	})
	return out
}

func keyspaceLock(name string) string { return "keyspace " + name }
