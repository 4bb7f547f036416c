package maintainer

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

const (
	// spansAtOnce is how many spans a keyspace may have to be created by one transaction: etcd takes 128 writes in one.
	spansAtOnce = 90
	// keptRequests is how many request ids of its own commands a keyspace record remembers. It is written often; the history
	// remembers all of them.
	keptRequests = 64
)

// createKeyspace makes a keyspace and its spans, all at once if they are few. Of many, the record of the keyspace comes
// first, in state creating; whoever repeats the request, at whichever leader, goes on from what is there.
func (c *control) createKeyspace(ctx context.Context, t *term, q *controlv1.CreateKeyspaceRequest) (*controlv1.CreateKeyspaceResponse, error) {
	if err := keys.CheckName("keyspace", q.GetName()); err != nil {
		return nil, err
	}
	ranges, err := checkRanges(q.GetRanges())
	if err != nil {
		return nil, err
	}
	decide := func(s *view.State, who asker, prior *view.Request) (plan, error) {
		if prior != nil {
			return c.planRest(s, prior, q.GetName(), ranges), nil
		}
		return c.planCreate(s, t, who, q, ranges)
	}
	id, err := c.accept(ctx, t, "keyspace", keyspaceLock(q.GetName()), q, decide)
	if err != nil {
		return nil, err
	}
	return &controlv1.CreateKeyspaceResponse{Keyspace: c.renderedKeyspace(t, q.GetName()), Operator: c.operator(id)}, nil
}

func (c *control) planCreate(s *view.State, t *term, who asker, q *controlv1.CreateKeyspaceRequest, ranges []span.Range) (plan, error) {
	if err := checkNew(s, q.GetName()); err != nil {
		return plan{}, err
	}
	if err := checkWorkload(s, q.GetWorkload()); err != nil {
		return plan{}, err
	}
	if err := checkNamed(s, nil, q.GetSet()); err != nil {
		return plan{}, err
	}
	if err := c.checkFirst(s, q.GetName(), q.GetSet(), len(ranges)); err != nil {
		return plan{}, err
	}
	check := func() error { return c.validate(q.GetWorkload(), q.GetSet(), ranges, ranges) }
	now, id := time.Now(), t.nextOperator()
	ks := operator.Keyspace{Name: q.GetName(), Keyspace: record.Keyspace{
		Workload: q.GetWorkload(), Settings: q.GetSet(), State: record.KeyspaceCreating,
		Requests: []record.Request{who.request(id, now)}, CreatedBy: id, CreatedAt: now, ExpectedSpans: int64(len(ranges)),
	}}
	if len(ranges) > spansAtOnce {
		return plan{operator: id, check: check, more: true, parts: []txn.Part{operator.BeginKeyspace(c.layout, ks)}}, nil
	}
	ks.State = record.KeyspaceRunning
	part := operator.CreateKeyspace(c.layout, ks, newSpans(&ks, ranges), created(&ks, now))
	return plan{operator: id, check: check, parts: []txn.Part{part}}, nil
}

// checkNew refuses a name under which something is stored.
func checkNew(s *view.State, name string) error {
	f := fault.New(fault.AlreadyExists, "exists already").On("keyspace", name).Fix("choose another name; see `spanward keyspace show %s`", name)
	ks, err := keyspaceNamed(s, "keyspace", name)
	switch {
	case ks != nil && ks.State == record.KeyspaceCreating:
		i := creation(ks)
		f.Message = "is being created by operator " + ks.CreatedBy
		return f.Fix("if whoever creates it has stopped, repeat that command with --request-id %s, or give it up with `spanward keyspace delete %s`",
			i.RequestID, name)
	case ks != nil && ks.Pending != nil && ks.State == record.KeyspaceDeleting:
		f.Message = "is being deleted by operator " + ks.Pending.Operator
		return f.Fix("wait until that is over, or choose another name")
	case ks != nil:
		return f
	case !fault.Is(err, fault.UnknownKeyspace):
		return err
	case s.SpanCount(name)+s.QuarantinedSpans(name) > 0:
		return fault.New(fault.Refused, "spans are stored under this name, without a keyspace record").On("keyspace", name).
			Fix("choose another name, or delete what is left in etcd")
	}
	return nil
}

