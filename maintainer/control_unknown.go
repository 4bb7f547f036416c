package maintainer

import (
	"fmt"
	"slices"
	"strings"

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
	return nil, fault.New(fault.UnknownKeyspace, "does not exist").On(field, name).Fix("see `spanward keyspace list`")
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
		if next := successors(s, ref); len(next) > 0 {
			f.Message = "was replaced by " + strings.Join(next, ", ")
			return f.Fix("name %s instead", oneOf(next))
		}
		for _, h := range slices.Backward(s.HistoriesOf(ref)) {
			if h.Intent.Kind == record.KindRemove && h.Outcome == record.OutcomeDone {
				f.Message = fmt.Sprintf("was removed by operator %s", h.Intent.Operator)
				return f
			}
		}
	}
	return f
}

func oneOf(ids []string) string {
	if len(ids) == 1 {
		return ids[0]
	}
	return "one of them"
}

const (
	// maxSuccessors bounds how many successors an error names, maxGenerations how far they are followed.
	maxSuccessors  = 20
	maxGenerations = 100
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
		if next = younger; len(next) == 0 || len(living) >= maxSuccessors {
			break
		}
	}
	slices.Sort(living)
	living = slices.Compact(living)
	return living[:min(len(living), maxSuccessors)]
}

func unknownNode(field, name string) error {
	return fault.New(fault.UnknownNode, "no node of this name is registered").On(field, name).
		Fix("choose one of `spanward node list`")
}
