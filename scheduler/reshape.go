package scheduler

import (
	"time"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// ReshapeConfig is what SplitsAndMerges goes by in a keyspace. A threshold of 0 is none.
type ReshapeConfig struct {
	SplitLoad, SplitSize float64
	SplitAfter           time.Duration
	MergeLoad, MergeSize float64
	MergeAfter           time.Duration
	// MinAge is how old a span must be.
	MinAge time.Duration
	// MaxSpans is the most that the keyspace may have; 0 is no limit.
	MaxSpans int
}

const (
	// maxParts is how many spans a split by load makes at most, maxMerged how many a merge by load takes: each is closed and
	// opened while no other of them runs, so they are fewer than a user may ask for.
	maxParts  = 8
	maxMerged = 8
	// leastRest is how long a span is left alone after a plan that came to nothing, however short the settings are.
	leastRest = time.Second
)

// Split of a span for its load or size.
type Split struct {
	Ref    operator.Ref
	Node   string
	At     []string
	Reason string
	Load   Load
}

// Merge of neighbours for their load, in the order of their ranges.
type Merge struct {
	Keyspace string
	Spans    []span.ID
	Reason   string
	Load     Load
}

// SetKeyspace changes what SplitsAndMerges goes by in a keyspace. What was reported before counts by the new thresholds from
// when it was reported: what came before that nobody remembers.
func (f *Fleet) SetKeyspace(name string, c ReshapeConfig) { f.reshape.configure(name, c) }

// SplitsAndMerges are spans that have been hot for long enough, to be split, and neighbours that have been cold for long
// enough, to be merged: splits first, the hottest first. They are in flight from now on, until SetSpan says otherwise. If it
// says that nothing has come of it, the span rests for as long as it had to be hot or cold.
//
// The cost follows what has become due and what is planned, not how many spans there are.
func (f *Fleet) SplitsAndMerges(now time.Time) ([]Split, []Merge) {
	f.reshape.advance(now)
	return f.splits(), f.merges()
}

// NextReshape says when SplitsAndMerges may find something though nothing changes until then, false for never.
func (f *Fleet) NextReshape(now time.Time) (time.Time, bool) {
	r := &f.reshape
	if f.reshapeRoom() > 0 && r.ready() {
		return now, true
	}
	if len(r.waiting) == 0 {
		return time.Time{}, false
	}
	return r.epoch.Add(time.Duration(r.waiting[0].due)), true
}
