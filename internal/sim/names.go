package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// allNodes stands for every node in an event.
const allNodes = "all"

// roster are the nodes as the events of a file come and go, so that an event on a node that is not there is found before
// anything runs.
type roster struct {
	names []string
	up    map[string]bool
	// last is the highest number that was given out under a name.
	last map[string]int
	// settings of the cluster by then.
	settings map[string]string
}

func newRoster(settings map[string]string) *roster {
	return &roster{up: map[string]bool{}, last: map[string]int{}, settings: maps.Clone(settings)}
}

// join gives the nodes of a group their names.
func (ro *roster) join(g *Group) {
	for range g.Count {
		ro.last[g.Name]++
		name := fmt.Sprintf("%s%d", g.Name, ro.last[g.Name])
		if ro.has(name) { // groups "n" and "n1" may meet
			continue
		}
		g.Names = append(g.Names, name)
		ro.names = append(ro.names, name)
		ro.up[name] = true
	}
}

func (ro *roster) has(name string) bool {
	_, known := ro.up[name]
	return known
}

// pick finds the nodes that a value names: one name, a list of them, a beginning with * behind it, or all. Of what is
// named in passing those are meant that are up, or that are not; each that is named by itself must be so.
func (ro *roster) pick(v value, up bool) []string {
	var out []string
	for _, name := range v.texts("n1") {
		found := ro.matching(name, up)
		if len(found) == 0 {
			ro.refuse(v, name, up)
		}
		for _, n := range found {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

func (ro *roster) matching(name string, up bool) []string {
	prefix, many := strings.CutSuffix(name, "*")
	if name == allNodes {
		prefix, many = "", true
	}
	if !many {
		if ro.has(name) && ro.up[name] == up {
			return []string{name}
		}
		return nil
	}
	var out []string
	for _, n := range ro.names {
		if strings.HasPrefix(n, prefix) && ro.up[n] == up {
			out = append(out, n)
		}
	}
	return out
}

func (ro *roster) refuse(v value, name string, up bool) {
	many := name == allNodes || strings.HasSuffix(name, "*")
	switch {
	case ro.has(name) && up:
		v.fail(v.at, name, "is down at that time").fix("let it return first")
	case ro.has(name):
		v.fail(v.at, name, "is up at that time").fix("kill it first")
	case many:
		v.fail(v.at, name, "means no node that is %s at that time", map[bool]string{true: "up", false: "down"}[up]).fix("the nodes are then %s", named(ro.names))
	default:
		v.fail(v.at, name, "is no node at that time").fix("the nodes are then %s", named(ro.names))
	}
}

// set notes that nodes go or come.
func (ro *roster) set(names []string, up bool) {
	for _, n := range names {
		ro.up[n] = up
	}
}
