package audit

import (
	"slices"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// reshaped are the ranges that one revision takes from a keyspace and puts into it.
type reshaped struct{ out, in []span.Range }

// coverage: what a keyspace covers changes only by add and remove; split and merge swap parents for children.
func (s *step) coverage() {
	changed := map[string]*reshaped{}
	for at, e := range s.spansEd {
		if e.before != nil && !e.before.known {
			continue
		}
		s.reshape(changed, at, e)
	}
	for ks, c := range changed {
		if grown := minus(c.in, c.out); len(grown) > 0 {
			s.grows(ks, grown)
		}
		if shrunk := minus(c.out, c.in); len(shrunk) > 0 {
			s.shrinks(ks, shrunk)
		}
	}
}

func (s *step) reshape(changed map[string]*reshaped, at ref, e edit[record.Span]) {
	was, is := e.before != nil, e.after != nil && e.after.known
	if was && is && e.before.value.Range == e.after.value.Range {
		return
	}
	c := changed[at.keyspace]
	if c == nil {
		c = &reshaped{}
		changed[at.keyspace] = c
	}
	if was {
		c.out = append(c.out, e.before.value.Range)
	}
	if is {
		c.in = append(c.in, e.after.value.Range)
	}
	if was && is {
		s.violate(Coverage, at, "the range of the span changed from %s to %s", e.before.value.Range, e.after.value.Range)
	}
}

// minus gives the keys of rs that are not in cut.
func minus(rs, cut []span.Range) []span.Range {
	var out []span.Range
	for _, r := range span.Union(rs) {
		out = append(out, span.Subtract(r, cut)...)
	}
	return out
}

// grows: only while a keyspace is being created, or by an add that rewrites the keyspace record and puts its history.
func (s *step) grows(ks string, grown []span.Range) {
	at := ref{keyspace: ks}
	e, rewritten := s.keyspacesEd[ks]
	is := after(s.keyspaces, s.keyspacesEd, ks)
	switch {
	case is == nil:
		s.violate(Coverage, at, "spans for %v in a keyspace that has no record", grown)
	case !is.known || is.value.State == record.KeyspaceCreating:
	case !rewritten || e.before != nil && e.before.value.RangeGeneration >= is.value.RangeGeneration:
		s.violate(Coverage, at, "%v was added without a new range generation in the keyspace record", grown)
	case len(s.ended(ks, record.KindKeyspace)) > 0:
	default:
		if left := minus(grown, rangesOf(s.ended(ks, record.KindAdd))); len(left) > 0 {
			s.violate(Coverage, at, "%v was added without the history of an add", left)
		}
	}
}

// shrinks: only by a remove whose history comes with it, or while the keyspace is being deleted.
func (s *step) shrinks(ks string, shrunk []span.Range) {
	if s.deleting(ks) || len(s.ended(ks, record.KindKeyspace)) > 0 {
		return
	}
	if left := minus(shrunk, rangesOf(s.ended(ks, record.KindRemove))); len(left) > 0 {
		s.violate(Coverage, ref{keyspace: ks}, "%v is covered no longer, without the history of a remove", left)
	}
}

// deleting says that the keyspace is being deleted, before or after this revision.
func (s *step) deleting(ks string) bool {
	for _, k := range []*rec[record.Keyspace]{s.keyspaces[ks], after(s.keyspaces, s.keyspacesEd, ks)} {
		if k != nil && k.known && k.value.State == record.KeyspaceDeleting {
			return true
		}
	}
	return false
}

// ended are the operators of the kinds whose history came with this revision.
func (s *step) ended(ks string, kinds ...record.Kind) []record.History {
	var out []record.History
	for op, e := range s.historiesEd {
		if op.keyspace == ks && e.created() && slices.Contains(kinds, e.after.value.Intent.Kind) {
			out = append(out, e.after.value)
		}
	}
	return out
}

func rangesOf(hs []record.History) []span.Range {
	var out []span.Range
	for _, h := range hs {
		out = append(out, h.Ranges...)
	}
	return out
}

// overlaps: no two spans of a keyspace share a key, at any revision. As long as that holds, neighbours are enough to see it.
func (s *step) overlaps() {
	for at, e := range s.spansEd {
		if e.after == nil || !e.after.known || e.before != nil && e.before.known && e.before.value.Range == e.after.value.Range {
			continue
		}
		me := placed{e.after.value.Range, at.id}
		order := s.orderOf(at.keyspace)
		order.Descend(me, func(p placed) bool { return p.id == me.id || s.overlap(at.keyspace, p, me) })
		order.Ascend(me, func(p placed) bool { return p.id == me.id || s.overlap(at.keyspace, p, me) })
	}
}

func (s *step) overlap(ks string, p, me placed) bool {
	both, ok := p.Intersect(me.Range)
	if ok {
		s.violate(Coverage, ref{ks, min(p.id, me.id)}, "span %s and span %s both cover %s", min(p.id, me.id), max(p.id, me.id), both)
	}
	return ok
}

// keyspaceHolds: spans belong to a keyspace that is there, and it is complete when its creation ends.
func (s *step) keyspaceHolds() {
	for ks, e := range s.keyspacesEd {
		at, n := ref{keyspace: ks}, s.orderOf(ks).Len()
		if e.after == nil && n > 0 {
			s.violate(Coverage, at, "the keyspace record went while %d spans are there", n)
		}
		if e.before.good() && e.after.good() && e.before.value.State == record.KeyspaceCreating && e.after.value.State == record.KeyspaceRunning {
			if want := int(e.after.value.ExpectedSpans); want > 0 && n != want {
				s.violate(Coverage, at, "the keyspace was completed with %d spans of %d", n, want)
			}
		}
	}
}
