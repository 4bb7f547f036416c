package audit

import "github.com/spanward/spanward/internal/record"

// Settle judges the present state as one in which nothing moves any more: every operator has ended, and nothing names a
// session that is over. It says nothing if no node is present, since then nothing can end.
func (a *Auditor) Settle() {
	s := a.read(a.revision, nil)
	if len(s.nodes) > 0 {
		for at, c := range s.claims {
			s.settleClaim(at, c)
		}
		for at, r := range s.spans {
			s.settleSpan(at, r)
		}
		for ks, r := range s.keyspaces {
			if i := pendingOf(r); i != nil && r.good() {
				s.violate(Ends, ref{keyspace: ks}, "operator %s (%s) is still in flight", i.Operator, record.KindName(i.Kind))
			}
		}
	}
	a.found.add(s.found)
}

func (s *step) settleClaim(at ref, c *rec[record.Claim]) {
	switch {
	case !c.good():
	case !s.present(c.value.Node, c.value.Session):
		s.violate(NoResidue, at, "a claim of %s in session %d, which is over", c.value.Node, c.value.Session)
	default:
		s.violate(Ends, at, "%s still holds a claim for %s", c.value.Node, record.StageName(c.value.Stage))
	}
}

func (s *step) settleSpan(at ref, r *rec[record.Span]) {
	if !r.good() {
		return
	}
	if o := r.value.Owner; !o.Nobody() && !s.ownerPresent(o) && s.running(at.keyspace) {
		s.violate(NoResidue, at, "owner %s in session %d, which is over", o.Node, o.Session)
	}
	if i := r.value.Intent; i != nil {
		s.violate(Ends, at, "operator %s (%s) is still in flight", i.Operator, record.KindName(i.Kind))
	}
}

func (s *step) running(ks string) bool {
	k := s.keyspaces[ks]
	return k.good() && k.value.State == record.KeyspaceRunning
}
