package audit

import (
	"cmp"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// commit makes the state what this revision leaves.
func (s *step) commit() {
	s.commitRequests()
	for at, e := range s.spansEd {
		s.commitSpan(at, e)
	}
	for at, both := range s.moved {
		if both[1].Known {
			s.entries[at] = both[1]
		} else {
			delete(s.entries, at)
		}
	}
	for op, e := range s.historiesEd {
		if e.after == nil {
			s.trimmed.add(op)
		}
	}
	store(s.leader, s.leaders)
	store(s.cluster, s.clusters)
	store(s.nodes, s.nodesEd)
	store(s.keyspaces, s.keyspacesEd)
	store(s.spans, s.spansEd)
	store(s.claims, s.claimsEd)
	store(s.histories, s.historiesEd)
	store(s.progress, s.progressEd)
}

func store[K comparable, T any](now map[K]*rec[T], edits map[K]edit[T]) {
	for k, e := range edits {
		if e.after == nil {
			delete(now, k)
			continue
		}
		now[k] = e.after
	}
}

// commitSpan keeps what follows from span records: order, tokens, operators and ids in use.
func (s *step) commitSpan(at ref, e edit[record.Span]) {
	order := s.orderOf(at.keyspace)
	if e.before != nil && e.before.known {
		order.Delete(placed{e.before.value.Range, at.id})
		s.uncarry(at, e.before.value.Intent)
	}
	if e.after == nil {
		delete(s.ids, at.id)
		s.gone.add(at.id)
		return
	}
	s.ids[at.id] = at.keyspace
	if !e.after.known {
		return
	}
	v := e.after.value
	order.Set(placed{v.Range, at.id})
	s.carry(at, v.Intent)
	if !v.Owner.Nobody() {
		s.tokensOf(at.keyspace).raise(v.Range, v.Owner.Token, v.Owner.Session)
	}
}

func (s *step) carry(at ref, i *record.Intent) {
	if i == nil {
		return
	}
	op := opRef{at.keyspace, i.Operator}
	if s.carriers[op] == nil {
		s.carriers[op] = map[span.ID]struct{}{}
	}
	s.carriers[op][at.id] = struct{}{}
}

func (s *step) uncarry(at ref, i *record.Intent) {
	if i == nil {
		return
	}
	op := opRef{at.keyspace, i.Operator}
	delete(s.carriers[op], at.id)
	if len(s.carriers[op]) == 0 {
		delete(s.carriers, op)
	}
}

// commitRequests keeps which request id stands for which operator, and reports one that stands for two. A record that
// is left takes its claim to the id with it only after the records that come have been compared.
func (s *step) commitRequests() {
	var leave []request
	for at, e := range s.spansEd {
		if e.before != nil && e.before.value.Intent != nil {
			leave = append(leave, request{at.keyspace, e.before.value.Intent.RequestID})
		}
		if e.after != nil && e.after.value.Intent != nil {
			i := e.after.value.Intent
			s.hold(at, i.RequestID, i.Operator, i.Body)
		}
	}
	for op, e := range s.historiesEd {
		if e.before != nil {
			leave = append(leave, request{op.keyspace, e.before.value.Intent.RequestID})
			if c := e.before.value.Cause; c != nil {
				leave = append(leave, request{op.keyspace, c.RequestID})
			}
		}
		if e.after != nil {
			i := e.after.value.Intent
			s.hold(ref{keyspace: op.keyspace}, i.RequestID, i.Operator, i.Body)
			if c := e.after.value.Cause; c != nil {
				// It stands for the operator that took the place of this one or, as a cancel, for this one.
				s.hold(ref{keyspace: op.keyspace}, c.RequestID, cmp.Or(c.Operator, i.Operator), c.Body)
			}
		}
	}
	for ks, e := range s.keyspacesEd {
		if e.before != nil {
			for _, r := range e.before.value.Requests {
				leave = append(leave, request{ks, r.ID})
			}
		}
		if e.after != nil {
			for _, r := range e.after.value.Requests {
				s.hold(ref{keyspace: ks}, r.ID, r.Operator, r.Body)
			}
		}
	}
	for _, r := range leave {
		s.release(r)
	}
}

func (s *step) hold(at ref, id, operator string, body []byte) {
	if id == "" {
		return
	}
	r := request{at.keyspace, id}
	was := s.requests[r]
	if was == nil {
		was = &asked{operator: operator, body: string(body)}
		s.requests[r] = was
	}
	was.holders++
	if operator != "" && was.operator != "" && operator != was.operator {
		s.violate(AtMostOnce, at, "request %q is operator %s and operator %s", id, min(was.operator, operator), max(was.operator, operator))
	} else if len(body) > 0 && was.body != "" && string(body) != was.body {
		s.violate(AtMostOnce, at, "request %q of operator %s has two bodies", id, was.operator)
	}
	if was.operator == "" {
		was.operator = operator
	}
	if was.body == "" {
		was.body = string(body)
	}
}

func (s *step) release(r request) {
	was := s.requests[r]
	if was == nil {
		return
	}
	was.holders--
	if was.holders == 0 {
		delete(s.requests, r)
	}
}
