package view

import (
	"slices"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

func (s *State) putKeyspace(p keys.Parsed, c *Change, d *Dirty) error {
	r, err := record.DecodeKeyspace(c.Value)
	if err != nil {
		return err
	}
	s.dropKeyspace(p, d)
	sp := s.space(p.Keyspace)
	sp.keyspace = &Keyspace{Keyspace: r, Name: sp.name, Mod: c.Mod}
	s.remember(c.Key, sp.name, requestsOf(&r)...)
	d.Keyspaces[sp.name] = true
	return nil
}

func (s *State) dropKeyspace(p keys.Parsed, d *Dirty) {
	sp := s.spaces[p.Keyspace]
	if sp == nil || sp.keyspace == nil {
		return
	}
	s.forget(s.layout.Keyspace(p.Keyspace), requestsOf(&sp.keyspace.Keyspace)...)
	sp.keyspace = nil
	d.Keyspaces[sp.name] = true
	s.tidy(p.Keyspace)
}

// requestsOf are those that a keyspace record remembers. That of an operator in flight is among them even if so many
// came after it that the list has let it go.
func requestsOf(k *record.Keyspace) []record.Request {
	if k.Pending == nil || slices.ContainsFunc(k.Requests, func(r record.Request) bool { return r.ID == k.Pending.RequestID }) {
		return k.Requests
	}
	return append(slices.Clip(k.Requests), requestOf(k.Pending))
}

func (s *State) putSpan(p keys.Parsed, c *Change, d *Dirty) error {
	r, err := record.DecodeSpan(c.Value)
	if err != nil {
		return err
	}
	r.Owner.Node, r.LastNode = s.name(r.Owner.Node), s.name(r.LastNode)
	sl := s.slot(p.Keyspace, p.Span)
	s.unlinkSpan(sl)
	if sl.span == nil || sl.span.Owner != r.Owner {
		sl.owned = c.Mod
	}
	sl.span = &Span{Ref: sl.ref, Span: r, Mod: c.Mod}
	s.linkSpan(sl)
	d.span(sl.ref)
	return nil
}

func (s *State) dropSpan(p keys.Parsed, d *Dirty) {
	sl := s.find(operator.Ref{Keyspace: p.Keyspace, ID: p.Span})
	if sl == nil || sl.span == nil {
		return
	}
	s.unlinkSpan(sl)
	sl.span = nil
	d.span(sl.ref)
	s.tidySlot(sl)
}

func (s *State) linkSpan(sl *slot) {
	r := sl.span
	s.spaces[sl.ref.Keyspace].ranges.Set(placed{r.Range.Start, sl})
	if r.Owner.Nobody() {
		s.ownerless.add(sl)
	} else {
		index(s.owned, r.Owner.Session, sl)
	}
	if i := r.Intent; i != nil {
		s.intents.add(sl)
		s.operators[i.Operator] = append(s.operators[i.Operator], sl)
		s.remember(s.layout.Span(sl.ref.Keyspace, sl.ref.ID), sl.ref.Keyspace, requestOf(i))
	}
}

func (s *State) unlinkSpan(sl *slot) {
	r := sl.span
	if r == nil {
		return
	}
	s.spaces[sl.ref.Keyspace].ranges.Delete(placed{r.Range.Start, sl})
	if r.Owner.Nobody() {
		s.ownerless.remove(sl)
	} else {
		unindex(s.owned, r.Owner.Session, sl)
	}
	if i := r.Intent; i != nil {
		s.intents.remove(sl)
		s.operators[i.Operator] = without(s.operators[i.Operator], func(have *slot) bool { return have == sl })
		if len(s.operators[i.Operator]) == 0 {
			delete(s.operators, i.Operator)
		}
		s.forget(s.layout.Span(sl.ref.Keyspace, sl.ref.ID), requestOf(i))
	}
}

func requestOf(i *record.Intent) record.Request {
	return record.Request{ID: i.RequestID, Operator: i.Operator, Body: i.Body}
}

func (s *State) putClaim(p keys.Parsed, c *Change, d *Dirty) error {
	r, err := record.DecodeClaim(c.Value)
	if err != nil {
		return err
	}
	r.Node = s.name(r.Node)
	sl := s.slot(p.Keyspace, p.Span)
	if sl.claim != nil {
		unindex(s.acting, sl.claim.Session, sl)
	}
	sl.claim = &Claim{
		Claim: operator.Claim{Claim: r, Mod: c.Mod}, Ref: sl.ref, Create: c.Create, LeaseID: c.Lease,
	}
	index(s.acting, r.Session, sl)
	d.span(sl.ref)
	return nil
}

func (s *State) dropClaim(p keys.Parsed, d *Dirty) {
	sl := s.find(operator.Ref{Keyspace: p.Keyspace, ID: p.Span})
	if sl == nil || sl.claim == nil {
		return
	}
	unindex(s.acting, sl.claim.Session, sl)
	sl.claim = nil
	d.span(sl.ref)
	s.tidySlot(sl)
}

func (s *State) putProgress(p keys.Parsed, c *Change, d *Dirty) error {
	r, err := record.DecodeProgress(c.Value)
	if err != nil {
		return err
	}
	sp := s.space(p.Keyspace)
	old := sp.progress[p.Bucket]
	sp.progress[p.Bucket] = &Progress{Progress: r, Keyspace: sp.name, Bucket: p.Bucket, Mod: c.Mod}
	for id, at := range r {
		sl := s.slot(p.Keyspace, id)
		if _, had := old.at(id); had {
			continue // below, with those that are gone
		}
		sl.buckets++
		sl.progress = sl.progress.Max(record.At(at))
	}
	s.settleProgress(sp, old)
	d.Progress[sp.name] = true
	return nil
}

func (s *State) dropProgress(p keys.Parsed, d *Dirty) {
	sp := s.spaces[p.Keyspace]
	if sp == nil || sp.progress[p.Bucket] == nil {
		return
	}
	old := sp.progress[p.Bucket]
	delete(sp.progress, p.Bucket)
	s.settleProgress(sp, old)
	d.Progress[sp.name] = true
	s.tidy(p.Keyspace)
}

// settleProgress brings the spans that an old record named up to date with the one that has replaced it, if any.
func (s *State) settleProgress(sp *space, old *Progress) {
	if old == nil {
		return
	}
	now := sp.progress[old.Bucket]
	for id := range old.Progress {
		sl := sp.slots[id]
		at, stays := now.at(id)
		if !stays {
			sl.buckets--
		}
		switch {
		case sl.buckets == 0:
			sl.progress = record.Position{}
		case sl.buckets == 1 && stays:
			sl.progress = record.At(at)
		default:
			sl.progress = sp.highest(id)
		}
		s.tidySlot(sl)
	}
}

// highest looks through all buckets. A span has one; two are a mistake that somebody made by hand.
func (sp *space) highest(id span.ID) record.Position {
	var top record.Position
	for _, b := range sp.progress {
		if at, ok := b.at(id); ok {
			top = top.Max(record.At(at))
		}
	}
	return top
}

func (p *Progress) at(id span.ID) (uint64, bool) {
	if p == nil {
		return 0, false
	}
	at, ok := p.Progress[id]
	return at, ok
}
