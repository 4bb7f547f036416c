package view

import (
	"cmp"
	"slices"
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

func (s *State) putHistory(p keys.Parsed, c *Change, d *Dirty) error {
	r, err := record.DecodeHistory(c.Value)
	if err != nil {
		return err
	}
	if r.Intent.Operator != p.Operator {
		return misplaced("operator", r.Intent.Operator)
	}
	s.dropHistory(p, d)
	sp := s.space(p.Keyspace)
	h := &History{History: r, Keyspace: sp.name, Mod: c.Mod}
	sp.histories[p.Operator] = h
	sp.finished.Set(h)
	for _, ref := range h.refs() {
		s.histories[ref] = append(s.histories[ref], h)
	}
	s.remember(c.Key, sp.name, h.requests()...)
	d.History[sp.name] = true
	return nil
}

func (s *State) dropHistory(p keys.Parsed, d *Dirty) {
	h := s.History(p.Keyspace, p.Operator)
	if h == nil {
		return
	}
	sp := s.spaces[p.Keyspace]
	delete(sp.histories, p.Operator)
	sp.finished.Delete(h)
	for _, ref := range h.refs() {
		s.histories[ref] = without(s.histories[ref], func(have *History) bool { return have == h })
		if len(s.histories[ref]) == 0 {
			delete(s.histories, ref)
		}
	}
	s.forget(s.layout.History(p.Keyspace, p.Operator), h.requests()...)
	d.History[sp.name] = true
	s.tidy(p.Keyspace)
}

// requests are those that a history remembers: the one that the operator was, and the one that ended it early. That stands
// for the operator that took its place or, if it was a cancel, for the one that it ended.
func (h *History) requests() []record.Request {
	own := requestOf(&h.Intent)
	if h.Cause == nil || h.Cause.RequestID == own.ID {
		return []record.Request{own}
	}
	return []record.Request{own, {
		ID: h.Cause.RequestID, Body: h.Cause.Body, Operator: cmp.Or(h.Cause.Operator, h.Intent.Operator), At: h.FinishedAt,
	}}
}

// Ended is when the operator was over. The clock of whoever ended it may be behind: it was not before it was accepted.
func (h *History) Ended() time.Time {
	if h.FinishedAt.Before(h.Intent.CreatedAt) {
		return h.Intent.CreatedAt
	}
	return h.FinishedAt
}

// refs are all spans that an operator was about: those it found and those it made, each once.
func (h *History) refs() []operator.Ref {
	ids := slices.Concat(h.Intent.Spans, h.Intent.Results)
	slices.Sort(ids)
	refs := make([]operator.Ref, 0, len(ids))
	for _, id := range slices.Compact(ids) {
		refs = append(refs, operator.Ref{Keyspace: h.Keyspace, ID: span.ID(id)})
	}
	return refs
}

// successors are the spans that h made out of id.
func (h *History) successors(id span.ID) []string {
	made := h.Intent.Kind == record.KindSplit || h.Intent.Kind == record.KindMerge
	if !made || h.Outcome != record.OutcomeDone || !slices.Contains(h.Intent.Spans, string(id)) {
		return nil
	}
	return h.Intent.Results
}
