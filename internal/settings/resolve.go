package settings

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/spanward/spanward/internal/fault"
)

// Origin is the layer that a value comes from.
type Origin string

// The origins, the weakest first.
const (
	FromDefault  Origin = "default"
	FromFlag     Origin = "flag"
	FromCluster  Origin = "cluster"
	FromKeyspace Origin = "keyspace"
)

// Layers are where values may come from; a later one wins. A stored value outlives the process that leads, and is the same
// whoever does: so it goes before that process's flags, which are what the next leader may not have.
type Layers struct {
	// Flags of the maintainer that leads; zero values are none.
	Flags Values
	// Cluster is the cluster's record, Keyspace the settings of a keyspace, among them those that are not in the table.
	Cluster, Keyspace map[string]string
}

// Effective is a setting with the value that counts.
type Effective struct {
	Setting
	Value  string
	Origin Origin
}

// Ignored is a stored value that this version cannot use.
type Ignored struct{ Name, Value, Why string }

// Resolve gives the values that count, with their origins in the order of the table, and what had to be ignored.
func Resolve(l Layers) (Values, []Effective, []Ignored) {
	var v Values
	var ignored []Ignored
	out := make([]Effective, 0, len(table))
	for _, s := range table {
		origin, stored := FromDefault, ""
		s.reset(&v)
		if s.copyTo(&v, &l.Flags) {
			origin = FromFlag
		}
		for _, layer := range []struct {
			origin Origin
			values map[string]string
			has    bool
		}{{FromCluster, l.Cluster, s.OfCluster()}, {FromKeyspace, l.Keyspace, s.OfKeyspace()}} {
			text, ok := layer.values[s.Name]
			if !ok || !layer.has {
				continue
			}
			if err := s.set(&v, text); err != nil {
				ignored = append(ignored, Ignored{s.Name, text, why(err)})
				continue
			}
			origin, stored = layer.origin, text
		}
		out = append(out, Effective{s, cmp.Or(s.text(&v), stored), origin})
	}
	for _, name := range slices.Sorted(maps.Keys(l.Cluster)) {
		if s, known := Find(name); !known || !s.OfCluster() {
			ignored = append(ignored, Ignored{name, l.Cluster[name], "is unknown to this version"})
		}
	}
	return v, out, ignored
}

// Of gives the values that count in a keyspace, given those of the cluster.
func (v Values) Of(keyspace map[string]string) Values {
	for _, s := range perKeyspace {
		if text, ok := keyspace[s.Name]; ok {
			_ = s.set(&v, text) // one that makes no sense counts as absent
		}
	}
	return v
}

var perKeyspace = slices.DeleteFunc(slices.Clone(table), func(s Setting) bool { return !s.OfKeyspace() })

// CheckFlags refuses values that are out of bounds; zero values are none.
func CheckFlags(v Values) error {
	for _, s := range table {
		var one Values
		if !s.copyTo(&one, &v) {
			continue
		}
		if f, bad := fault.As(s.set(&one, s.text(&v))); bad {
			return f.On(s.Name, s.text(&v))
		}
	}
	with, _, _ := Resolve(Layers{Flags: v})
	return checkPairs(with)
}

func checkPairs(v Values) error {
	for _, p := range pairs {
		if p.wrong(v) {
			first, _ := Find(p.first)
			second, _ := Find(p.second)
			return fault.New(fault.InvalidArgument, "is more than %s, which is %s", p.second, second.text(&v)).
				On(p.first, first.text(&v)).Fix("set both, so that %s is not less", p.second)
		}
	}
	return nil
}

func why(err error) string {
	if f, ok := fault.As(err); ok {
		return f.Message
	}
	return fmt.Sprint(err)
}
