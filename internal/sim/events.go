package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanward/spanward/internal/settings"
)

// verb is a kind of event: its field, and how that is read.
type verb struct {
	name string
	read func(sc *Scenario, ro *roster, at time.Duration, v value) Action
}

func verbs() []verb {
	return []verb{
		{"add", readAdd},
		{"kill", onNodes(true, func(names []string) Action { return kill(names) })},
		{"return", onNodes(false, func(names []string) Action { return comeBack(names) })},
		{"flap", readFlap},
		{"drain", onNodes(true, func(names []string) Action { return drain(names) })},
		{"cordon", onNodes(true, func(names []string) Action { return cordon(names) })},
		{"uncordon", onNodes(true, func(names []string) Action { return uncordon(names) })},
		{"pause", onPlanners(func(names []string) Action { return pause(names) })},
		{"resume", onPlanners(func(names []string) Action { return resume(names) })},
		{"refuse", onShare(func(share float64) Action { return refuse(share) })},
		{"fail", onShare(func(share float64) Action { return failing(share) })},
		{"load", readReload},
		{"set", readSet},
		{"hang", readHang},
		{"release", onNodes(true, func(names []string) Action { return release(names) })},
	}
}

// readEvents reads them in the order of their times, so that each can be compared with what there is by then.
func (sc *Scenario) readEvents(f fields) {
	ro := newRoster(sc.Settings)
	for i := range sc.Nodes {
		ro.join(&sc.Nodes[i])
	}
	kinds := verbs()
	known := []string{"at"}
	for _, k := range kinds {
		known = append(known, k.name)
	}
	type pending struct {
		at time.Duration
		f  fields
	}
	var list []pending
	for _, v := range f.list("events") {
		e := v.mapping(known...)
		list = append(list, pending{e.need("at", "10m").duration(0, maxDuration), e})
	}
	if len(list) > maxEvents {
		f.fail("events", strconv.Itoa(len(list)), "are more than %s", grouped(maxEvents)).fix("simulate fewer")
	}
	slices.SortStableFunc(list, func(a, b pending) int { return cmp.Compare(a.at, b.at) })
	for _, p := range list {
		if p.at >= sc.Duration {
			p.f.fail(p.f.path("at"), brief(p.at), "is not before the end, at %s", brief(sc.Duration)).fix("raise duration, or leave the event out")
		}
		if f.err != nil {
			return // what follows depends on what is wrong
		}
		if do := sc.readEvent(ro, kinds, p.at, p.f); do != nil {
			sc.Events = append(sc.Events, Event{p.at, do})
		}
	}
}

func (sc *Scenario) readEvent(ro *roster, kinds []verb, at time.Duration, f fields) Action {
	var out Action
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
		v, ok := f.get(k.name)
		if !ok {
			continue
		}
		if out != nil {
			f.fail(f.at, "", "is two things at once: %s is the second", k.name).fix("make two events of it, with the same time")
		}
		out = k.read(sc, ro, at, v)
	}
	if out == nil {
		f.fail(f.at, "", "does not say what happens").fix("use one of %s", strings.Join(names, ", "))
	}
	return out
}

func onNodes(up bool, do func(names []string) Action) func(*Scenario, *roster, time.Duration, value) Action {
	return func(_ *Scenario, ro *roster, _ time.Duration, v value) Action {
		names := ro.pick(v, up)
		a := do(names)
		switch a.(type) {
		case kill:
			ro.set(names, false)
		case comeBack:
			ro.set(names, true)
		}
		return a
	}
}

func onPlanners(do func(names []string) Action) func(*Scenario, *roster, time.Duration, value) Action {
	return func(_ *Scenario, _ *roster, _ time.Duration, v value) Action {
		names := v.texts(settings.PlannerBalance)
		var known []string
		for _, p := range settings.Planners {
			known = append(known, p.Name)
		}
		for _, n := range names {
			if !slices.Contains(known, n) {
				v.fail(v.at, n, "is no planner").fix("use %s", strings.Join(known, ", "))
			}
		}
		return do(names)
	}
}

func onShare(do func(share float64) Action) func(*Scenario, *roster, time.Duration, value) Action {
	return func(_ *Scenario, _ *roster, _ time.Duration, v value) Action { return do(v.number(0, 1)) }
}

// add brings nodes.
type add Group

func readAdd(_ *Scenario, ro *roster, _ time.Duration, v value) Action {
	g := readGroup(v)
	if len(ro.names)+g.Count > maxNodes {
		v.fail(v.path("count"), strconv.Itoa(g.Count), "makes more than %s nodes", grouped(maxNodes)).fix("simulate fewer")
		return add(g)
	}
	ro.join(&g)
	return add(g)
}

func (a add) String() string { return named(a.Names) + " " + be(a.Names) + " added" }

