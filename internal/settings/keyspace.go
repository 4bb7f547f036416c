package settings

import (
	"maps"

	"github.com/spanward/spanward/internal/fault"
)

// A keyspace has its own values of settings among those of its workload.

// CheckKeyspace refuses values of a keyspace that cannot be read. What is not in the table is the workload's business.
func CheckKeyspace(set map[string]string) error {
	for _, s := range perKeyspace {
		value, ok := set[s.Name]
		if !ok {
			continue
		}
		if f, bad := fault.As(s.Accepts(value)); bad {
			return f.On(s.Name, value)
		}
	}
	return nil
}

// OfWorkload are the settings of a keyspace without the control plane's own, which no workload knows.
func OfWorkload(set map[string]string) map[string]string {
	out := set
	for _, s := range perKeyspace {
		if _, ok := set[s.Name]; !ok {
			continue
		}
		if len(out) == len(set) {
			out = maps.Clone(set)
		}
		delete(out, s.Name)
	}
	return out
}
