package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spanward/spanward/internal/fault"
)

// head is a cluster that nothing is wrong with.
const head = `
duration: 1h
nodes: [{count: 3}]
keyspaces: [{name: orders, spans: 10}]
`

// Each line of a file that is wrong is told of by its field, with the value and a remedy, and nothing runs.
func TestMistakes(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "duration: is missing; write for example duration: 1h"},
		{"no YAML", "duration: [", "file: is not YAML: "},
		{"a key twice", head + "duration: 2h", `file: is not YAML: `},
		{"a list", "[1]", `file "[1]": is not a mapping of fields; see docs/simulation.md`},
		{"unknown field", head + "durations: 2h", "durations: is not a field; did you mean duration?"},
		{"unknown field, like none", head + "colour: red", "colour: is not a field; use name, seed,"},
		{"unknown field deep down", "duration: 1h\nnodes: [{count: 1, lables: {zone: a}}]", "nodes[0].lables: is not a field; did you mean labels?"},
		{"negative count", "duration: 1h\nnodes: [{count: -1}]", `nodes[0].count "-1": is not a whole number from 1 to 100000`},
		{"count as text", "duration: 1h\nnodes: [{count: '3'}]", `nodes[0].count "3": is not a whole number`},
		{"a count out of all bounds", "duration: 1h\nnodes: [{count: 2000000000}]", `nodes[0].count "2000000000": is not a whole number from 1 to 100000`},
		{"half a node", "duration: 1h\nnodes: [{count: 1.5}]", `nodes[0].count "1.5": is not a whole number`},
		{"too many nodes", "duration: 1h\nnodes: [{count: 60000}, {count: 60000}]", `nodes "120000": are more than 100,000 nodes`},
		{"no nodes", "duration: 1h\nkeyspaces: [{name: a, spans: 1}]", "nodes: is missing or empty"},
		{"no keyspaces", "duration: 1h\nnodes: [{}]", "keyspaces: is missing or empty"},
		{"no spans", "duration: 1h\nnodes: [{}]\nkeyspaces: [{name: a}]", "keyspaces[0].spans: is missing; write for example spans: 100"},
		{"keyspace twice", "duration: 1h\nnodes: [{}]\nkeyspaces: [{name: a, spans: 1}, {name: a, spans: 1}]", `keyspaces[1].name "a": is there twice`},
		{"a name that YAML takes for no", "duration: 1h\nnodes: [{name: n}]", `nodes[0].name "false": is not a text: YAML takes y, n, yes, no, on and off for true and false; put it in quotes`},
		{"a name that is none", "duration: 1h\nnodes: [{name: a/b}]", `nodes[0].name "a/b":`},
		{"negative weight", "duration: 1h\nnodes: [{weight: -1}]", `nodes[0].weight "-1": is not a number from 0.001 to 1000`},
		{"duration without unit", "duration: 60", `duration "60": is not a duration from 1ms to 8784h; write for example 90s, 5m or 1h30m`},
		{"negative duration", "duration: -1h", `duration "-1h": is not a duration`},
		{"tick of nothing", head + "tick: 0s", `tick "0s": is not a duration from 1ms to 1h`},
		{"too many samples", head + "sample: 1ms", `sample "1ms": makes more than 100,000 samples in 1h`},
		{"unknown cost", head + "costs: {moves: 1s}", "costs.moves: is not a field; "},
		{"share above one", head + "costs: {failures: 2}", `costs.failures "2": is not a number from 0 to 1`},
		{"unknown setting", head + "settings: {balance.tolerence: 0.1}", "settings.balance.tolerence: is not a setting; did you mean balance.tolerance"},
		{"setting out of bounds", head + "settings: {balance.tolerance: 7}", `settings.balance.tolerance "7": is not a share from 0.01 to 1`},
		{"setting of keyspaces", head + "settings: {place.spread: zone}", "settings.place.spread: belongs to each keyspace"},
		{"setting of the cluster", "duration: 1h\nnodes: [{}]\nkeyspaces: [{name: a, spans: 1, settings: {balance.tolerance: 0.1}}]", "keyspaces[0].settings.balance.tolerance: belongs to the whole cluster"},
		{"settings against each other", head + "settings: {open-retry: 10m}", `settings.open-retry "10m": is more than open-retry.max, which is 1m`},
		{"rule that is none", "duration: 1h\nnodes: [{}]\nkeyspaces: [{name: a, spans: 1, settings: {place.require: zone}}]", `keyspaces[0].settings.place.require "zone": has "zone", which is no label=value`},
		{"measured by lag", head + "settings: {load.measure: lag}", `settings.load.measure "lag": is not simulated; use load, size or none`},
		{"unknown curve", keyspaceWith("curve: triangle"), `keyspaces[0].load.curve "triangle": is none of steady, square, sine; without it, it is steady`},
		{"curve without period", keyspaceWith("curve: square"), "keyspaces[0].load.period: is missing"},
		{"period without curve", keyspaceWith("period: 1m"), `keyspaces[0].load.period "1m": counts only together with curve: square or curve: sine`},
		{"exponent without zipf", keyspaceWith("exponent: 2"), `keyspaces[0].load.exponent "2": counts only together with among: zipf`},
		{"by without changing", keyspaceWith("by: 0.2"), `keyspaces[0].load.by "0.2": counts only together with changing`},
		{"low above high", keyspaceWith("curve: sine, low: 3, high: 2"), `keyspaces[0].load.low "3": is more than high, which is 2`},
		{"load that is a number", "duration: 1h\nnodes: [{}]\nkeyspaces: [{name: a, spans: 1, load: 7}]", `keyspaces[0].load "7": is not a mapping of fields`},

		{"events that are no list", head + "events: {at: 1m}", "is not a list; begin each item with a dash"},
		{"event without time", eventOf("kill: n1"), "events[0].at: is missing"},
		{"event that does nothing", eventOf("at: 1m"), "events[0]: does not say what happens; use one of add, kill,"},
		{"event that does two things", eventOf("at: 1m, kill: n1, drain: n2"), "events[0]: is two things at once: drain is the second; make two events of it"},
		{"event after the end", eventOf("at: 2h, kill: n1"), `events[0].at "2h": is not before the end, at 1h`},
		{"unknown node", eventOf("at: 1m, kill: n4"), `events[0].kill "n4": is no node at that time; the nodes are then n1, n2 and n3`},
		{"unknown node in a list", eventOf("at: 1m, drain: [n1, x]"), `events[0].drain "x": is no node at that time`},
		{"pattern without nodes", eventOf("at: 1m, kill: 'x*'"), `events[0].kill "x*": means no node that is up at that time`},
		{"node that is added later", eventOf("at: 1m, kill: n4}, {at: 2m, add: {}"), `events[0].kill "n4": is no node at that time`},
		{"node that is down", eventOf("at: 1m, kill: n1}, {at: 2m, drain: n1"), `events[1].drain "n1": is down at that time; let it return first`},
		{"node that never left", eventOf("at: 1m, return: n1"), `events[0].return "n1": is up at that time; kill it first`},
		{"a node as number", eventOf("at: 1m, kill: 4"), `events[0].kill "4": is not a text`},
		{"no nodes at all", eventOf("at: 1m, kill: []"), "events[0].kill: is an empty list"},
		{"unknown keyspace", eventOf("at: 1m, load: {keyspace: order, mean: 1}"), `events[0].load.keyspace "order": is no keyspace; use orders`},
		{"unknown planner", eventOf("at: 1m, pause: balancer"), `events[0].pause "balancer": is no planner; use placement, drain, balance, split, merge`},
		{"refusing more than all", eventOf("at: 1m, refuse: 1.5"), `events[0].refuse "1.5": is not a number from 0 to 1`},
		{"flap without end", eventOf("at: 1m, flap: {nodes: n1, down: 5s, up: 5s}"), "events[0].flap.for: is missing"},
		{"flap beyond the end", eventOf("at: 1m, flap: {nodes: n1, down: 5s, up: 5s, for: 2h}"), `events[0].flap.for "2h": goes on after the end, at 1h`},
		{"hang of no opening", eventOf("at: 1m, hang: {nodes: n1, openings: 0}"), `events[0].hang.openings "0": is not a whole number from 1`},
		{"set of nothing", eventOf("at: 1m, set: {}"), "events[0].set: is empty"},
		{"set of an unknown setting", eventOf("at: 1m, set: {x: 1}"), "events[0].set.x: is not a setting"},
		{"set against what is set", head + "settings: {ask-retry.max: 5s}\nevents: [{at: 1m, set: {ask-retry: 6s}}]", `is more than ask-retry.max, which is 5s`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse([]byte(tc.text))
			if err == nil {
				t.Fatalf("nothing is said; want %s", tc.want)
			}
			f, ok := fault.As(err)
			if !ok || f.Remedy == "" || f.Reason != fault.InvalidArgument {
				t.Errorf("%v has no remedy", err)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got  %s\nwant %s", err, tc.want)
			}
		})
	}
}

func keyspaceWith(load string) string {
	return "duration: 1h\nnodes: [{}]\nkeyspaces: [{name: a, spans: 1, load: {mean: 1, " + load + "}}]"
}

func eventOf(fields string) string { return head + "events: [{" + fields + "}]" }

// A text that is cut off anywhere, or has a byte too many, is refused or read: it never panics.
func TestBrokenFilesDoNotPanic(t *testing.T) {
	files, err := filepath.Glob("../../docs/simulations/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := range text {
			_, _ = Parse(text[:i])
			broken := append([]byte{}, text...)
			broken[i] ^= 0x11
			_, _ = Parse(broken)
		}
	}
}

func TestEventsAreReadInTheOrderOfTheirTimes(t *testing.T) {
	sc, err := Parse([]byte(eventOf("at: 5m, return: all}, {at: 1m, kill: 'n*'}, {at: 2m, add: {name: x, count: 2}")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range sc.Events {
		got = append(got, brief(e.At)+" "+e.Do.String())
	}
	want := "1m n1, n2 and n3 are killed|2m x1 and x2 are added|5m n1, n2 and n3 return"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}
