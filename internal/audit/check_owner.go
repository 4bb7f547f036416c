package audit

import (
	"github.com/spanward/spanward/internal/record"
)

// tokenShift is where the generation starts in a token.
const tokenShift = 48

// owners: who runs a span changes only by release of the owner itself, or by the commit of whoever had claimed to open it.
func (s *step) owners() {
	for at, e := range s.spansEd {
		switch {
		case !e.judged():
		case e.before == nil:
			if o := e.after.value.Owner; !o.Nobody() {
				s.violate(OneOwner, at, "the span came with owner %s of session %d, which never claimed it", o.Node, o.Session)
			}
		case e.after == nil:
			s.dropped(at, e.before.value)
		case e.before.value.Owner == e.after.value.Owner:
			s.handedOff(at, e, false)
		case e.after.value.Owner.Nobody():
			s.released(at, e.before.value.Owner)
			s.handedOff(at, e, true)
		default:
			s.opened(at, e.before.value, e.after.value)
		}
	}
}

// claimEnds is the claim that was there before and goes with this revision, nil if there is none.
func (s *step) claimEnds(at ref) *rec[record.Claim] {
	if e, ok := s.claimsEd[at]; ok && e.before != nil && e.after == nil {
		return e.before
	}
	return nil
}

// closes says that the claim is the owner's, to close.
func closes(c *rec[record.Claim], o record.Owner) bool {
	return c.good() && c.value.Stage == record.StageClosing && c.value.Session == o.Session
}

// released: only the owner itself lets go, with its session alive: handing off or back, or giving an opening up.
func (s *step) released(at ref, o record.Owner) {
	if !s.ownerPresent(o) {
		s.violate(OneOwner, at, "owner %s of session %d was taken out although that session is over and cannot have let go", o.Node, o.Session)
	}
	if c := s.claims[at]; c.good() && c.value.Session != o.Session {
		s.violate(OneOwner, at, "owner %s of session %d was taken out under the claim of %s, session %d",
			o.Node, o.Session, c.value.Node, c.value.Session)
	}
}

// handedOff: an operator passes its hand-off only in the transaction in which the owner, having claimed to close, lets go.
func (s *step) handedOff(at ref, e edit[record.Span], released bool) {
	was, is := e.before.value.Intent, e.after.value.Intent
	if was == nil || is == nil || was.Operator != is.Operator || was.HandedOff == is.HandedOff {
		return
	}
	if was.HandedOff {
		s.violate(Monotone, at, "operator %s is handed off no longer", is.Operator)
		return
	}
	if c := s.claimEnds(at); !released || c == nil || !c.bad && !closes(c, e.before.value.Owner) {
		s.violate(OneOwner, at, "operator %s was handed off without the owner's claim to close ending in it", is.Operator)
	}
}

// opened: the commit of an opening.
func (s *step) opened(at ref, was, is record.Span) {
	old, o := was.Owner, is.Owner
	if old.Session != o.Session && s.ownerPresent(old) {
		s.violate(OneOwner, at, "owner %s of session %d was replaced by %s of session %d while its session was there",
			old.Node, old.Session, o.Node, o.Session)
	}
	if !s.ownerPresent(o) {
		s.violate(Fencing, at, "%s became the owner in session %d, which was over", o.Node, o.Session)
	}
	s.openedUnderClaim(at, o)
	if top, ok := s.tokensOf(at.keyspace).max(is.Range); ok && o.Token <= top.token {
		s.violate(Monotone, at, "token %d of %s is not above token %d, which session %d had in %s",
			o.Token, o.Node, top.token, top.note, top.Range)
	}
	if before := s.durable(at); is.Checkpoint.Less(before) {
		s.violate(Monotone, at, "opened at %s, although %s was durable", position(is.Checkpoint), position(before))
	}
}

func (s *step) openedUnderClaim(at ref, o record.Owner) {
	c := s.claims[at]
	switch {
	case c == nil:
		s.violate(OneOwner, at, "%s became the owner in session %d without a claim", o.Node, o.Session)
		return
	case c.bad:
		return
	case c.value.Stage != record.StageOpening || c.value.Session != o.Session || c.value.Node != o.Node:
		s.violate(OneOwner, at, "%s became the owner in session %d under a claim of %s, session %d, for %s",
			o.Node, o.Session, c.value.Node, c.value.Session, record.StageName(c.value.Stage))
	case o.Token != s.generation()<<tokenShift|uint64(c.mod):
		s.violate(OneOwner, at, "token %d of %s is not that of generation %d and its claim at revision %d", o.Token, o.Node, s.generation(), c.mod)
	}
	if s.claimEnds(at) == nil {
		s.violate(Fencing, at, "%s became the owner in session %d and its claim stayed", o.Node, o.Session)
	}
}

// dropped: a span record goes when its owner has really closed it. A remove needs that even if the owner is gone, since
// only a later token keeps a sleeping owner from writing; split and merge leave that to the openings of what they make.
func (s *step) dropped(at ref, was record.Span) {
	o, c := was.Owner, s.claimEnds(at)
	closed := !o.Nobody() && c != nil && (c.bad || closes(c, o))
	kind := record.Kind(0)
	if was.Intent != nil {
		kind = was.Intent.Kind
	}
	switch {
	case s.ownerPresent(o) && !closed:
		s.violate(OneOwner, at, "the span went while session %d of its owner %s was there and had not closed it", o.Session, o.Node)
	case s.deleting(at.keyspace):
	case kind == record.KindRemove && !closed:
		s.violate(OneOwner, at, "the span was removed without an owner that closed it: a former one may still write")
	}
	if kind != record.KindRemove && kind != record.KindSplit && kind != record.KindMerge && !s.deleting(at.keyspace) {
		s.violate(Coverage, at, "the span went without a remove, split or merge")
	}
}
