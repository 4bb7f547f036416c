package maintainer

import (
	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// total is the entry of all counts by state that counts everything.
const total = "total"

// keyspaceLook is a keyspace with all its spans.
type keyspaceLook struct {
	*view.Keyspace
	spans []spanLook
	// hidden are its spans that nobody can read.
	hidden int
}

func renderKeyspace(l keyspaceLook) *controlv1.Keyspace {
	out := &controlv1.Keyspace{
		Name: l.Name, Workload: l.Workload, Set: l.Settings, Ranges: wireRanges(l.ranges()),
		State: record.KeyspaceStateName(l.State), Spans: l.counts(), Checkpoint: wirePosition(l.checkpoint()),
		LagMs: l.lag(), Copied: l.copied(), CopyTotal: l.copyTotal(),
	}
	if l.State == record.KeyspaceCreating {
		out.ExpectedSpans = new(l.ExpectedSpans)
	}
	return out
}

func (l keyspaceLook) ranges() []span.Range {
	rs := make([]span.Range, len(l.spans))
	for i, s := range l.spans {
		rs[i] = s.Range
	}
	return span.Union(rs)
}

func (l keyspaceLook) counts() map[string]int64 {
	out := map[string]int64{total: int64(len(l.spans) + l.hidden)}
	if l.hidden > 0 {
		out[stateQuarantined] = int64(l.hidden)
	}
	for _, s := range l.spans {
		out[s.state]++
	}
	return out
}

// checkpoint is unknown while any part of the keyspace is: a span that nobody can read has a position, too.
func (l keyspaceLook) checkpoint() record.Position {
	if l.hidden > 0 {
		return record.Position{}
	}
	ps := make([]record.Position, len(l.spans))
	for i, s := range l.spans {
		ps[i] = s.checkpoint()
	}
	return operator.Lowest(ps)
}

// lag is the greatest of all spans. Where one is unknown so is the greatest: it is likely that one.
func (l keyspaceLook) lag() *int64 {
	var top *int64
	for _, s := range l.spans {
		if !s.own || s.heard.lagMS == nil {
			return nil
		}
		if top == nil || *s.heard.lagMS > *top {
			top = s.heard.lagMS
		}
	}
	return top
}

func (l keyspaceLook) copied() *int64 {
	return l.sum(func(k spanKnown) *int64 { return k.copied })
}

func (l keyspaceLook) copyTotal() *int64 {
	return l.sum(func(k spanKnown) *int64 { return k.copyTotal })
}

// sum adds up what spans report; those that do not copy at the moment report nothing.
func (l keyspaceLook) sum(of func(spanKnown) *int64) *int64 {
	var out *int64
	for _, s := range l.spans {
		n := of(s.heard)
		if !s.own || n == nil {
			continue
		}
		if out == nil {
			out = new(int64)
		}
		*out += *n
	}
	return out
}

func wireRanges(rs []span.Range) []*controlv1.Range {
	out := make([]*controlv1.Range, len(rs))
	for i, r := range rs {
		out[i] = &controlv1.Range{Start: []byte(r.Start), End: []byte(r.End)}
	}
	return out
}
