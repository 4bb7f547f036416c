package audit

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// operators: an operator is accepted under the term that its id names, stays what it is, and ends exactly once. What is
// over may be forgotten, by a leader, and never comes back.
func (s *step) operators() {
	for at, e := range s.spansEd {
		if !e.judged() {
			continue
		}
		s.intents(at, intentOf(e.before), intentOf(e.after))
	}
	for ks, e := range s.keyspacesEd {
		if e.judged() {
			s.pending(ref{keyspace: ks}, pendingOf(e.before), pendingOf(e.after))
		}
	}
	for op, e := range s.historiesEd {
		switch {
		case e.after == nil && e.before != nil && s.term() == 0:
			s.violate(Fencing, ref{keyspace: op.keyspace}, "the history of operator %s was trimmed while nobody led", op.operator)
		case e.after == nil || !e.judged() || e.before != nil && e.before.bad:
		case e.before != nil:
			s.violate(NoLoss, ref{keyspace: op.keyspace}, "the history of operator %s was put twice", op.operator)
		default:
			s.finished(op, e.after.value)
		}
	}
}

func intentOf(r *rec[record.Span]) *record.Intent {
	if r == nil {
		return nil
	}
	return r.value.Intent
}

func pendingOf(r *rec[record.Keyspace]) *record.Intent {
	if r == nil {
		return nil
	}
	return r.value.Pending
}

// pending judges the operator that a keyspace record names: it stays what it is until its history comes.
func (s *step) pending(at ref, was, is *record.Intent) {
	switch {
	case was != nil && is != nil && was.Operator == is.Operator:
		s.unchanged(at, was, is)
		return
	case was != nil && !s.endsNow(at.keyspace, was.Operator):
		s.violate(NoLoss, at, "operator %s (%s) went from the keyspace record and did not enter the history", was.Operator, record.KindName(was.Kind))
	}
	if is != nil {
		s.accepted(at, is)
	}
}

func (s *step) intents(at ref, was, is *record.Intent) {
	if was != nil && is != nil && was.Operator == is.Operator {
		s.unchanged(at, was, is)
		return
	}
	if was != nil {
		s.left(at, was)
	}
	if is != nil {
		s.accepted(at, is)
	}
	if was != nil && is != nil && is.Kind != record.KindRemove {
		s.violate(OneOperator, at, "operator %s took the place of %s, which only a remove may", is.Operator, was.Operator)
	}
}

// left: an operator that leaves a record enters the history in the same revision.
func (s *step) left(at ref, i *record.Intent) {
	if !s.endsNow(at.keyspace, i.Operator) {
		s.violate(NoLoss, at, "operator %s (%s) went from the span record and did not enter the history", i.Operator, record.KindName(i.Kind))
	}
}

func (s *step) accepted(at ref, i *record.Intent) {
	op := opRef{at.keyspace, i.Operator}
	if s.histories[op] != nil || s.trimmed.has(op) {
		s.violate(NoLoss, at, "operator %s is in flight again after its end", i.Operator)
	}
	s.underTerm(at, i.Operator)
}

// underTerm: ids of operators begin with the term that accepted them, and only the leader of that term may.
func (s *step) underTerm(at ref, operator string) {
	text, _, ok := strings.Cut(operator, "-")
	term, err := strconv.ParseInt(text, 10, 64)
	if ok && err == nil && term != s.term() {
		s.violate(Fencing, at, "operator %s was accepted in term %d", operator, s.term())
	}
}

func (s *step) unchanged(at ref, was, is *record.Intent) {
	if was.Kind != is.Kind || was.RequestID != is.RequestID || !bytes.Equal(was.Body, is.Body) || !slices.Equal(was.Spans, is.Spans) {
		s.violate(AtMostOnce, at, "operator %s is not what it was: type, request, body or spans changed", is.Operator)
	}
}

// finished judges a history entry that came.
func (s *step) finished(op opRef, h record.History) {
	at := ref{keyspace: op.keyspace}
	if h.Intent.Operator != op.operator {
		s.violate(NoLoss, at, "the history of operator %s says %s", op.operator, h.Intent.Operator)
	}
	if s.trimmed.has(op) {
		s.violate(NoLoss, at, "the history of operator %s was put again", op.operator)
	}
	switch h.Intent.Kind {
	case record.KindAdd:
		s.underTerm(at, op.operator)
	case record.KindKeyspace:
	default:
		s.finishedFlight(op, h)
	}
}

// finishedFlight: what ends was in flight, and the history tells of the same operator.
func (s *step) finishedFlight(op opRef, h record.History) {
	carriers := s.carriers[op]
	if len(carriers) == 0 {
		s.violate(NoLoss, ref{keyspace: op.keyspace}, "operator %s ended without having been in flight", op.operator)
	}
	for id := range carriers {
		at := ref{op.keyspace, id}
		i := s.spans[at].value.Intent
		if i.Kind != h.Intent.Kind || i.RequestID != h.Intent.RequestID || !bytes.Equal(i.Body, h.Intent.Body) {
			s.violate(AtMostOnce, at, "the history of operator %s tells of another type, request or body", op.operator)
		}
	}
}

// members: of every operator that this revision touched, that it is in flight or ended but not both, and that the spans
// it concerns carry it together.
func (s *step) members() {
	touched := map[opRef]struct{}{}
	for at, e := range s.spansEd {
		for _, i := range []*record.Intent{intentOf(e.before), intentOf(e.after)} {
			if i != nil {
				touched[opRef{at.keyspace, i.Operator}] = struct{}{}
			}
		}
	}
	for op := range s.historiesEd {
		touched[op] = struct{}{}
	}
	for op := range touched {
		if len(s.carriers[op]) > 0 {
			s.member(op)
		}
	}
}

func (s *step) member(op opRef) {
	ids := slices.Sorted(maps.Keys(s.carriers[op]))
	at := ref{op.keyspace, ids[0]}
	if s.histories[op] != nil {
		s.violate(NoLoss, at, "operator %s is in the history and in flight", op.operator)
	}
	i := s.spans[at].value.Intent
	if i.Kind != record.KindMerge {
		if len(ids) > 1 {
			s.violate(OneOperator, at, "operator %s (%s) is in flight in %d spans", op.operator, record.KindName(i.Kind), len(ids))
		}
		return
	}
	want := make([]span.ID, 0, len(i.Spans))
	for _, id := range i.Spans {
		want = append(want, span.ID(id))
	}
	slices.Sort(want)
	if !slices.Equal(want, ids) {
		s.violate(OneOperator, at, "merge %s of spans %v is carried by %v", op.operator, want, ids)
	}
}

// reused: the id of a span is never used again, anywhere in the cluster.
func (s *step) reused() {
	for at, e := range s.spansEd {
		if !e.created() {
			continue
		}
		if other, used := s.ids[at.id]; s.gone.has(at.id) || used {
			s.violate(UniqueIDs, at, "the id was used before%s", inKeyspace(other))
		}
	}
}

func inKeyspace(ks string) string {
	if ks == "" {
		return ""
	}
	return ", in keyspace " + ks
}
