package audit

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/spanward/spanward/keys"
)

// Change is one key of one revision, or of a list.
type Change struct {
	Key   string
	Value []byte
	// Deleted: the key went; nothing else but Key is set.
	Deleted bool
	// Create and Mod are the revisions of the key, Lease the lease that it is on.
	Create, Mod, Lease int64
}

// Auditor is fed with a history, revision by revision, and notes what was wrong. It reads no clock and does no I/O.
type Auditor struct {
	layout keys.Layout
	// only is the keyspace to look at, empty for all.
	only     string
	revision int64
	loaded   bool
	now      *state
	found    findings
	problems map[string]Problem
}

// New makes an auditor of one keyspace, or of all if the name is empty, that has seen an empty etcd.
func New(layout keys.Layout, keyspace string) *Auditor {
	return &Auditor{layout: layout, only: keyspace, now: newState(), problems: map[string]Problem{}}
}

// Load takes everything that is stored at a revision where the history begins. What is wrong in it is noted, how it
// came about cannot be judged. It must come before the first Apply.
func (a *Auditor) Load(revision int64, list []Change) error {
	if a.loaded {
		return fmt.Errorf("audit: a list at revision %d after revision %d", revision, a.revision)
	}
	s := a.read(revision, list)
	s.commit()
	s.standing()
	a.close(s)
	return nil
}

// Apply takes all changes of the next revision, which is higher than the last; revisions without changes may be left out.
func (a *Auditor) Apply(revision int64, changes []Change) error {
	if revision <= a.revision {
		return fmt.Errorf("audit: revision %d after revision %d", revision, a.revision)
	}
	s := a.read(revision, changes)
	s.transitions()
	s.commit()
	s.standing()
	a.close(s)
	return nil
}

func (a *Auditor) close(s *step) {
	a.found.add(s.found)
	a.revision, a.loaded = s.revision, true
}

// Revision is the last one that was fed.
func (a *Auditor) Revision() int64 { return a.revision }

// Violations lists what was found, in the order of revisions; More counts those beyond a limit.
func (a *Auditor) Violations() (vs []Violation, more int) {
	return slices.Clone(a.found.kept), a.found.more
}

// Problems lists the keys whose present value cannot be understood.
func (a *Auditor) Problems() []Problem {
	out := make([]Problem, 0, len(a.problems))
	for _, p := range a.problems {
		out = append(out, p)
	}
	slices.SortFunc(out, func(x, y Problem) int { return cmp.Compare(x.Key, y.Key) })
	return out
}
