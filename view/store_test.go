package view_test

import (
	"maps"
	"slices"

	"github.com/spanward/spanward/view"
)

// store is what etcd would hold: the records, without any idea of what they mean.
type store struct {
	revision int64
	records  map[string]view.Change
}

// commit gives changes the revisions that etcd would, and leaves out deletions of nothing.
func (s *store) commit(changes []view.Change) []view.Change {
	if s.records == nil {
		s.records = map[string]view.Change{}
	}
	s.revision++
	var out []view.Change
	for _, c := range changes {
		old, exists := s.records[c.Key]
		switch {
		case c.Deleted && !exists:
			continue
		case c.Deleted:
			delete(s.records, c.Key)
			c.Mod = s.revision
		default:
			c.Create, c.Mod = s.revision, s.revision
			if exists {
				c.Create = old.Create
			}
			s.records[c.Key] = c
		}
		out = append(out, c)
	}
	return out
}

// list is all records in the order of their keys.
func (s *store) list() []view.Change {
	var out []view.Change
	for _, key := range slices.Sorted(maps.Keys(s.records)) {
		out = append(out, s.records[key])
	}
	return out
}
