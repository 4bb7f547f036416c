package sim

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/span"
)

// Whatever happens to a cluster, once nodes are there and nothing is in the way, every span has an owner, no key has two
// spans or none, and all becomes calm.
func TestAllBecomesCalm(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sc := &Scenario{
			Name: "random", Seed: rapid.Uint64().Draw(rt, "seed"), Duration: 3 * time.Hour, Tick: time.Second, Sample: time.Minute, Report: 10 * time.Second,
			Settings: map[string]string{"balance.cooldown": "5s", "open-timeout": "20s", "reshape.min-age": "10s"},
			Nodes:    []Group{{Count: rapid.IntRange(1, 5).Draw(rt, "nodes"), Name: "n", Weight: 1}},
			Costs:    Costs{Open: 300 * time.Millisecond, Close: 200 * time.Millisecond, SessionTTL: 5 * time.Second},
		}
		ro := newRoster(sc.Settings)
		ro.join(&sc.Nodes[0])
		for i := range rapid.IntRange(1, 3).Draw(rt, "keyspaces") {
			sc.Keyspaces = append(sc.Keyspaces, randomKeyspace(rt, i))
		}
		at := time.Minute
		for range rapid.IntRange(0, 25).Draw(rt, "events") {
			at += time.Duration(rapid.IntRange(0, 40_000).Draw(rt, "wait")) * time.Millisecond
			if do := randomAction(rt, sc, ro); do != nil {
				sc.Events = append(sc.Events, Event{at, do})
			}
		}
		at += time.Second
		for _, do := range []Action{
			comeBack(ro.names), uncordon(ro.names), release(ro.names), refuse(0), failing(0),
			resume([]string{settings.PlannerPlacement, settings.PlannerDrain, settings.PlannerBalance, settings.PlannerSplit, settings.PlannerMerge}),
		} {
			sc.Events = append(sc.Events, Event{at, do})
		}
		e, err := run(t.Context(), sc)
		if err != nil {
			rt.Fatal(err)
		}
		consistent(rt, e)
		covered(rt, e)
		r := e.result()
		if last := r.Events[len(r.Events)-1]; last.CalmAfterMS == nil {
			rt.Errorf("not calm in the end: %+v\n%+v", last, r.Problems)
		}
	})
}

func randomKeyspace(rt *rapid.T, i int) Keyspace {
	ks := Keyspace{Name: fmt.Sprintf("k%d", i), Spans: rapid.IntRange(1, 40).Draw(rt, "spans"), Settings: map[string]string{}}
	ks.Load = Load{Amount: Amount{Mean: 10, Among: AmongUniform, Exponent: 1}, Curve: CurveSteady}
	if rapid.Bool().Draw(rt, "reshaped") {
		ks.Settings = map[string]string{"split.load": "15", "merge.load": "8", "split.after": "5s", "merge.after": "5s"}
	}
	ks.Created = time.Duration(rapid.IntRange(0, 60).Draw(rt, "created")) * time.Second
	return ks
}

func randomAction(rt *rapid.T, sc *Scenario, ro *roster) Action {
	name := rapid.SampledFrom(ro.names).Draw(rt, "node")
	one := []string{name}
	planner := []string{rapid.SampledFrom(settings.Planners[:]).Draw(rt, "planner").Name}
	share := rapid.SampledFrom([]float64{0, 0.3, 1}).Draw(rt, "share")
	switch rapid.IntRange(0, 12).Draw(rt, "action") {
	case 0, 1:
		return kill(one)
	case 2:
		return comeBack(one)
	case 3:
		return drain(one)
	case 4:
		return uncordon(one)
	case 5:
		return hang{one, rapid.SampledFrom([]int{1, allOpenings}).Draw(rt, "openings")}
	case 6:
		return release(one)
	case 7:
		return refuse(share)
	case 8:
		return failing(share)
	case 9:
		return pause(planner)
	case 10:
		return resume(planner)
	case 11:
		g := Group{Count: 1, Name: "n", Weight: 1}
		ro.join(&g)
		return add(g)
	default:
		ks := rapid.SampledFrom(sc.Keyspaces).Draw(rt, "keyspace")
		l := ks.Load
		l.Mean = rapid.SampledFrom([]float64{1, 5, 30}).Draw(rt, "mean")
		return reload{ks.Name, l}
	}
}

// covered: each key of a keyspace is in one span.
func covered(rt *rapid.T, e *engine) {
	for _, ks := range e.keyspaces {
		var ranges []span.Range
		for _, s := range ks.members {
			ranges = append(ranges, s.rng)
		}
		if i, j, bad := span.Overlapping(ranges); bad {
			rt.Fatalf("%s has %s and %s", ks.Name, ranges[i], ranges[j])
		}
		if holes := span.Holes(ranges, span.Range{}); len(holes) > 0 {
			rt.Fatalf("%s has holes %v", ks.Name, holes)
		}
	}
}
