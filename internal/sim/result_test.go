package sim

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, file, got string) {
	t.Helper()
	file = "testdata/" + file
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", file, diff)
	}
}

// Scripts are written against the fields of the JSON, whatever the planners decide. Every field is in every object.
func TestJSONHasItsFields(t *testing.T) {
	_, r := playExample(t, "last-node")
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n != 1 {
		t.Errorf("%d lines, want one", n)
	}
	var v any
	if err := json.Unmarshal(b.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	seen := map[string]map[string]bool{}
	fieldsOf(v, "", seen)
	var out strings.Builder
	for _, path := range slices.Sorted(maps.Keys(seen)) {
		fmt.Fprintf(&out, "%s %s\n", path, strings.Join(slices.Sorted(maps.Keys(seen[path])), " or "))
	}
	golden(t, "fields.txt", out.String())
}

// fieldsOf notes the kinds of value that stand at each path.
func fieldsOf(v any, path string, seen map[string]map[string]bool) {
	kind := fmt.Sprintf("%T", v)
	switch v := v.(type) {
	case nil:
		kind = "null"
	case float64:
		kind = "number"
	case map[string]any:
		kind = "object"
		for name, sub := range v {
			fieldsOf(sub, path+"."+name, seen)
		}
	case []any:
		kind = "list"
		for _, sub := range v {
			fieldsOf(sub, path+"[]", seen)
		}
	}
	if seen[path] == nil {
		seen[path] = map[string]bool{}
	}
	seen[path][kind] = true
}

// What is not there is an empty list or object, and what is unknown is null.
func TestJSONOfNothing(t *testing.T) {
	sc, err := Parse([]byte("duration: 1m\nnodes: [{}]\nkeyspaces: [{name: a, spans: 1, created: 50s}]"))
	if err != nil {
		t.Fatal(err)
	}
	_, r := play(t, sc)
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"settings":{}`, `"problems":[]`, `"spans_max_mean":null`, `"load_max_mean":null`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in %s", want, b.String())
		}
	}
}

// A table is read without docs, so it is looked at as a whole. The scenario is one in which planners have no choice.
func TestTable(t *testing.T) {
	sc, err := Parse([]byte(`
name: two nodes
duration: 3m
sample: 30s
nodes: [{count: 2}]
keyspaces: [{name: orders, spans: 8, load: {mean: 5}, settings: {place.require: node=n1|n2}}]
costs: {open: 300ms, close: 100ms}
settings: {open-timeout: 20s}
events:
  - {at: 30s, kill: n2}
  - {at: 1m, return: n2}
  - {at: 2m, kill: n1}
  - {at: 2m, cordon: n2}
`))
	if err != nil {
		t.Fatal(err)
	}
	_, r := play(t, sc)
	var b bytes.Buffer
	if err := r.WriteTable(&b, false); err != nil {
		t.Fatal(err)
	}
	golden(t, "table.txt", b.String())
	b.Reset()
	if err := r.WriteChart(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "chart.svg", b.String())
}

// Only a part of many samples is shown, with both ends.
func TestThinned(t *testing.T) {
	for n := range 200 {
		in := make([]Sample, n)
		for i := range in {
			in[i].AtMS = int64(i)
		}
		out := thinned(in)
		if len(out) > shownSamples+1 || n > 0 && (out[0].AtMS != 0 || out[len(out)-1].AtMS != int64(n-1)) {
			t.Fatalf("of %d samples %d are shown: %v", n, len(out), out)
		}
	}
}

// The largest example, a hundredth of it unless all tests are asked for: it fits into its time and memory.
func TestMillion(t *testing.T) {
	sc := example(t, "million")
	share := 100
	if os.Getenv("SPANWARD_DEEP") != "" {
		share = 1
	}
	sc.Keyspaces[0].Spans /= share
	sc.Nodes[0].Count, sc.Nodes[0].Names = 1000/share, sc.Nodes[0].Names[:1000/share]
	lost, some := sc.Nodes[0].Names[0], sc.Events[1].Do.(add)
	some.Names = some.Names[:max(1, 10/share)]
	sc.Events[0].Do, sc.Events[1].Do = kill{lost}, some
	e, r := play(t, sc)
	failed, added := r.Events[1], r.Events[2]
	if failed.Operators.Failover < 900 || failed.CalmAfterMS == nil || *failed.CalmAfterMS > 10_000 {
		t.Errorf("a lost node: %+v", failed)
	}
	per := sc.Keyspaces[0].Spans / (len(e.nodes) - 1)
	if n := added.Operators.Balance; n > (per+1)*len(some.Names)*11/10 || n < per*len(some.Names)*8/10 {
		t.Errorf("%d moves for %d nodes with %d spans each", n, len(some.Names), per)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d spans: %d MiB from the system, %+v", len(e.spans), m.Sys>>20, r.Plans)
	if m.Sys > 4<<30 {
		t.Errorf("%d MiB of memory", m.Sys>>20)
	}
}
