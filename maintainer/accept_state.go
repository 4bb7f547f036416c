package maintainer

import (
	"context"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/view"
)

// stateVerbs are the commands that change the state of a keyspace, with the states in which each is accepted.
var stateVerbs = map[string][]record.KeyspaceState{
	"pause":  {record.KeyspaceRunning},
	"resume": {record.KeyspacePaused},
	"delete": {record.KeyspaceRunning, record.KeyspacePaused, record.KeyspaceCreating},
}

// changeKeyspaceState pauses, resumes or deletes. Each is an operator: resuming is over once it is accepted, since what
// follows is placement; the others stand in the keyspace record until its spans are closed, or gone.
func (c *control) changeKeyspaceState(ctx context.Context, t *term, q *controlv1.ChangeKeyspaceStateRequest) (*controlv1.ChangeKeyspaceStateResponse, error) {
	if stateVerbs[q.GetVerb()] == nil {
		return nil, fault.New(fault.InvalidArgument, "cannot be done to a keyspace").On("verb", q.GetVerb()).Fix("use pause, resume or delete")
	}
	id, err := c.accept(ctx, t, "keyspace", keyspaceLock(q.GetName()), q, once(func(s *view.State, who asker) (plan, error) {
		return c.planState(s, t, who, q)
	}))
	if err != nil {
		return nil, err
	}
	return &controlv1.ChangeKeyspaceStateResponse{Keyspace: c.renderedKeyspace(t, q.GetName()), Operator: c.operator(id)}, nil
}

func (c *control) planState(s *view.State, t *term, who asker, q *controlv1.ChangeKeyspaceStateRequest) (plan, error) {
	ks, err := keyspaceNamed(s, "keyspace", q.GetName())
	if err != nil {
		return plan{}, err
	}
	if err := checkVerb(ks, q.GetVerb()); err != nil {
		return plan{}, err
	}
	now, id := time.Now(), t.nextOperator()
	i := who.intent(id, record.KindKeyspace, now)
	i.Reason = q.GetVerb() + ", asked for by a user"
	next := ks.Keyspace
	next.RangeGeneration++
	next.Requests = c.keep(s).remembered(ks.Requests, who.request(id, now), keptRequests)
	if q.GetVerb() == "resume" {
		next.State = record.KeyspaceRunning
		i = i.Marked(record.Mark{Stage: record.StageFinished, At: now})
		h := record.History{Intent: *i, Outcome: record.OutcomeDone, FinishedAt: now}
		return plan{operator: id, parts: []txn.Part{operator.SetKeyspace(c.layout, *ks, next, &h)}}, nil
	}
	next.State, next.Pending = record.KeyspacePaused, i.Marked(record.Mark{Stage: record.StageClosing, At: now})
	if q.GetVerb() == "delete" {
		next.State = record.KeyspaceDeleting
	}
	return plan{operator: id, parts: []txn.Part{operator.AcceptKeyspace(c.layout, *ks, next, overtaken(ks, who, id, now))}}, nil
}

// overtaken ends what a delete takes the place of: a pause that is not over, or a creation that nobody goes on with. It is
// nil if there is nothing.
func overtaken(ks *view.Keyspace, who asker, by string, now time.Time) *record.History {
	i := ofKeyspace(ks)
	if i == nil {
		return nil
	}
	cause := who.cause(by)
	return &record.History{
		Intent: *i.Marked(record.Mark{Stage: record.StageFinished, At: now}), Outcome: record.OutcomeCancelled,
		Error: "superseded by delete, operator " + by, Cause: &cause, FinishedAt: now,
	}
}

// checkVerb refuses a command that does not fit what the keyspace is, or what holds it. Only a delete does not wait for a
// pause or a creation to be over.
func checkVerb(ks *view.Keyspace, verb string) error {
	state := record.KeyspaceStateName(ks.State)
	switch {
	case ks.Pending != nil && (verb != "delete" || ks.State == record.KeyspaceDeleting):
		doing := map[record.KeyspaceState]string{record.KeyspacePaused: "paused", record.KeyspaceDeleting: "deleted"}
		return fault.New(fault.Refused, "is being %s by operator %s", doing[ks.State], ks.Pending.Operator).On("keyspace", ks.Name).
			Fix("wait until that is over; see `spanward operator show %s`", ks.Pending.Operator)
	case verb == "pause" && ks.State == record.KeyspacePaused, verb == "resume" && ks.State == record.KeyspaceRunning:
		return fault.New(fault.Refused, "is %s already", state).On("keyspace", ks.Name).
			Fix("nothing has to be done; see `spanward keyspace show %s`", ks.Name)
	}
	return checkState(ks, stateVerbs[verb]...)
}
