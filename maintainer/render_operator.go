package maintainer

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/view"
)

// renderIntent shows an operator as it is told, finished or not, without its stage.
func renderIntent(keyspace string, i *record.Intent) *controlv1.Operator {
	out := &controlv1.Operator{
		Id: i.Operator, RequestId: i.RequestID, Type: record.KindName(i.Kind), Keyspace: keyspace, Spans: i.Spans,
		From: i.From, To: i.To, By: record.ByName(i.By), Reason: i.Reason, Created: wireTime(i.CreatedAt), Results: i.Results,
	}
	if i.Kind == record.KindAdd {
		out.Spans = i.Results // the one that it has made
	}
	for _, key := range i.At {
		out.At = append(out.At, []byte(key))
	}
	return out
}

func step(s record.Stage, at time.Time, node string) *controlv1.Operator_Step {
	return &controlv1.Operator_Step{Stage: record.StageName(s), At: wireTime(at), Node: node}
}

// renderAccepted shows an operator in flight. members are the spans that carry it, claims those on them.
func renderAccepted(i *record.Intent, members []*view.Span, claims []*view.Claim) *controlv1.Operator {
	out := renderIntent(members[0].Keyspace, i)
	if len(out.Spans) == 0 {
		for _, m := range members {
			out.Spans = append(out.Spans, string(m.ID))
		}
	}
	out.Stage = record.StageName(stage(i, claims))
	out.Steps = stepsOf(i, members, claims)
	return out
}

// stage is how far an operator is. Its members are closed together, so one claim speaks for all.
func stage(i *record.Intent, claims []*view.Claim) record.Stage {
	switch {
	case len(claims) > 0:
		return claims[0].Stage
	case i.HandedOff:
		return record.StageHandedOff
	}
	return record.StageQueued
}

// renderPlacement shows the opening of a span that nobody owns. It has no id: the record itself asks for it.
func renderPlacement(sp *view.Span, c *view.Claim) *controlv1.Operator {
	out := &controlv1.Operator{
		Type: record.KindName(record.KindAdd), Keyspace: c.Ref.Keyspace, Spans: []string{string(c.Ref.ID)}, To: c.Node,
		Stage: record.StageName(c.Stage), By: cmp.Or(record.ByName(c.By), record.ByName(record.ByPlacement)),
		Created: wireTime(c.At), Steps: []*controlv1.Operator_Step{step(c.Stage, c.At, c.Node)},
	}
	out.Steps[0].Span = string(c.Ref.ID)
	switch {
	case sp.Owner.Session == c.Session:
		out.Reason = "it did not run where it should"
	case !sp.Owner.Nobody():
		out.From, out.Reason = sp.Owner.Node, sp.Owner.Node+" is gone"
	case sp.LastNode != "":
		out.From, out.Reason = sp.LastNode, sp.LastNode+" gave it back"
	default:
		out.Reason = "nobody has run it yet"
	}
	return out
}

// renderPlaced ends a placement: what it was last, and the span now, nil if it is no more.
func renderPlaced(was *controlv1.Operator, claim int64, sp *view.Span, now time.Time) *controlv1.Operator {
	out := &controlv1.Operator{
		Type: was.GetType(), Keyspace: was.GetKeyspace(), Spans: was.GetSpans(), From: was.GetFrom(), To: was.GetTo(), By: was.GetBy(),
		Reason: was.GetReason(), Created: was.GetCreated(), Stage: record.StageName(record.StageFinished),
		Outcome: record.OutcomeName(record.OutcomeDone), FinishedAt: wireTime(now),
	}
	end := step(record.StageFinished, now, was.GetTo())
	for _, s := range was.GetSteps() { // a watcher may hold these
		end.Span = s.GetSpan()
		out.Steps = append(out.Steps, proto.CloneOf(s))
	}
	out.Steps = append(out.Steps, end)
	lasting(out.Steps)
	if sp == nil || sp.Owner.Token&tokenRevision != uint64(claim) {
		out.Outcome, out.Error = record.OutcomeName(record.OutcomeFailed), "the opening was given up; it is tried again"
	}
	return out
}

