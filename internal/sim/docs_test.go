package sim

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const docs = "../../docs/simulation.md"

// The example of the page is the file, and its output what comes of it.
func TestDocsAreCurrent(t *testing.T) {
	page, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(examples, "failover.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, r := playExample(t, "failover")
	var out bytes.Buffer
	if err := r.WriteTable(&out, false); err != nil {
		t.Fatal(err)
	}
	want := block(t, block(t, string(page), "failover.yaml:", string(file)), "failover.out", out.String())
	if *update {
		if err := os.WriteFile(docs, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(page), want); diff != "" {
		t.Errorf("docs/simulation.md is stale; run `go test ./internal/sim -run Docs -update` (-have +want):\n%s", diff)
	}
}

// block replaces what stands in the block below a mark.
func block(t *testing.T, page, mark, text string) string {
	t.Helper()
	const fence = "```\n"
	head, rest, ok := strings.Cut(page, "<!-- "+mark)
	comment, rest, ok2 := strings.Cut(rest, fence)
	_, tail, ok3 := strings.Cut(rest, fence)
	if !ok || !ok2 || !ok3 {
		t.Fatalf("no block %s", mark)
	}
	return head + "<!-- " + mark + comment + fence + text + fence + tail
}

// Every field, event and example is explained.
func TestDocsAreComplete(t *testing.T) {
	page, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	names := append([]string{
		"name", "seed", "duration", "tick", "sample", "report", "settings", "nodes", "keyspaces", "costs", "events",
		"count", "labels", "capacity", "weight", "spans", "created", "load", "size", "open", "close", "session-ttl", "failures", "refused", "at",
	}, loadFields...)
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	for _, n := range names {
		if !strings.Contains(string(page), "`"+n+"`") {
			t.Errorf("%s is not explained", n)
		}
	}
	files, err := filepath.Glob(filepath.Join(examples, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.Contains(string(page), "("+filepath.Join("simulations", filepath.Base(f))+")") {
			t.Errorf("%s is not named", f)
		}
	}
}
