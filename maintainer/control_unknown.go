package maintainer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// keyspaceNamed finds a keyspace, or says why there is none.
func keyspaceNamed(s *view.State, field, name string) (*view.Keyspace, error) {
	if err := keys.CheckName(field, name); err != nil {
		return nil, err
	}
	if ks := s.Keyspace(name); ks != nil {
		return ks, nil
	}
	if q := quarantined(s, func(p keys.Parsed) bool { return p.Kind == keys.Keyspace && p.Keyspace == name }); q != nil {
		return nil, unreadable(field, name, q)
	}
	f := fault.New(fault.UnknownKeyspace, "does not exist").On(field, name).Fix("see `spanward keyspace list`")
	for h := range s.HistoriesBack(name) {
		if h.Intent.Kind == record.KindKeyspace && h.Outcome == record.OutcomeDone { // only a delete leaves none behind
			f.Message = fmt.Sprintf("was deleted by operator %s at %s", h.Intent.Operator, h.FinishedAt.UTC().Format(time.RFC3339))
			break
		}
	}
	return nil, f
}

// spanNamed finds a span, or says what has become of it.
func spanNamed(s *view.State, keyspace, id string) (*view.Span, error) {
	if err := keys.CheckName("span", id); err != nil {
		return nil, err
	}
	ref := operator.Ref{Keyspace: keyspace, ID: span.ID(id)}
	if sp := s.Span(ref); sp != nil {
		return sp, nil
	}
	if q := quarantined(s, func(p keys.Parsed) bool { return p.Kind == keys.Span && p.Keyspace == keyspace && p.Span == ref.ID }); q != nil {
		return nil, unreadable("span", id, q)
	}
	return nil, unknownSpan(s, []string{keyspace}, ref.ID)
}

func quarantined(s *view.State, meant func(keys.Parsed) bool) *view.Quarantine {
	for q := range s.Quarantined() {
		if meant(q.Parsed) {
			return q
		}
	}
	return nil
}

func unreadable(field, name string, q *view.Quarantine) error {
	return fault.New(fault.Refused, "its record cannot be read: %s", q.Reason).On(field, name).
		Fix("repair or delete %s in etcd", q.Key)
}

// unknownSpan says what has become of a span, as far as the history goes back.
func unknownSpan(s *view.State, keyspaces []string, id span.ID) error {
	f := fault.New(fault.UnknownSpan, "does not exist").On("span", string(id)).Fix("see `spanward span list`")
	for _, ks := range keyspaces {
		ref := operator.Ref{Keyspace: ks, ID: id}
		h := lastOf(s, ref)
		if h == nil {
			continue
		}
		f.Message = "was " + done[h.Intent.Kind] + " by operator " + h.Intent.Operator + " at " + h.FinishedAt.UTC().Format(time.RFC3339)
		if h.Intent.Kind == record.KindRemove {
			return f
		}
		next := successors(s, ref)
		if len(next) == 0 {
			f.Message += ", and nothing that came of it is left"
			return f
		}
		f.Message += ", and replaced by " + listed(next)
		return f.Fix("name %s instead", oneOf(next))
	}
	return f
}

// done are the kinds of operators that end a span.
var done = map[record.Kind]string{record.KindRemove: "removed", record.KindSplit: "split", record.KindMerge: "merged"}

// lastOf is the operator that ended a span, nil if the history knows none.
func lastOf(s *view.State, ref operator.Ref) *view.History {
	for _, h := range slices.Backward(s.HistoriesOf(ref)) {
		if done[h.Intent.Kind] != "" && h.Outcome == record.OutcomeDone && slices.Contains(h.Intent.Spans, string(ref.ID)) {
			return h
		}
	}
	return nil
}

func oneOf(ids []string) string {
	if len(ids) == 1 {
		return ids[0]
	}
	return "one of them"
}

// listed names the first of many.
func listed(ids []string) string {
	if more := len(ids) - namedSuccessors; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(ids[:namedSuccessors], ", "), more)
	}
	return strings.Join(ids, ", ")
}

const (
	// namedSuccessors bounds how many successors an error names, maxSuccessors how many are looked for, and maxGenerations
	// how far they are followed.
	namedSuccessors = 20
	maxSuccessors   = 1000
	maxGenerations  = 100
)

// successors are the spans, existing now, that have come out of one that was split or merged.
func successors(s *view.State, ref operator.Ref) []string {
	var living []string
	next := s.Successors(ref)
	for range maxGenerations {
		var younger []span.ID
		for _, id := range next {
			at := operator.Ref{Keyspace: ref.Keyspace, ID: id}
			if s.Span(at) != nil {
				living = append(living, string(id))
				continue
			}
			younger = append(younger, s.Successors(at)...)
		}
		slices.Sort(younger) // two that were merged have the same successor
		if next = slices.Compact(younger); len(next) == 0 || len(living) >= maxSuccessors {
			break
		}
	}
	slices.Sort(living)
	return slices.Compact(living)
}

func unknownNode(field, name string) error {
	return fault.New(fault.UnknownNode, "no node of this name is registered").On(field, name).
		Fix("choose one of `spanward node list`")
}