// planRest goes on with a creation: the spans that are missing, then the end of it. One that has ended, or was given up by
// a delete, is only told of.
func (c *control) planRest(s *view.State, prior *view.Request, name string, ranges []span.Range) plan {
	ks := s.Keyspace(name)
	if ks == nil || ks.State != record.KeyspaceCreating || ks.CreatedBy != prior.Operator {
		return plan{operator: prior.Operator}
	}
	p := plan{operator: prior.Operator, more: true}
	for _, sp := range newSpans(ks, ranges) {
		if s.Span(sp.Ref) == nil {
			p.parts = append(p.parts, operator.PutNewSpan(c.layout, *ks, sp))
		}
	}
	if len(p.parts) > 0 {
		return p
	}
	next := ks.Keyspace
	next.State = record.KeyspaceRunning
	h := created(ks, time.Now())
	return plan{operator: prior.Operator, parts: []txn.Part{operator.SetKeyspace(c.layout, *ks, next, &h)}}
}

// newSpans are all spans that the creation of a keyspace makes.
func newSpans(ks *operator.Keyspace, ranges []span.Range) []operator.Span {
	out := make([]operator.Span, len(ranges))
	for i, r := range ranges {
		out[i] = operator.Span{
			Ref:  operator.Ref{Keyspace: ks.Name, ID: spanID(ks.CreatedBy, i)},
			Span: record.Span{Range: r, CreatedAt: ks.CreatedAt},
		}
	}
	return out
}

// creation is the operator that makes a keyspace, as its record tells it.
func creation(ks *view.Keyspace) *record.Intent {
	var who asker
	for _, r := range ks.Requests {
		if r.Operator == ks.CreatedBy {
			who = asker{id: r.ID, body: r.Body}
			break
		}
	}
	return who.intent(ks.CreatedBy, record.KindKeyspace, ks.CreatedAt)
}

// created ends it.
func created(ks *view.Keyspace, now time.Time) record.History {
	i := creation(ks).Marked(record.Mark{Stage: record.StageFinished, At: now})
	return record.History{Intent: *i, Outcome: record.OutcomeDone, FinishedAt: now}
}

// setKeyspace changes settings; those that are not named stay. A span is opened with the settings of that moment: those
// that run go on with theirs until they are opened again.
func (c *control) setKeyspace(ctx context.Context, t *term, q *controlv1.SetKeyspaceRequest) (*controlv1.SetKeyspaceResponse, error) {
	_, err := c.accept(ctx, t, "keyspace", keyspaceLock(q.GetName()), q, once(func(s *view.State, who asker) (plan, error) {
		return c.planSet(s, t, who, q)
	}))
	if err != nil {
		return nil, err
	}
	return &controlv1.SetKeyspaceResponse{Keyspace: c.renderedKeyspace(t, q.GetName())}, nil
}

// planSet makes an operator that is over at once: so its request id is remembered like any other.
func (c *control) planSet(s *view.State, t *term, who asker, q *controlv1.SetKeyspaceRequest) (plan, error) {
	ks, err := keyspaceNamed(s, "keyspace", q.GetName())
	if err != nil {
		return plan{}, err
	}
	if len(q.GetSet()) == 0 {
		return plan{}, fault.New(fault.InvalidArgument, "is missing").On("set", "").Fix("name at least one setting, as name=value")
	}
	// One that is being deleted, too: its spans may have to be opened once more, which wrong settings would not let them.
	if err := checkState(ks, record.KeyspaceRunning, record.KeyspacePaused, record.KeyspaceDeleting); err != nil {
		return plan{}, err
	}
	next := ks.Keyspace
	next.Settings = maps.Clone(ks.Settings)
	if next.Settings == nil {
		next.Settings = map[string]string{}
	}
	maps.Copy(next.Settings, q.GetSet())
	if err := checkNamed(s, ks.Settings, next.Settings); err != nil {
		return plan{}, err
	}
	next.Settings = withoutTakenBack(next.Settings)
	all := rangesOf(s, ks.Name)
	p := c.rewrite(s, t, who, ks, next, q.GetSet())
	p.check = func() error { return c.validate(ks.Workload, next.Settings, all, all) }
	return p, nil
}

// rewrite plans new settings for a keyspace.
func (c *control) rewrite(s *view.State, t *term, who asker, ks *view.Keyspace, next record.Keyspace, set map[string]string) plan {
	id, now := t.nextOperator(), time.Now()
	next.Requests = c.keep(s).remembered(ks.Requests, who.request(id, now), keptRequests)
	i := who.intent(id, record.KindKeyspace, now)
	i.Reason = "set " + strings.Join(slices.Sorted(maps.Keys(set)), ", ") + ", asked for by a user"
	i = i.Marked(record.Mark{Stage: record.StageFinished, At: now})
	h := record.History{Intent: *i, Outcome: record.OutcomeDone, FinishedAt: now}
	return plan{operator: id, parts: []txn.Part{operator.SetKeyspace(c.layout, *ks, next, &h)}}
}
