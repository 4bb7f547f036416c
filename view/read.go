package view

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// Leader is the leader record, nil if there is none.
func (s *State) Leader() *Leader { return s.leader }

// Cluster is the cluster record, or the zero value.
func (s *State) Cluster() Cluster { return s.cluster }

// ClusterConfig is the record of settings, never nil.
func (s *State) ClusterConfig() *ClusterConfig { return s.config }

// Maintainers in the order of their names.
func (s *State) Maintainers() iter.Seq[*Maintainer] { return ordered(s.maintainers) }

// Maintainer by name, nil if it is not registered.
func (s *State) Maintainer(name string) *Maintainer { return s.maintainers[name] }

// Nodes in the order of their names.
func (s *State) Nodes() iter.Seq[*Node] { return ordered(s.nodes) }

// Node by name, nil if it is not registered.
func (s *State) Node(name string) *Node { return s.nodes[name] }

// Session is the node with that session, nil if the session is over.
func (s *State) Session(session int64) *Node { return s.sessions[session] }

// NodeConfigs in the order of the names of nodes.
func (s *State) NodeConfigs() iter.Seq[*NodeConfig] { return ordered(s.configs) }

// NodeConfig of a node, nil if nobody has configured it.
func (s *State) NodeConfig(name string) *NodeConfig { return s.configs[name] }

// Keyspaces in the order of their names.
func (s *State) Keyspaces() iter.Seq[*Keyspace] {
	return func(yield func(*Keyspace) bool) {
		for sp := range ordered(s.spaces) {
			if sp.keyspace != nil && !yield(sp.keyspace) {
				return
			}
		}
	}
}

// Keyspace by name, nil if it has no record.
func (s *State) Keyspace(name string) *Keyspace {
	if sp := s.spaces[name]; sp != nil {
		return sp.keyspace
	}
	return nil
}

// Names are all keyspaces under which something is stored, with or without a record of their own.
func (s *State) Names() []string { return slices.Sorted(maps.Keys(s.spaces)) }

// Span by name, nil if it has no record.
func (s *State) Span(ref operator.Ref) *Span {
	if sl := s.find(ref); sl != nil {
		return sl.span
	}
	return nil
}

// OwnedSince is the revision that made the present owner of a span, or a later one if this view has not seen it. An
// owner's own report that is as new as this knows of its ownership, whatever others have written to the record since.
func (s *State) OwnedSince(ref operator.Ref) int64 {
	if sl := s.find(ref); sl != nil {
		return sl.owned
	}
	return 0
}

// Spans of a keyspace, in the order of their ranges.
func (s *State) Spans(keyspace string) iter.Seq[*Span] {
	return func(yield func(*Span) bool) {
		if sp := s.spaces[keyspace]; sp != nil {
			sp.ranges.Scan(func(p placed) bool { return yield(p.slot.span) })
		}
	}
}

// SpanCount is the number of spans of a keyspace.
func (s *State) SpanCount(keyspace string) int {
	if sp := s.spaces[keyspace]; sp != nil {
		return sp.ranges.Len()
	}
	return 0
}

// QuarantinedSpans is the number of span records of a keyspace that nobody can read. Their ranges are unknown.
func (s *State) QuarantinedSpans(keyspace string) int {
	if sp := s.spaces[keyspace]; sp != nil {
		return sp.hidden
	}
	return 0
}

// Lookup is the span that covers a key, nil if none does. It relies on the rule that spans do not overlap.
func (s *State) Lookup(keyspace, key string) *Span {
	sp := s.spaces[keyspace]
	if sp == nil {
		return nil
	}
	found := sp.before(key)
	if found == nil || !found.Range.Contains(key) {
		return nil
	}
	return found
}

// before is the last span that starts at key or before it.
func (sp *space) before(key string) *Span {
	var found *Span
	sp.ranges.Descend(placed{key, last}, func(p placed) bool {
		found = p.slot.span
		return false
	})
	return found
}

// Overlapping are the spans of a keyspace that share keys with r, in the order of their ranges.
func (s *State) Overlapping(keyspace string, r span.Range) iter.Seq[*Span] {
	return func(yield func(*Span) bool) {
		sp := s.spaces[keyspace]
		if sp == nil {
			return
		}
		if first := sp.before(r.Start); first != nil && first.Range.Start < r.Start && first.Range.Overlaps(r) && !yield(first) {
			return
		}
		sp.ranges.Ascend(placed{start: r.Start}, func(p placed) bool {
			return (r.End == "" || p.start < r.End) && yield(p.slot.span)
		})
	}
}

// Claim on a span, nil if nobody acts on it.
func (s *State) Claim(ref operator.Ref) *Claim {
	if sl := s.find(ref); sl != nil {
		return sl.claim
	}
	return nil
}

// OwnedBy are the spans that record a session as their owner.
func (s *State) OwnedBy(session int64) iter.Seq[*Span] { return spansOf(s.owned[session]) }

// CountOwnedBy is their number.
func (s *State) CountOwnedBy(session int64) int { return s.owned[session].len() }

// Owners are all sessions that own a span, over or not.
func (s *State) Owners() []int64 { return slices.Sorted(maps.Keys(s.owned)) }