// kill ends the processes of nodes, comeBack starts them again.
type (
	kill     []string
	comeBack []string
)

func (k kill) String() string { return named(k) + " " + be(k) + " killed" }
func (c comeBack) String() string {
	return named(c) + " " + map[bool]string{true: "returns", false: "return"}[len(c) == 1]
}

// flap is nodes that die and return time and again.
type flap struct {
	names           []string
	down, up, until time.Duration
}

func readFlap(sc *Scenario, ro *roster, at time.Duration, v value) Action {
	f := v.mapping("nodes", "down", "up", "for")
	fl := flap{
		names: ro.pick(f.need("nodes", "n1"), true),
		down:  f.need("down", "6s").duration(time.Millisecond, maxDuration),
		up:    f.need("up", "5s").duration(time.Millisecond, maxDuration),
		until: at + f.need("for", "10m").duration(time.Millisecond, maxDuration),
	}
	if fl.until > sc.Duration {
		f.fail(f.path("for"), brief(fl.until-at), "goes on after the end, at %s", brief(sc.Duration)).fix("raise duration, or let it end earlier")
	}
	return fl
}

func (f flap) String() string {
	return fmt.Sprintf("%s begins to flap: down %s, up %s", named(f.names), brief(f.down), brief(f.up))
}

// drain, cordon and uncordon are what the commands of the same names do.
type (
	drain    []string
	cordon   []string
	uncordon []string
)

func (d drain) String() string    { return named(d) + " " + be(d) + " drained" }
func (c cordon) String() string   { return named(c) + " " + be(c) + " cordoned" }
func (u uncordon) String() string { return named(u) + " " + be(u) + " uncordoned" }

// pause and resume planners.
type (
	pause  []string
	resume []string
)

func (p pause) String() string  { return strings.Join(p, ", ") + " " + be(p) + " paused" }
func (r resume) String() string { return strings.Join(r, ", ") + " " + be(r) + " resumed" }

// refuse is the share of operators that are refused from now on, failing that of openings that fail.
type (
	refuse  float64
	failing float64
)

func (r refuse) String() string  { return percent(float64(r)) + " of operators are refused" }
func (f failing) String() string { return percent(float64(f)) + " of openings fail" }

func percent(share float64) string { return strconv.FormatFloat(100*share, 'g', 3, 64) + "%" }

// reload gives the spans of a keyspace other loads.
type reload struct {
	keyspace string
	load     Load
}

func readReload(sc *Scenario, _ *roster, _ time.Duration, v value) Action {
	f := v.mapping(append([]string{"keyspace"}, loadFields...)...)
	name := f.need("keyspace", sc.Keyspaces[0].Name).text(sc.Keyspaces[0].Name)
	if !slices.ContainsFunc(sc.Keyspaces, func(ks Keyspace) bool { return ks.Name == name }) {
		var known []string
		for _, ks := range sc.Keyspaces {
			known = append(known, ks.Name)
		}
		v.fail(f.path("keyspace"), name, "is no keyspace").fix("use %s", strings.Join(known[:min(len(known), 10)], ", "))
	}
	return reload{name, readLoad(f)}
}

func (r reload) String() string {
	s := fmt.Sprintf("the load of %s is %s", r.keyspace, short(r.load.Mean))
	if r.load.Among != AmongEqual {
		s += ", " + string(r.load.Among)
	}
	if r.load.Curve != CurveSteady {
		s += ", " + string(r.load.Curve)
	}
	return s
}

// set changes settings of the cluster.
type set struct {
	values map[string]string
	text   string
}

func readSet(_ *Scenario, ro *roster, _ time.Duration, v value) Action {
	out := set{values: v.textMap()}
	if len(out.values) == 0 {
		v.fail(v.at, "", "is empty").fix("write for example set: {balance.tolerance: 0.2}")
	}
	maps.Copy(ro.settings, out.values)
	checkSettings(v.reader, v.at, ro.settings, nil)
	out.text = assignments(out.values)
	return out
}

func (s set) String() string { return s.text + " is set" }

// hang is openings on nodes that do not end: the next ones, or all if there is no number.
type hang struct {
	names    []string
	openings int
}

func readHang(_ *Scenario, ro *roster, _ time.Duration, v value) Action {
	f := v.mapping("nodes", "openings")
	return hang{ro.pick(f.need("nodes", "n1"), true), f.count("openings", allOpenings, 1, maxSpans)}
}

// allOpenings hang.
const allOpenings = -1

func (h hang) String() string {
	if h.openings == allOpenings {
		return "openings on " + named(h.names) + " hang"
	}
	return some(h.openings, "opening") + " on " + named(h.names) + map[bool]string{true: " hangs", false: " hang"}[h.openings == 1]
}

// release lets openings on nodes go on.
type release []string

func (r release) String() string { return "openings on " + named(r) + " go on" }
