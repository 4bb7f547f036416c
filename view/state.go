package view

import (
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
)

// State is everything below one cluster's prefix at one revision, typed and indexed. It is a plain data structure:
// changes go in with Apply, in the order of revisions, and the same records give the same State whatever the way to
// them. One goroutine may write, or many read.
//
// A record that does not decode, or that contradicts its own key, is quarantined: it counts as absent everywhere but
// in Quarantined, whatever it held before. So a quarantined span is missing from its keyspace's ranges, and nobody can
// know what it covered: do not fill a hole in a keyspace that has one (see QuarantinedSpans). A quarantined progress
// record leaves only the checkpoints of the span records.
type State struct {
	layout   keys.Layout
	revision int64
	names    map[string]string // one copy of every name of a node, workload or keyspace

	leader      *Leader
	cluster     Cluster
	config      *ClusterConfig
	maintainers map[string]*Maintainer
	nodes       map[string]*Node
	sessions    map[int64]*Node
	configs     map[string]*NodeConfig

	spaces    map[string]*space
	owned     map[int64]*refSet // by owner session
	acting    map[int64]*refSet // by claim session
	ownerless *refSet
	intents   *refSet
	operators map[string][]*slot // by intent

	histories   map[operator.Ref][]*History
	requests    map[string][]*Request
	quarantined map[string]*Quarantine
}

// NewState is the state of a cluster without any record.
func NewState(layout keys.Layout) *State {
	return &State{
		layout: layout, names: map[string]string{}, config: &ClusterConfig{},
		maintainers: map[string]*Maintainer{}, nodes: map[string]*Node{}, sessions: map[int64]*Node{},
		configs: map[string]*NodeConfig{}, spaces: map[string]*space{},
		owned: map[int64]*refSet{}, acting: map[int64]*refSet{}, ownerless: newRefSet(), intents: newRefSet(),
		operators: map[string][]*slot{}, histories: map[operator.Ref][]*History{},
		requests: map[string][]*Request{}, quarantined: map[string]*Quarantine{},
	}
}

// Layout of the keys.
func (s *State) Layout() keys.Layout { return s.layout }

// Revision is the one up to which all changes are in.
func (s *State) Revision() int64 { return s.revision }

// Apply brings all changes of one revision in and says what they touch. Revisions must come once, whole, and in
// ascending order.
func (s *State) Apply(revision int64, changes []Change) *Dirty {
	d := newDirty(revision)
	s.bring(changes, d)
	return d
}

// Load brings in records that were listed at one revision. A listing may come in several calls.
func (s *State) Load(revision int64, records []Change) { s.bring(records, reset(revision)) }

func (s *State) bring(changes []Change, d *Dirty) {
	for i := range changes {
		s.apply(&changes[i], d)
	}
	s.revision = d.Revision
}

// shape is what a kind of record needs: put replaces whatever the key held, or fails without a trace of it in s;
// drop removes it, if there is something.
type shape struct {
	put  func(*State, keys.Parsed, *Change, *Dirty) error
	drop func(*State, keys.Parsed, *Dirty)
}

var shapes = [...]shape{
	keys.Leader:     {(*State).putLeader, (*State).dropLeader},
	keys.Cluster:    {(*State).putCluster, (*State).dropCluster},
	keys.Config:     {(*State).putClusterConfig, (*State).dropClusterConfig},
	keys.Maintainer: {(*State).putMaintainer, (*State).dropMaintainer},
	keys.Node:       {(*State).putNode, (*State).dropNode},
	keys.NodeConfig: {(*State).putConfig, (*State).dropConfig},
	keys.Keyspace:   {(*State).putKeyspace, (*State).dropKeyspace},
	keys.Span:       {(*State).putSpan, (*State).dropSpan},
	keys.Operator:   {(*State).putClaim, (*State).dropClaim},
	keys.Progress:   {(*State).putProgress, (*State).dropProgress},
	keys.History:    {(*State).putHistory, (*State).dropHistory},
}

func (s *State) apply(c *Change, d *Dirty) {
	p, err := s.layout.Parse(c.Key)
	if err != nil {
		p = keys.Parsed{}
	}
	s.release(c.Key, d)
	switch {
	case err != nil && !c.Deleted:
		s.quarantine(c, p, "nobody of this version writes such a key", d)
	case err != nil:
	case c.Deleted:
		shapes[p.Kind].drop(s, p, d)
	default:
		if err := shapes[p.Kind].put(s, p, c, d); err != nil {
			shapes[p.Kind].drop(s, p, d)
			s.quarantine(c, p, err.Error(), d)
		}
	}
}

func (s *State) quarantine(c *Change, p keys.Parsed, why string, d *Dirty) {
	s.quarantined[c.Key] = &Quarantine{Key: c.Key, Parsed: p, Reason: why, Since: c.Mod}
	d.Quarantine = true
	if p.Kind == keys.Span {
		s.space(p.Keyspace).hidden++
		d.span(operator.Ref{Keyspace: p.Keyspace, ID: p.Span})
	}
}

// release forgets that a key was quarantined: something else has happened to it.
func (s *State) release(key string, d *Dirty) {
	q := s.quarantined[key]
	if q == nil {
		return
	}
	delete(s.quarantined, key)
	d.Quarantine = true
	if q.Parsed.Kind == keys.Span {
		s.space(q.Parsed.Keyspace).hidden--
		s.tidy(q.Parsed.Keyspace)
		d.span(operator.Ref{Keyspace: q.Parsed.Keyspace, ID: q.Parsed.Span})
	}
}

// name is s as it was first seen. Records repeat few names very often.
func (s *State) name(text string) string {
	if known, ok := s.names[text]; ok {
		return known
	}
	s.names[text] = text
	return text
}

// remember and forget keep the request ids that one record holds.
func (s *State) remember(key, keyspace string, list ...record.Request) {
	for _, r := range list {
		if r.ID != "" {
			s.requests[r.ID] = append(s.requests[r.ID], &Request{
				ID: r.ID, Operator: r.Operator, Body: r.Body, Keyspace: keyspace, Key: key,
			})
		}
	}
}

func (s *State) forget(key string, list ...record.Request) {
	for _, r := range list {
		s.requests[r.ID] = without(s.requests[r.ID], func(have *Request) bool { return have.Key == key })
		if len(s.requests[r.ID]) == 0 {
			delete(s.requests, r.ID)
		}
	}
}

// without is list with no element that is meant. The lists are short; the order is not kept.
func without[T any](list []T, meant func(T) bool) []T {
	for i := 0; i < len(list); i++ {
		if meant(list[i]) {
			last := len(list) - 1
			list[i], list[last] = list[last], *new(T)
			list = list[:last]
			i--
		}
	}
	return list
}