// ClaimedBy are the claims of a session.
func (s *State) ClaimedBy(session int64) iter.Seq[*Claim] {
	return func(yield func(*Claim) bool) {
		s.acting[session].each(func(sl *slot) bool { return yield(sl.claim) })
	}
}

// CountClaimedBy is their number.
func (s *State) CountClaimedBy(session int64) int { return s.acting[session].len() }

// Claimants are all sessions that hold a claim, over or not.
func (s *State) Claimants() []int64 { return slices.Sorted(maps.Keys(s.acting)) }

// Ownerless are the spans that nobody owns.
func (s *State) Ownerless() iter.Seq[*Span] { return spansOf(s.ownerless) }

// CountOwnerless is their number.
func (s *State) CountOwnerless() int { return s.ownerless.len() }

// WithIntent are the spans with an operator in flight.
func (s *State) WithIntent() iter.Seq[*Span] { return spansOf(s.intents) }

// OfOperator are the spans whose intent is of that operator.
func (s *State) OfOperator(id string) []*Span {
	var out []*Span
	for _, sl := range s.operators[id] {
		out = append(out, sl.span)
	}
	slices.SortFunc(out, func(a, b *Span) int { return compareRefs(a.Ref, b.Ref) })
	return out
}

// Progress is the position of a span in the progress records, unknown if it has none.
func (s *State) Progress(ref operator.Ref) record.Position {
	if sl := s.find(ref); sl != nil {
		return sl.progress
	}
	return record.Position{}
}

// ProgressRecord is one bucket, nil if there is none.
func (s *State) ProgressRecord(keyspace string, bucket uint32) *Progress {
	if sp := s.spaces[keyspace]; sp != nil {
		return sp.progress[bucket]
	}
	return nil
}

// ProgressRecords are the buckets of a keyspace, in order.
func (s *State) ProgressRecords(keyspace string) iter.Seq[*Progress] {
	if sp := s.spaces[keyspace]; sp != nil {
		return ordered(sp.progress)
	}
	return func(func(*Progress) bool) {}
}

// Durable is the position that a span opens at: the higher of its record and its progress.
func (s *State) Durable(ref operator.Ref) record.Position {
	sl := s.find(ref)
	if sl == nil {
		return record.Position{}
	}
	if sl.span == nil {
		return sl.progress
	}
	return operator.Durable(sl.span.Span, sl.progress)
}

// History of an operator in a keyspace, nil if there is none (any more).
func (s *State) History(keyspace, id string) *History {
	if sp := s.spaces[keyspace]; sp != nil {
		return sp.histories[id]
	}
	return nil
}

// Finished is the history of an operator, whatever its keyspace.
func (s *State) Finished(id string) *History {
	var found *History
	for _, sp := range s.spaces {
		if h := sp.histories[id]; h != nil && (found == nil || h.Keyspace < found.Keyspace) {
			found = h
		}
	}
	return found
}

// Histories of a keyspace, the oldest first.
func (s *State) Histories(keyspace string) iter.Seq[*History] {
	return func(yield func(*History) bool) {
		if sp := s.spaces[keyspace]; sp != nil {
			sp.finished.Scan(yield)
		}
	}
}

// HistoriesBack are the same, the newest first.
func (s *State) HistoriesBack(keyspace string) iter.Seq[*History] {
	return func(yield func(*History) bool) {
		if sp := s.spaces[keyspace]; sp != nil {
			sp.finished.Reverse(yield)
		}
	}
}

// HistoryCount is the number of finished operators of a keyspace.
func (s *State) HistoryCount(keyspace string) int {
	if sp := s.spaces[keyspace]; sp != nil {
		return sp.finished.Len()
	}
	return 0
}

// HistoriesOf are the finished operators that found or made a span, the oldest first.
func (s *State) HistoriesOf(ref operator.Ref) []*History {
	out := slices.Clone(s.histories[ref])
	slices.SortFunc(out, compareHistory)
	return out
}

// Successors are the spans that a split or merge has made out of one that is no more, as far as the history goes back.
// They may have successors themselves.
func (s *State) Successors(ref operator.Ref) []span.ID {
	for _, h := range s.histories[ref] {
		if made := h.successors(ref.ID); made != nil {
			out := make([]span.ID, len(made))
			for i, id := range made {
				out[i] = span.ID(id)
			}
			return out
		}
	}
	return nil
}

// Request that used an id, nil if none has. An id is used by one operator, which several records may remember.
func (s *State) Request(id string) *Request {
	list := s.requests[id]
	if len(list) == 0 {
		return nil
	}
	return slices.MinFunc(list, func(a, b *Request) int { return cmp.Compare(a.Key, b.Key) })
}

// Quarantined are the keys that make no sense, in order.
func (s *State) Quarantined() iter.Seq[*Quarantine] { return ordered(s.quarantined) }

// QuarantinedCount is their number.
func (s *State) QuarantinedCount() int { return len(s.quarantined) }

func spansOf(set *refSet) iter.Seq[*Span] {
	return func(yield func(*Span) bool) {
		set.each(func(sl *slot) bool { return yield(sl.span) })
	}
}

// ordered goes through a map in the order of its keys.
func ordered[K cmp.Ordered, V any](m map[K]V) iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(m[k]) {
				return
			}
		}
	}
}
