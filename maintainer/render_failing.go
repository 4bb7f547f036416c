package maintainer

import (
	"slices"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// withFailures adds to the operators in flight what was heard and is in no record: the last error of each that is tried
// again, and the placements that wait for their next try and have no claim meanwhile.
func withFailures(s *view.State, k *known, all []flight) []flight {
	out := slices.Clone(all)
	for _, f := range out {
		k.addFailure(f.Operator)
	}
	for ref, heard := range k.failing() {
		if sp := s.Span(ref); sp != nil && sp.Intent == nil && s.Claim(ref) == nil && s.Session(sp.Owner.Session) == nil {
			out = append(out, flight{Operator: renderRetry(sp, heard), ref: ref})
		}
	}
	slices.SortStableFunc(out, func(a, b flight) int { return olderFirst(a.Operator, b.Operator) })
	return out
}

// addFailure tells why an operator in flight has not got further, if that is known.
func (k *known) addFailure(o *controlv1.Operator) {
	for _, id := range o.GetSpans() {
		if heard := k.span(operator.Ref{Keyspace: o.GetKeyspace(), ID: span.ID(id)}); heard.failures > 0 && o.GetError() == "" {
			o.Error = heard.lastError
		}
	}
}

// renderRetry shows a placement that has failed and is tried again.
func renderRetry(sp *view.Span, heard spanKnown) *controlv1.Operator {
	return &controlv1.Operator{
		Type: record.KindName(record.KindAdd), Keyspace: sp.Keyspace, Spans: []string{string(sp.ID)}, From: sp.LastNode,
		Stage: record.StageName(record.StageQueued), By: record.ByName(record.ByPlacement), Error: heard.lastError,
		Created: wireTime(heard.troubledSince), Reason: "its opening failed and is tried again",
		Steps: []*controlv1.Operator_Step{step(record.StageQueued, heard.troubledSince, "")},
	}
}

// failing are the spans whose last opening failed.
func (k *known) failing() map[operator.Ref]spanKnown {
	k.mu.RLock()
	defer k.mu.RUnlock()
	out := map[operator.Ref]spanKnown{}
	for r, s := range k.spans {
		if s.failures > 0 {
			out[r] = s
		}
	}
	return out
}
