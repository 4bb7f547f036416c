package audit

import (
	"strconv"

	"github.com/spanward/spanward/internal/record"
)

// monotone: checkpoints and generations never go back.
func (s *step) monotone() {
	for at := range s.positioned() {
		s.checkpoint(at)
	}
	for at, both := range s.moved {
		s.entry(at, both[0], both[1])
	}
	if gone := s.departed(); len(gone) > 0 {
		for at, e := range s.spansEd {
			if e.created() {
				s.inherited(gone, at, e.after.value)
			}
		}
	}
	s.generations()
}

func (s *step) generations() {
	for ks, e := range s.keyspacesEd {
		if e.before.good() && e.after.good() && e.before.value.RangeGeneration > e.after.value.RangeGeneration {
			s.violate(Monotone, ref{keyspace: ks}, "the range generation went back from %d to %d",
				e.before.value.RangeGeneration, e.after.value.RangeGeneration)
		}
	}
	for _, e := range s.clusters {
		was, is := s.generation(), uint64(0)
		if e.after != nil {
			is = e.after.value.Generation
		}
		if is < was {
			s.violate(Monotone, ref{}, "the generation of the cluster went back from %d to %d", was, is)
		}
	}
}

// positioned are the spans whose record or entry changed.
func (s *step) positioned() map[ref]struct{} {
	out := map[ref]struct{}{}
	for at := range s.spansEd {
		out[at] = struct{}{}
	}
	for at := range s.moved {
		out[at] = struct{}{}
	}
	return out
}

// checkpoint: neither the record's nor what is durable of the span goes back as long as the span is there.
func (s *step) checkpoint(at ref) {
	was, is := s.spans[at], after(s.spans, s.spansEd, at)
	if !was.good() || !is.good() {
		return
	}
	if is.value.Checkpoint.Less(was.value.Checkpoint) {
		s.violate(Monotone, at, "the checkpoint went back from %s to %s", position(was.value.Checkpoint), position(is.value.Checkpoint))
		return
	}
	before, now := s.durable(at), is.value.Checkpoint.Max(s.entryAfter(at))
	if now.Less(before) {
		s.violate(Monotone, at, "%s was durable, and now the record and its progress entry say %s", position(before), position(now))
	}
}

func (s *step) entryAfter(at ref) record.Position {
	if both, ok := s.moved[at]; ok {
		return both[1]
	}
	return s.entries[at]
}

// entry: a progress entry never goes back, and nothing raises it while somebody claims to open the span.
func (s *step) entry(at ref, was, is record.Position) {
	if was.Known && is.Known && is.At < was.At {
		s.violate(Monotone, at, "the progress entry went back from %d to %d", was.At, is.At)
	}
	if c := s.claims[at]; c.good() && c.value.Stage == record.StageOpening && s.durable(at).Less(is) {
		s.violate(Monotone, at, "the progress entry was raised to %d while %s was opening the span", is.At, c.value.Node)
	}
}

// inherited: a span that a swap makes starts no lower than the lowest of the spans whose keys it takes.
func (s *step) inherited(gone []ref, at ref, is record.Span) {
	lowest, found := record.Position{}, false
	for _, parent := range gone {
		if parent.keyspace != at.keyspace || !s.spans[parent].value.Range.Overlaps(is.Range) {
			continue
		}
		if from := s.durable(parent); found {
			lowest = lowest.Min(from)
		} else {
			lowest, found = from, true
		}
	}
	if is.Checkpoint.Less(lowest) {
		s.violate(Monotone, at, "the span starts at %s, below %s of what it replaces", position(is.Checkpoint), position(lowest))
	}
}

// departed are the spans that go with this revision.
func (s *step) departed() []ref {
	var out []ref
	for at, e := range s.spansEd {
		if e.before != nil && e.before.known && e.after == nil {
			out = append(out, at)
		}
	}
	return out
}

func position(p record.Position) string {
	if !p.Known {
		return "an unknown position"
	}
	return strconv.FormatUint(p.At, 10)
}
