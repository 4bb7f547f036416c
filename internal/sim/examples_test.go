package sim

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const examples = "../../docs/simulations"

func example(t *testing.T, name string) *Scenario {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examples, name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	sc, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// play runs a scenario, and checks what must hold in all of them.
func play(t *testing.T, sc *Scenario) (*engine, *Result) {
	t.Helper()
	e, err := run(t.Context(), sc)
	if err != nil {
		t.Fatal(err)
	}
	consistent(t, e)
	return e, e.result()
}

func playExample(t *testing.T, name string) (*engine, *Result) {
	t.Helper()
	return play(t, example(t, name))
}

type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// consistent compares all counts with what they count, and what the planners know with how it is.
func consistent(t fatal, e *engine) {
	t.Helper()
	unowned, live := 0, 0
	on, load := map[*node]int{}, map[*node]float64{}
	for i, s := range e.spans {
		if s == nil {
			continue
		}
		live++
		if numberOf(s.id) != i {
			t.Fatalf("span %s stands at %d", s.id, i)
		}
		if !s.owned() {
			unowned++
		}
		if s.node != nil {
			on[s.node]++
			load[s.node] += s.load
		}
		known, ok := e.fleet.Span(s.ref())
		if !ok {
			t.Fatalf("the planners do not know %s", s.id)
		}
		if s.stage == running && s.cause == byNobody && (known.Node != s.node.name || known.Flight.Class != 0) {
			t.Fatalf("%s runs on %s, and the planners think %+v", s.id, s.node.name, known)
		}
	}
	if unowned != e.measure.unowned || live != e.fleet.Len() {
		t.Fatalf("%d of %d spans are unowned; counted %d of %d", unowned, live, e.measure.unowned, e.fleet.Len())
	}
	drains := map[*node]int{}
	inFlight := [causes]int{}
	for _, s := range e.spans {
		if s != nil && s.cause != byNobody {
			inFlight[s.cause]++
		}
		if s != nil && s.cause == byDrain {
			drains[s.from]++
		}
	}
	if inFlight != e.measure.inFlight {
		t.Fatalf("in flight are %v, counted %v", inFlight, e.measure.inFlight)
	}
	for _, n := range e.nodes {
		if len(n.spans) != on[n] || math.Abs(n.load-load[n]) > 1e-3 || n.drains != drains[n] {
			t.Fatalf("%s has %d spans, load %g, %d drains; counted %d, %g, %d", n.name, on[n], load[n], drains[n], len(n.spans), n.load, n.drains)
		}
		asked := 0
		for _, a := range n.asked {
			asked += a
		}
		if asked != len(n.coming) {
			t.Fatalf("%s opens %d spans; counted %v", n.name, len(n.coming), n.asked)
		}
	}
}

// All examples are read, and run to their ends; the largest is another test's.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examples, "*.yaml"))
	if err != nil || len(files) < 10 {
		t.Fatalf("only %d examples, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		sc := example(t, name)
		if sc.Name == "" {
			t.Errorf("%s has no name", name)
		}
		if name == "million" {
			continue
		}
		_, r := play(t, sc)
		_, again := play(t, sc)
		if diff := cmp.Diff(text(t, r), text(t, again)); diff != "" {
			t.Errorf("%s twice is not the same:\n%s", name, diff)
		}
		wellFormed(t, r)
	}
}

func text(t *testing.T, r *Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := errors.Join(r.WriteTable(&b, true), r.WriteJSON(&b), r.WriteChart(&b)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func wellFormed(t *testing.T, r *Result) {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteChart(&b); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Contains(s, "NaN") || strings.Contains(s, "Inf") || strings.Contains(s, "%!") {
		t.Errorf("the chart of %s has points that are none", r.Name)
	}
	dec := xml.NewDecoder(&b)
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("the chart of %s: %v", r.Name, err)
		}
	}
}

// Another seed gives another result, or chance would not be chance.
func TestSeedsDiffer(t *testing.T) {
	sc := example(t, "refusing")
	_, one := play(t, sc)
	sc.Seed++
	_, other := play(t, sc)
	if one.Operators == other.Operators {
		t.Errorf("seeds %d and %d both give %+v", one.Seed, other.Seed, one.Operators)
	}
}

// The k-th node gets its share, and nothing else moves.
func TestJoining(t *testing.T) {
	e, r := playExample(t, "joining")
	for i, ev := range r.Events[1:] {
		k := i + 2
		if most := (600 + k - 1) / k; ev.Operators.Balance > most || ev.Operators.Balance < most-5 {
			t.Errorf("node %d: %d moves, want its share, %d", k, ev.Operators.Balance, most)
		}
		if ev.CalmAfterMS == nil || *ev.CalmAfterMS > 60_000 {
			t.Errorf("node %d: not calm within a minute: %v", k, ev.CalmAfterMS)
		}
	}
	for _, n := range e.nodes {
		if len(n.spans) != 100 {
			t.Errorf("%s has %d spans, want 100", n.name, len(n.spans))
		}
	}
}

// Failover waits for nodes that vanish together, and each span is opened where it was.
func TestVanishing(t *testing.T) {
	sc := example(t, "vanishing")
	before, err := run(t.Context(), upTo(sc, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	e, r := play(t, sc)
	for i, s := range e.spans {
		if was := before.spans[i].node.name; s.node == nil || s.node.name != was {
			t.Fatalf("%s was on %s, and is on %v", s.id, was, s.node)
		}
	}
	if r.Operators.Balance > 0 || r.Operators.Failover != 2000 || len(r.Problems) != 1 || r.Problems[0].Kind != problemMassLoss || r.Problems[0].UntilMS == nil {
		t.Errorf("operators %+v, problems %+v", r.Operators, r.Problems)
	}
}

// If they do not return in time, failover goes on with those that are there.
func TestVanishingForGood(t *testing.T) {
	sc := example(t, "vanishing")
	sc.Events[1].Do = comeBack{"n1", "n2"}
	e, r := play(t, sc)
	if e.measure.unowned > 0 || math.Abs(float64(len(e.byName["n1"].spans)-1000)) > 50 || r.Operators.Failover < 2000 {
		t.Errorf("%d unowned, %d on n1, %+v", e.measure.unowned, len(e.byName["n1"].spans), r.Operators)
	}
	if until := r.Problems[0].UntilMS; until == nil || *until > 78_000 {
		t.Errorf("the hold ends at %v, want 10 s after its window", until)
	}
}

// A node that flaps costs one failover and, once it stays, one return of its share.
func TestFlapping(t *testing.T) {
	e, r := playExample(t, "flapping")
	if r.Operators.Failover > 200 || r.Operators.Balance > 200 {
		t.Errorf("its 100 spans were moved too often: %+v", r.Operators)
	}
	if n := len(e.byName["n3"].spans); n < 95 {
		t.Errorf("it has %d spans in the end, want its share, about 100", n)
	}
	if r.Samples[len(r.Samples)-1].Unowned > 0 {
		t.Error("spans have no owner in the end")
	}
}

// Loads become level though the numbers stay so, and what cannot be levelled is not tried for ever.
func TestUneven(t *testing.T) {
	_, r := playExample(t, "uneven")
	for _, s := range r.Samples {
		if at := time.Duration(s.AtMS) * time.Millisecond; at > time.Minute && at < 40*time.Minute && (*s.LoadMaxMean > 1.25 || *s.SpansMaxMean > 1.05) {
			t.Errorf("after %s the fullest node has %.2f of the mean load, and %.2f of the mean number", at, *s.LoadMaxMean, *s.SpansMaxMean)
		}
	}
	for i, most := range []int{45, 0, 80} {
		if n := r.Events[i].Operators.Balance; n > most {
			t.Errorf("%s: %d moves, want no more than %d", r.Events[i].Event, n, most)
		}
	}
}

// A load that goes up and down costs the splits of its first peak.
func TestSquareWave(t *testing.T) {
	_, r := playExample(t, "square-wave")
	if n := r.Operators.Split; n < 8 || n > 16 {
		t.Errorf("%d splits, want each of 8 spans split once, or its parts once more", n)
	}
	if r.Operators.Merge > 0 || r.Operators.Balance > 30 {
		t.Errorf("valleys shorter than merge.after merge nothing, and peaks move little: %+v", r.Operators)
	}
}

// With valleys longer than merge.after there are as many operators as waves, and no more.
func TestSlowSquareWave(t *testing.T) {
	sc := example(t, "square-wave")
	sc.Keyspaces[0].Load.Period = time.Hour
	sc.Duration = 4 * time.Hour
	_, r := play(t, sc)
	if r.Operators.Merge == 0 {
		t.Error("nothing was merged in a valley of half an hour")
	}
	if n := r.Operators.Split + r.Operators.Merge; n > 4*(16+16) {
		t.Errorf("%d splits and merges in 4 waves of 8 spans", n)
	}
}

// One opening that hangs holds up itself and nothing else.
func TestHanging(t *testing.T) {
	sc := example(t, "hanging")
	_, r := play(t, sc)
	soon := sampleAt(r, 25*time.Second)
	if soon.Openings != 9999 || soon.Unowned != 1 {
		t.Errorf("after 5 s %d are open and %d wait", soon.Openings, soon.Unowned)
	}
	if r.Operators.Late != 1 || r.Operators.Retried != 1 {
		t.Errorf("want one opening given up, and made elsewhere: %+v", r.Operators)
	}
	late := sampleAt(r, 84*time.Second)
	if late.Unowned != 0 {
		t.Errorf("%d wait after open-timeout", late.Unowned)
	}
}

// A node whose openings all hang gets no more than was asked of it in the first turn.
func TestHangingNode(t *testing.T) {
	sc := example(t, "hanging")
	sc.Events[0].Do = hang{[]string{"n4"}, allOpenings}
	e, r := play(t, sc)
	if r.Operators.Late > 1024 || e.measure.unowned > 600 {
		t.Errorf("%d unowned after %+v", e.measure.unowned, r.Operators)
	}
}

func sampleAt(r *Result, at time.Duration) Sample {
	for _, s := range r.Samples {
		if s.AtMS >= at.Milliseconds() {
			return s
		}
	}
	return Sample{}
}

// Refusals do not make the leader spin: it plans as often as something happens.
func TestRefusing(t *testing.T) {
	_, r := playExample(t, "refusing")
	if ev := r.Events[1]; ev.Operators.Balance < 100 || ev.CalmAfterMS == nil {
		t.Errorf("nodes are not filled: %+v", ev)
	}
	if n := r.Operators.Refused; n < 50 || n > 400 {
		t.Errorf("%d refusals for about 133 moves", n)
	}
	if r.Plans.Turns > 120 || r.Plans.Balance > 120 {
		t.Errorf("it planned in %d turns", r.Plans.Turns)
	}
}

// If all is refused, nothing moves, and nobody asks more often than the cooldown allows.
func TestRefusingEverything(t *testing.T) {
	sc := example(t, "refusing")
	sc.Costs.Refused = 1
	_, r := play(t, sc)
	if r.Operators.Balance > 0 {
		t.Errorf("%d moves", r.Operators.Balance)
	}
	// 29 minutes with a cooldown of one, and 400 spans that could be tried: what is refused is not tried again for a minute.
	if n := r.Operators.Refused; n > 29*400 {
		t.Errorf("%d refusals", n)
	}
	if r.Plans.Turns > 29*60+10 {
		t.Errorf("%d turns", r.Plans.Turns)
	}
}

// The drain of the last node that a keyspace may use gets stuck, says so, and goes on when another comes.
func TestLastNode(t *testing.T) {
	e, r := playExample(t, "last-node")
	drain, added := r.Events[1], r.Events[2]
	if drain.CalmAfterMS != nil || drain.Operators.Drain != 13 {
		t.Errorf("the drain: %+v", drain)
	}
	if len(r.Problems) != 1 {
		t.Fatalf("problems: %+v", r.Problems)
	}
	p := r.Problems[0]
	if p.Kind != problemDrain || p.Node != "a1" || p.Keyspace != "near" || p.Spans != 12 || !strings.Contains(p.Message, "zone=a") || p.UntilMS == nil || *p.UntilMS != 360_000 {
		t.Errorf("problem: %+v", p)
	}
	if added.Operators.Drain != 12 || added.CalmAfterMS == nil || e.byName["a1"].state() != "drained" {
		t.Errorf("after a node has come: %+v, a1 is %s", added, e.byName["a1"].state())
	}
}

// No span is without an owner for longer than a close and an open, in a restart of all nodes.
func TestRolling(t *testing.T) {
	_, r := playExample(t, "rolling")
	for _, ev := range r.Events {
		if ev.UnownedLongestMS > 400 {
			t.Errorf("%s: a span had no owner for %d ms", ev.Event, ev.UnownedLongestMS)
		}
	}
	if r.Operators.Failover > 0 {
		t.Errorf("a drained node is stopped, and %d spans fail over", r.Operators.Failover)
	}
}

// upTo is the first part of a scenario.
func upTo(sc *Scenario, end time.Duration) *Scenario {
	part := *sc
	part.Duration = end - 1
	return &part
}
