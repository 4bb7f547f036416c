package maintainer

import (
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/view"
)

// state is the view as the loop reads it: each method looks at what is known now.
type state struct{ view *view.View }

func read[T any](s state, f func(*view.State) T) (out T) {
	s.view.Read(func(st *view.State) { out = f(st) })
	return out
}

func (s state) Revision() int64 { return read(s, (*view.State).Revision) }

// Span by name, false if it has no record.
func (s state) Span(r operator.Ref) (operator.Span, bool) {
	sp := read(s, func(st *view.State) *view.Span { return st.Span(r) })
	if sp == nil {
		return operator.Span{Ref: r}, false
	}
	return *sp, true
}

// OwnedSince is the revision that made the span's owner.
func (s state) OwnedSince(r operator.Ref) int64 {
	return read(s, func(st *view.State) int64 { return st.OwnedSince(r) })
}

// Claim on a span, false if nobody acts on it.
func (s state) Claim(r operator.Ref) (operator.Claim, bool) {
	c := read(s, func(st *view.State) *view.Claim { return st.Claim(r) })
	if c == nil {
		return operator.Claim{}, false
	}
	return c.Claim, true
}

// Node by name, nil if it is not registered.
func (s state) Node(name string) *view.Node {
	return read(s, func(st *view.State) *view.Node { return st.Node(name) })
}

// Session that a node has now, 0 for none.
func (s state) Session(node string) int64 {
	if n := s.Node(node); n != nil {
		return n.Session
	}
	return 0
}

// Nodes that are registered, in the order of their names.
func (s state) Nodes() []*view.Node {
	return read(s, func(st *view.State) (out []*view.Node) {
		for n := range st.Nodes() {
			out = append(out, n)
		}
		return out
	})
}

// NodeConfig of a node; the zero value if nobody has configured it.
func (s state) NodeConfig(name string) record.NodeConfig {
	c := read(s, func(st *view.State) *view.NodeConfig { return st.NodeConfig(name) })
	if c == nil {
		return record.NodeConfig{}
	}
	return c.NodeConfig
}

// Keyspace by name; the zero value if it has no record.
func (s state) Keyspace(name string) operator.Keyspace {
	ks := read(s, func(st *view.State) *view.Keyspace { return st.Keyspace(name) })
	if ks == nil {
		return operator.Keyspace{}
	}
	return *ks
}

// Progress is one bucket, and the revision that it was written at.
func (s state) Progress(keyspace string, bucket uint32) (record.Progress, int64) {
	p := read(s, func(st *view.State) *view.Progress { return st.ProgressRecord(keyspace, bucket) })
	if p == nil {
		return nil, 0
	}
	return p.Progress, p.Mod
}

// Spans of a keyspace that have a record.
func (s state) Spans(keyspace string) []operator.Ref {
	return read(s, func(st *view.State) (out []operator.Ref) {
		for sp := range st.Spans(keyspace) {
			out = append(out, sp.Ref)
		}
		return out
	})
}

// All spans that have a record or a claim.
func (s state) All() []operator.Ref {
	return read(s, func(st *view.State) (out []operator.Ref) {
		for _, name := range st.Names() {
			for sp := range st.Spans(name) {
				out = append(out, sp.Ref)
			}
		}
		return append(out, claims(st)...)
	})
}

// Claims are the spans that somebody acts on.
func (s state) Claims() []operator.Ref { return read(s, claims) }

func claims(st *view.State) (out []operator.Ref) {
	for _, session := range st.Claimants() {
		for c := range st.ClaimedBy(session) {
			out = append(out, c.Ref)
		}
	}
	return out
}

// Acts counts the spans that a session acts on.
func (s state) Acts(session int64) int {
	return read(s, func(st *view.State) int { return st.CountClaimedBy(session) })
}

// Owned are the spans that record the session as their owner.
func (s state) Owned(session int64) []operator.Ref {
	return read(s, func(st *view.State) (out []operator.Ref) {
		for sp := range st.OwnedBy(session) {
			out = append(out, sp.Ref)
		}
		return out
	})
}

// MovingTo are the spans with an operator in flight that goes to the node.
func (s state) MovingTo(node string) []operator.Ref {
	return read(s, func(st *view.State) (out []operator.Ref) {
		for sp := range st.WithIntent() {
			if sp.Intent.To == node {
				out = append(out, sp.Ref)
			}
		}
		return out
	})
}

// Quarantined are the keys that make no sense.
func (s state) Quarantined() []*view.Quarantine {
	return read(s, func(st *view.State) (out []*view.Quarantine) {
		for q := range st.Quarantined() {
			out = append(out, q)
		}
		return out
	})
}
