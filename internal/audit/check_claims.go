package audit

import (
	"github.com/spanward/spanward/internal/record"
)

// claimed: what claims compare, and that nothing changes a record beside its claim.
func (s *step) claimed() {
	session := int64(0)
	for at, e := range s.claimsEd {
		if e.after == nil || !e.judged() {
			continue
		}
		c := e.after.value
		s.claimHolds(at, c, e.after.lease)
		switch {
		case e.before == nil:
			s.claimNew(at, c)
		case !e.before.bad:
			s.claimRewritten(at, e.before.value, c)
		}
		if session != 0 && session != c.Session {
			s.violate(Fencing, at, "sessions %d and %d claimed in one transaction", min(session, c.Session), max(session, c.Session))
		}
		session = c.Session
	}
	for at, e := range s.spansEd {
		if _, touched := s.claimsEd[at]; !touched && e.before != nil && s.claims[at].good() && (e.after == nil || !e.after.bad) {
			c := s.claims[at].value
			s.violate(Fencing, at, "the span record was changed while %s of session %d held a claim for %s",
				c.Node, c.Session, record.StageName(c.Stage))
		}
	}
}

// claimHolds: the claim is the actor's own, on the lease of its session.
func (s *step) claimHolds(at ref, c record.Claim, lease int64) {
	if !s.present(c.Node, c.Session) {
		s.violate(Fencing, at, "%s claimed in session %d, which was over", c.Node, c.Session)
		return
	}
	if own := s.nodes[c.Node].lease; lease == 0 || lease != own {
		s.violate(Fencing, at, "the claim of %s is on lease %x and its session on lease %x", c.Node, lease, own)
	}
}

// claimNew: a claim that a leader asked for compares that leader's term. One that a swap puts for the children it makes
// was asked for with the parents.
func (s *step) claimNew(at ref, c record.Claim) {
	if e, ok := s.spansEd[at]; (!ok || e.before != nil) && c.Term != s.term() {
		s.violate(Fencing, at, "%s claimed for term %d in term %d", c.Node, c.Term, s.term())
	}
	r := after(s.spans, s.spansEd, at)
	if !r.good() {
		return
	}
	has := ""
	if r.value.Intent != nil {
		has = r.value.Intent.Operator
	}
	if c.Operator != has && !s.endsNow(at.keyspace, c.Operator) {
		s.violate(OneOperator, at, "%s claimed for operator %q, and the record carries %q", c.Node, c.Operator, has)
	}
}

// claimRewritten: only the actor turns its own claim into another, by a cancel or a remove that ends what it held.
func (s *step) claimRewritten(at ref, was, is record.Claim) {
	switch {
	case was.Session != is.Session:
		s.violate(Fencing, at, "%s of session %d claimed over the claim of %s, session %d", is.Node, is.Session, was.Node, was.Session)
	case was.Operator != "" && !s.endsNow(at.keyspace, was.Operator):
		s.violate(Fencing, at, "the claim of %s for operator %s was replaced, and the operator did not end", was.Node, was.Operator)
	case was.Operator == "" && is.Operator == "":
		s.violate(Fencing, at, "the claim of %s was put twice", was.Node)
	}
}

// endsNow says that the operator's history comes with this revision.
func (s *step) endsNow(keyspace, operator string) bool {
	e, ok := s.historiesEd[opRef{keyspace, operator}]
	return ok && e.before == nil && e.after != nil
}

// holders: a claim is on a span that is there, and fits its recorded owner.
func (s *step) holders() {
	touched := map[ref]struct{}{}
	for at := range s.spansEd {
		touched[at] = struct{}{}
	}
	for at := range s.claimsEd {
		touched[at] = struct{}{}
	}
	for at := range touched {
		if c := s.claims[at]; c.good() {
			s.holder(at, c.value)
		}
	}
}

func (s *step) holder(at ref, c record.Claim) {
	r := s.spans[at]
	if r == nil {
		s.violate(NoResidue, at, "a claim of %s, session %d, on a span that is not there", c.Node, c.Session)
		return
	}
	if !r.good() {
		return
	}
	o := r.value.Owner
	switch {
	case c.Stage == record.StageClosing && o.Session != c.Session:
		s.violate(OneOwner, at, "%s of session %d claimed to close what session %d owns", c.Node, c.Session, o.Session)
	case c.Stage == record.StageOpening && o.Session != c.Session && s.ownerPresent(o):
		s.violate(OneOwner, at, "%s of session %d claimed to open what %s owns in session %d, which is there",
			c.Node, c.Session, o.Node, o.Session)
	}
}
