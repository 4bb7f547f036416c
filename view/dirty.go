package view

import (
	"maps"

	"github.com/spanward/spanward/operator"
)

// maxDirty is how many spans a Dirty names before it says that everything may have changed.
const maxDirty = 100_000

// Dirty says what may have changed up to a revision. It names too much rather than too little.
type Dirty struct {
	Revision int64
	// Reset: everything may have changed, and nothing else here is complete but Gone.
	Reset bool

	Leader, Cluster, Config, Maintainers, Quarantine bool
	// Nodes are those whose registration or configuration changed.
	Nodes map[string]bool
	// Gone are the registrations of sessions that are over.
	Gone []*Node
	// Keyspaces are those whose own record changed.
	Keyspaces map[string]bool
	// Spans are those whose record or claim changed.
	Spans map[operator.Ref]bool
	// Progress and History are the keyspaces in which such records changed.
	Progress, History map[string]bool
}

func newDirty(revision int64) *Dirty {
	return &Dirty{
		Revision: revision, Nodes: map[string]bool{}, Keyspaces: map[string]bool{}, Spans: map[operator.Ref]bool{},
		Progress: map[string]bool{}, History: map[string]bool{},
	}
}

// reset says that everything may have changed.
func reset(revision int64) *Dirty {
	d := newDirty(revision)
	d.Reset, d.Leader, d.Cluster, d.Config, d.Maintainers, d.Quarantine = true, true, true, true, true, true
	return d
}

func (d *Dirty) node(name string) { d.Nodes[name] = true }

// span does not name spans when everything may have changed: a listing has a million.
func (d *Dirty) span(ref operator.Ref) {
	if !d.Reset {
		d.Spans[ref] = true
	}
}

// merge adds a younger set to d.
func (d *Dirty) merge(o *Dirty) {
	if o.Reset || d.Reset || len(d.Spans)+len(o.Spans) > maxDirty {
		gone := append(d.Gone, o.Gone...) // no record tells of them any more
		*d = *reset(o.Revision)
		d.Gone = gone
		return
	}
	d.Revision = o.Revision
	d.Leader = d.Leader || o.Leader
	d.Cluster = d.Cluster || o.Cluster
	d.Config = d.Config || o.Config
	d.Maintainers = d.Maintainers || o.Maintainers
	d.Quarantine = d.Quarantine || o.Quarantine
	d.Gone = append(d.Gone, o.Gone...)
	maps.Copy(d.Nodes, o.Nodes)
	maps.Copy(d.Keyspaces, o.Keyspaces)
	maps.Copy(d.Spans, o.Spans)
	maps.Copy(d.Progress, o.Progress)
	maps.Copy(d.History, o.History)
}

func (d *Dirty) empty() bool {
	return !d.Reset && !d.Leader && !d.Cluster && !d.Config && !d.Maintainers && !d.Quarantine &&
		len(d.Nodes)+len(d.Gone)+len(d.Keyspaces)+len(d.Spans)+len(d.Progress)+len(d.History) == 0
}
