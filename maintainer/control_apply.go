package maintainer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

const (
	// maxApplied bounds the operators of one request, and appliedAtOnce those that are being accepted at a time: they share
	// the view, and transactions of etcd.
	maxApplied    = 500
	appliedAtOnce = 32
	// maxReason bounds the reason of an operator in a plan, in bytes: it is stored with the operator.
	maxReason = 1000
)

// ApplyPlan is part of the control API.
func (c *control) ApplyPlan(ctx context.Context, q *controlv1.ApplyPlanRequest) (*controlv1.ApplyPlanResponse, error) {
	return unary(ctx, c, q, controlv1.ControlClient.ApplyPlan, c.applyPlan)
}

// applyPlan accepts the operators of a plan, each on its own: one that is refused is no reason to leave the others. Where it
// is not known what became of one, the whole call fails, and may be repeated: what was accepted is not accepted again.
func (c *control) applyPlan(ctx context.Context, t *term, q *controlv1.ApplyPlanRequest) (*controlv1.ApplyPlanResponse, error) {
	if err := checkApply(q); err != nil {
		return nil, err
	}
	if err := c.awaitNodes(ctx, t); err != nil {
		return nil, err
	}
	askers := askersOf(q)
	if err := c.checkSame(askers); err != nil {
		return nil, err
	}
	out := &controlv1.ApplyPlanResponse{Results: make([]*controlv1.ApplyPlanResponse_Result, len(askers))}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(appliedAtOnce)
	for i, o := range q.GetOperators() {
		g.Go(func() (err error) {
			out.Results[i], err = c.apply(ctx, t, askers[i], o)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// appliedTypes are the operators that plans have.
var appliedTypes = []string{record.KindName(record.KindMove), record.KindName(record.KindSplit), record.KindName(record.KindMerge)}

// checkApply refuses what is no plan, before anything of it is done.
func checkApply(q *controlv1.ApplyPlanRequest) error {
	ops := q.GetOperators()
	if len(ops) > maxApplied {
		return fault.New(fault.InvalidArgument, "%d of them are too many for one request", len(ops)).On("operators", "").
			Fix("send at most %d at a time", maxApplied)
	}
	if err := checkRequestID(partID(q.GetRequestId(), max(0, len(ops)-1))); err != nil {
		return err
	}
	named := map[[2]string]bool{}
	for n, o := range ops {
		if err := checkPlanned(o); err != nil {
			return err.On("operators", strconv.Itoa(n)).Fix("make a new plan with `spanward plan`")
		}
		for _, sp := range o.GetSpans() {
			ref := [2]string{o.GetKeyspace(), sp.GetId()}
			if named[ref] {
				return fault.New(fault.InvalidArgument, "is named twice").On("span", sp.GetId()).Fix("make a new plan with `spanward plan`")
			}
			named[ref] = true
		}
	}
	return nil
}

// checkPlanned says what is wrong with an operator of a plan, whatever the state of things, nil if nothing is.
func checkPlanned(o *controlv1.PlannedOperator) *fault.Error {
	bad := func(format string, args ...any) *fault.Error {
		return fault.New(fault.InvalidArgument, format, args...)
	}
	n, reason := len(o.GetSpans()), o.GetReason()
	switch {
	case !slices.Contains(appliedTypes, o.GetType()):
		return bad("is of type %q, and plans have moves, splits and merges", o.GetType())
	case n == 0, n > 1 && o.GetType() != record.KindName(record.KindMerge):
		return bad("is a %s of %d spans", o.GetType(), n)
	case len(reason) > maxReason:
		return bad("has a reason of %d bytes, and may have %d", len(reason), maxReason)
	case !utf8.ValidString(reason), slices.ContainsFunc([]rune(reason), func(r rune) bool { return !unicode.IsGraphic(r) }):
		return bad("has a reason that cannot be printed")
	}
	return nil
}

// partID is the request id of one operator of a request.
func partID(id string, n int) string { return fmt.Sprintf("%s/%d", id, n) }

// askersOf gives each operator of a plan a request id of its own. With another plan it is another request.
func askersOf(q *controlv1.ApplyPlanRequest) []asker {
	whole := digest(q)
	out := make([]asker, len(q.GetOperators()))
	for n, o := range q.GetOperators() {
		out[n] = asker{id: partID(q.GetRequestId(), n), body: whole, why: "plan: " + o.GetReason()}
	}
	return out
}

// checkSame refuses a plan of which some request id was used for something else, before anything of it is done.
func (c *control) checkSame(askers []asker) (err error) {
	c.view.Read(func(s *view.State) {
		for _, who := range askers {
			if err = who.checkSame(s.Request(who.id)); err != nil {
				return
			}
		}
	})
	return err
}

// apply accepts one operator, or says why it is refused.
func (c *control) apply(ctx context.Context, t *term, who asker, o *controlv1.PlannedOperator) (*controlv1.ApplyPlanResponse_Result, error) {
	lock := ""
	if o.GetType() == record.KindName(record.KindSplit) {
		lock = keyspaceLock(o.GetKeyspace())
	}
	id, err := c.acceptAs(ctx, t, o.GetType(), lock, who, once(func(s *view.State, who asker) (plan, error) {
		return c.planApplied(s, t, who, o)
	}))
	if err == nil {
		return &controlv1.ApplyPlanResponse_Result{Operator: c.operator(id)}, nil
	}
	f, explained := fault.As(err)
	if !explained || f.Reason == fault.RequestConflict || f.Reason.Class() != fault.ClassConflict && f.Reason.Class() != fault.ClassUsage {
		return nil, err
	}
	said := *f
	said.Remedy = ""
	return &controlv1.ApplyPlanResponse_Result{Refused: said.Error(), Reason: string(f.Reason), Remedy: f.Remedy}, nil
}

// planApplied holds an operator to the records that it was planned on, and then to what holds for a user's own.
func (c *control) planApplied(s *view.State, t *term, who asker, o *controlv1.PlannedOperator) (plan, error) {
	var ids []string
	for _, planned := range o.GetSpans() {
		sp, err := idleSpan(s, o.GetKeyspace(), planned.GetId(), record.KeyspaceRunning)
		if err != nil {
			return plan{}, err
		}
		if sp.Mod != planned.GetRevision() {
			return plan{}, outdated("its record has changed since the plan was made", sp)
		}
		ids = append(ids, planned.GetId())
	}
	switch o.GetType() {
	case record.KindName(record.KindSplit):
		return c.planSplit(s, t, who, &controlv1.SplitSpanRequest{Keyspace: o.GetKeyspace(), Span: ids[0], At: o.GetAt()})
	case record.KindName(record.KindMerge):
		return c.planMerge(s, t, who, &controlv1.MergeSpansRequest{Keyspace: o.GetKeyspace(), Spans: ids})
	default:
		return c.planAppliedMove(s, t, who, s.Span(operator.Ref{Keyspace: o.GetKeyspace(), ID: span.ID(ids[0])}), o)
	}
}

func (c *control) planAppliedMove(s *view.State, t *term, who asker, sp *view.Span, o *controlv1.PlannedOperator) (plan, error) {
	if o.GetFrom() != sp.Owner.Node {
		return plan{}, outdated(fmt.Sprintf("the plan has it on %s, and it is on %s", cmp.Or(o.GetFrom(), "no node"), cmp.Or(sp.Owner.Node, "no node")), sp)
	}
	if err := checkTarget(s, t.known, sp, o.GetTo()); err != nil {
		return plan{}, err
	}
	return c.planOn(t, sp, who, record.KindMove, o.GetTo()), nil
}

func outdated(text string, sp *view.Span) error {
	return fault.New(fault.PlanOutdated, "%s", text).On("span", string(sp.ID)).Fix("make a new plan with `spanward plan`")
}
