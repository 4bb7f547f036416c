package sim

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// small is a cluster of 3 nodes with 60 spans for ten minutes; events are those of a file.
func small(t *testing.T, events ...string) *Scenario {
	t.Helper()
	sc, err := Parse([]byte(`
duration: 10m
sample: 10s
nodes: [{count: 3}]
keyspaces: [{name: orders, spans: 60}]
settings: {balance.cooldown: 10s}
events:
  - {` + strings.Join(events, "}\n  - {") + "}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

func TestPausedBalanceMovesNothing(t *testing.T) {
	_, r := play(t, small(t, "at: 1m, pause: balance", "at: 2m, add: {}", "at: 5m, resume: balance"))
	if n := sampleAt(r, 299*time.Second).Moves; n > 0 {
		t.Errorf("%d moves while it is paused", n)
	}
	if n := r.Events[3].Operators.Balance; n != 15 {
		t.Errorf("%d moves once it goes on, want 15", n)
	}
}

func TestPausedPlacementOpensNothing(t *testing.T) {
	_, r := play(t, small(t, "at: 1m, pause: [placement, balance]", "at: 2m, kill: n1", "at: 5m, resume: placement"))
	if at := sampleAt(r, 299*time.Second); at.Unowned != 20 || at.Openings != 0 {
		t.Errorf("while it is paused: %+v", at)
	}
	if ev := r.Events[3]; ev.Operators.Failover != 20 || ev.UnownedLongestMS < 180_000 {
		t.Errorf("once it goes on: %+v", ev)
	}
}

func TestPausedDrainAndSplit(t *testing.T) {
	sc := small(t, "at: 0s, pause: [drain, split]", "at: 1m, drain: n1", "at: 5m, resume: [drain, split]")
	sc.Keyspaces[0].Settings = map[string]string{"split.load": "100", "split.after": "10s", "reshape.min-age": "10s"}
	sc.Keyspaces[0].Load = Load{Amount: Amount{Mean: 150, Among: AmongEqual}, Curve: CurveSteady}
	_, r := play(t, sc)
	if at := sampleAt(r, 299*time.Second); at.Moves != 0 || at.Splits != 0 {
		t.Errorf("while they are paused: %+v", at)
	}
	if ev := r.Events[2]; ev.Operators.Drain < 20 || ev.Operators.Split != 60 {
		t.Errorf("once they go on: %+v", ev)
	}
}

// A cordoned node keeps what it has and gets nothing; it is levelled once it may be given spans again.
func TestCordon(t *testing.T) {
	e, r := play(t, small(t, "at: 1m, cordon: n1", "at: 2m, kill: n2", "at: 5m, uncordon: n1"))
	if n := r.Events[2].Operators; n.Failover != 20 || n.Balance != 0 {
		t.Errorf("while it is cordoned: %+v", n)
	}
	if n := len(e.byName["n1"].spans); n != 30 {
		t.Errorf("n1 has %d spans in the end, want half of them", n)
	}
}

// A node on which openings fail is avoided by what failed there, and gets no more from balance.
func TestFailingOpenings(t *testing.T) {
	sc := small(t, "at: 1m, fail: 1", "at: 1m, kill: n1", "at: 2m, fail: 0")
	e, r := play(t, sc)
	if ev := r.Events[1]; ev.Operators.Failed < 40 || ev.Operators.Failover != 0 || ev.UnownedMost != 20 {
		t.Errorf("while all openings fail: %+v", ev)
	}
	// Each wait is twice as long as the one before it, from a second up to a minute: about seven tries in the first minute.
	if n := r.Events[1].Operators.Failed; n > 20*8 {
		t.Errorf("%d openings have failed in a minute", n)
	}
	if e.measure.unowned > 0 || r.Events[2].Operators.Retried != 20 {
		t.Errorf("once they no longer fail: %+v", r.Events[2])
	}
	for _, n := range e.nodes {
		if n.failing != 0 {
			t.Errorf("%d spans still count as failing on %s", n.failing, n.name)
		}
	}
}

func TestBalanceAvoidsFailingNodes(t *testing.T) {
	sc := small(t, "at: 1m, pause: placement", "at: 2m, add: {}")
	e := newEngine(sc)
	e.build()
	n := e.byName["n1"]
	for i := range 3 {
		if why := e.notYet(n); why != "" {
			t.Errorf("%d spans have failed on it, and it is %s", i, why)
		}
		e.failedOn(e.spans[i], n)
	}
	if why := e.notYet(n); why != "failing" {
		t.Errorf("it is %q", why)
	}
	for range e.values.BalanceNodeInFlight + 1 {
		e.failedOn(e.spans[0], nil)
		e.failedOn(e.spans[1], nil)
		n.asked[1]++
	}
	if why := e.notYet(n); why != "catching up" {
		t.Errorf("it is %q", why)
	}
}

// Weights and capacities are those of the nodes.
func TestWeightsAndCapacities(t *testing.T) {
	sc := small(t, "at: 1m, add: {name: big, weight: 3}", "at: 5m, add: {name: small, capacity: 4}")
	e, _ := play(t, sc)
	if n := len(e.byName["big1"].spans); n < 27 || n > 30 {
		t.Errorf("big1 has %d of 60 spans, want about 3 parts of 6", n)
	}
	if n := len(e.byName["small1"].spans); n != 4 {
		t.Errorf("small1 has %d spans, want as many as fit", n)
	}
}

// Settings that are set in between count from then on.
func TestSet(t *testing.T) {
	_, r := play(t, small(t, "at: 1m, set: {balance.in-flight: 1}", "at: 2m, add: {}"))
	for _, s := range r.Samples {
		if s.InFlight > 1 {
			t.Fatalf("%d in flight at %d ms", s.InFlight, s.AtMS)
		}
	}
	if n := r.Operators.Balance; n != 15 {
		t.Errorf("%d moves, want 15", n)
	}
}

// A node that returns before its session has ended gives its spans back at once.
func TestReturnBeforeTheSessionEnds(t *testing.T) {
	_, r := play(t, small(t, "at: 1m, kill: n1", "at: 1m2s, return: n1"))
	if ev := r.Events[2]; ev.Operators.Failover != 20 || ev.UnownedLongestMS > 3300 {
		t.Errorf("%+v", ev)
	}
	if len(r.Problems) > 0 {
		t.Errorf("problems: %+v", r.Problems)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, small(t, "at: 1m, kill: n1")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Whatever way an amount differs between spans, their mean is what was asked for.
func TestAmounts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, a := range []Amount{{7, AmongEqual, 1}, {7, AmongUniform, 1}, {7, AmongZipf, 1.2}, {0, AmongZipf, 1}} {
		sum, most := 0.0, 0.0
		for _, x := range a.deal(rng, 1000) {
			sum, most = sum+x, max(most, x)
		}
		if math.Abs(sum/1000-a.Mean) > 1e-6 {
			t.Errorf("%+v has the mean %g", a, sum/1000)
		}
		if top := map[Among]float64{AmongEqual: 7.01, AmongUniform: 15, AmongZipf: 3000}[a.Among]; most > top || a.Among == AmongZipf && a.Mean > 0 && most < 500 {
			t.Errorf("%+v has %g at most", a, most)
		}
	}
}

func TestCurves(t *testing.T) {
	square := Load{Curve: CurveSquare, Period: 10 * time.Minute, Low: 0.5, High: 3}
	sine := Load{Curve: CurveSine, Period: 24 * time.Hour, Low: 0, High: 2}
	for _, tc := range []struct {
		l    Load
		at   time.Duration
		want float64
	}{
		{Load{Curve: CurveSteady}, time.Hour, 1},
		{square, 0, 3},
		{square, 299 * time.Second, 3},
		{square, 5 * time.Minute, 0.5},
		{square, 10 * time.Minute, 3},
		{sine, 0, 0},
		{sine, 6 * time.Hour, 1},
		{sine, 12 * time.Hour, 2},
		{sine, 42 * time.Hour, 1},
	} {
		if got := tc.l.factor(tc.at); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%s at %s: %g, want %g", tc.l.Curve, tc.at, got, tc.want)
		}
	}
}

// A load that wanders stays within its bounds, and goes both ways.
func TestSteps(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	l := Load{Amount: Amount{Mean: 10}, By: 5}
	x, least, most := 10.0, 10.0, 10.0
	for range 100_000 {
		x = l.step(rng, x)
		least, most = min(least, x), max(most, x)
	}
	if least != 0.1 || most != 1000 {
		t.Errorf("it went from %g to %g", least, most)
	}
}

// Parts of a range propose keys strictly inside it, and children have the parts of the load that they have of the keys.
func TestKeys(t *testing.T) {
	for _, n := range []int{1, 2, 3, 1000} {
		for _, r := range even(n) {
			parts, err := r.Split(splitKeys(r)...)
			if err != nil || len(parts) != proposed+1 {
				t.Fatalf("%s in %d parts: %v", r, len(parts), err)
			}
			sum := 0.0
			for _, p := range parts {
				sum += widthOf(p, r)
			}
			if math.Abs(sum-1) > 1e-6 {
				t.Errorf("the parts of %s make %g", r, sum)
			}
		}
	}
}
