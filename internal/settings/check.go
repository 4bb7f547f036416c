package settings

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/spanward/spanward/internal/fault"
)

// Check looks at values that somebody wants to set; an empty one takes what is stored away. ofKeyspace: they are to be a
// keyspace's own. stored is the cluster's record: what is in there may be taken away whether this version knows it or not.
func Check(set map[string]string, ofKeyspace bool, stored map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		value := set[name]
		s, known := Find(name)
		_, has := stored[name]
		switch {
		case has && value == "":
		case !known:
			return unknown(name)
		case ofKeyspace && !s.OfKeyspace():
			return fault.New(fault.InvalidArgument, "belongs to the whole cluster").On("key", name).Fix("set it without --keyspace")
		case !ofKeyspace && !s.OfCluster():
			return fault.New(fault.InvalidArgument, "belongs to each keyspace").On("key", name).Fix("set it with --keyspace KS")
		case value == "":
		default:
			var v Values
			if f, bad := fault.As(s.set(&v, value)); bad {
				return f.On(name, value)
			}
		}
	}
	return nil
}

// CheckTogether looks at the values that count once a change is made.
func CheckTogether(l Layers) error {
	v, _, _ := Resolve(l)
	return checkPairs(v)
}

// Changed is what is stored after a change.
func Changed(stored, set map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, stored)
	for name, value := range set {
		if value == "" {
			delete(out, name)
		} else {
			out[name] = value
		}
	}
	return out
}

func unknown(name string) error {
	f := fault.New(fault.InvalidArgument, "is not a setting").On("key", name)
	near := Near(name)
	if len(near) == 0 {
		return f.Fix("see `spanward config show -o wide`")
	}
	return f.Fix("did you mean %s? `spanward config show -o wide` explains all of them", strings.Join(near, " or "))
}

// maxNear bounds how many names are proposed, maxTypos how far they may be from what was written.
const (
	maxNear  = 3
	maxTypos = 3
)

// Near are settings whose names resemble what somebody has written, the most similar first.
func Near(name string) []string {
	type candidate struct {
		name string
		off  int
	}
	var found []candidate
	for _, s := range table {
		off := distance(name, s.Name)
		alike := off <= min(maxTypos, len(name)/2) || len(name) > maxTypos && strings.Contains(s.Name, name) || strings.HasPrefix(name, s.Name)
		if alike {
			found = append(found, candidate{s.Name, off})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.off, b.off) })
	var out []string
	for _, c := range found[:min(maxNear, len(found))] {
		out = append(out, c.name)
	}
	return out
}

// maxCompared bounds the length of what is compared: names are short, and what somebody sends need not be.
const maxCompared = 64

// distance counts the bytes that have to be put in, taken out or replaced to make one text the other.
func distance(a, b string) int {
	if len(a) > maxCompared {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