func renderFinished(h *view.History) *controlv1.Operator {
	out := renderIntent(h.Keyspace, &h.Intent)
	out.Stage, out.Outcome = record.StageName(record.StageFinished), record.OutcomeName(h.Outcome)
	out.FinishedAt, out.Error, out.Cause = wireTime(h.FinishedAt), h.Error, renderCause(h.Cause)
	out.Steps = stepsOf(&h.Intent, nil, nil)
	if h.Outcome != record.OutcomeDone {
		out.Results = nil // what it would have made is not there
	}
	return out
}

// flight is one operator in flight. claim is the revision of a placement's claim, 0 for operators with an id.
type flight struct {
	*controlv1.Operator
	ref   operator.Ref
	claim int64
}

// flightKey tells operators in flight apart; placements have no id.
type flightKey struct {
	id    string
	ref   operator.Ref
	claim int64
}

func (f flight) key() flightKey {
	if f.GetId() != "" {
		return flightKey{id: f.GetId()}
	}
	return flightKey{ref: f.ref, claim: f.claim}
}

// inFlight are all operators that are not over, the oldest first.
func inFlight(s *view.State) []flight {
	var out []flight
	told := map[string]bool{}
	for sp := range s.WithIntent() {
		if id := sp.Intent.Operator; !told[id] {
			told[id] = true
			out = append(out, flight{Operator: accepted(s, s.OfOperator(id)), ref: sp.Ref})
		}
	}
	for _, session := range s.Claimants() {
		for c := range s.ClaimedBy(session) {
			if sp := s.Span(c.Ref); sp != nil && sp.Intent == nil {
				out = append(out, flight{renderPlacement(sp, c), c.Ref, c.Mod})
			}
		}
	}
	for ks := range s.Keyspaces() {
		if i := ofKeyspace(ks); i != nil {
			out = append(out, flight{Operator: renderPending(ks.Name, i)})
		}
	}
	slices.SortStableFunc(out, func(a, b flight) int { return olderFirst(a.Operator, b.Operator) })
	return out
}

func accepted(s *view.State, members []*view.Span) *controlv1.Operator {
	var claims []*view.Claim
	for _, m := range members {
		if c := s.Claim(m.Ref); c != nil {
			claims = append(claims, c)
		}
	}
	return renderAccepted(members[0].Intent, members, claims)
}

// operatorByID is an operator in flight or finished, nil if neither knows it.
func operatorByID(s *view.State, id string) *controlv1.Operator {
	if members := s.OfOperator(id); len(members) > 0 {
		return accepted(s, members)
	}
	if h := s.Finished(id); h != nil {
		return renderFinished(h)
	}
	for ks := range s.Keyspaces() {
		if i := ofKeyspace(ks); i != nil && i.Operator == id {
			return renderPending(ks.Name, i)
		}
	}
	return nil
}

// ofKeyspace is the operator in flight that a keyspace record stands for, nil if there is none: the one that it names,
// or the one that makes a keyspace of many spans, whose intent the record itself is.
func ofKeyspace(ks *view.Keyspace) *record.Intent {
	if ks.State == record.KeyspaceCreating && ks.CreatedBy != "" {
		return creation(ks)
	}
	return ks.Pending
}

// renderPending shows an operator that is about a whole keyspace.
func renderPending(keyspace string, i *record.Intent) *controlv1.Operator {
	out := renderIntent(keyspace, i)
	at := record.StageQueued
	if n := len(i.Marks); n > 0 {
		at = i.Marks[n-1].Stage
	}
	out.Stage, out.Steps = record.StageName(at), stepsOf(i, nil, nil)
	return out
}

func olderFirst(a, b *controlv1.Operator) int {
	return cmp.Or(a.GetCreated().AsTime().Compare(b.GetCreated().AsTime()), cmp.Compare(a.GetId(), b.GetId()),
		cmp.Compare(a.GetKeyspace(), b.GetKeyspace()), slices.Compare(a.GetSpans(), b.GetSpans()))
}

func wireTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
