package keys_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/keys"
)

var (
	update  = flag.Bool("update", false, "rewrite docs/keys.md")
	pattern = regexp.MustCompile(`^` + keys.NamePattern + `\z`)
)

const docsHead = `# Keys in etcd

<!-- Written by ` + "`go test ./keys -update`" + `; a test fails when it is stale. -->

Everything a cluster stores is under ` + "`%s`" + `, here the cluster ` + "`default`" + `. Names match ` + "`%s`" + `.
Bounds of key ranges are values, never parts of keys. Values are the protobuf messages of ` + "`api/store/v1`" + `.

| key | example | value | lease | written by |
| --- | --- | --- | --- | --- |
`

const docsTail = `
A process attaches keys to its own lease only. A key that does not have one of these shapes, or a value that cannot be
decoded, is left alone and shown under ` + "`problems`" + ` of ` + "`spanward status`" + `.

| prefix | of |
| --- | --- |
`

// documented has a row for each kind, in the order of the page.
func documented(l keys.Layout) []struct{ key, example, value, lease, writer string } {
	const own, none = "own session", "none"
	return []struct{ key, example, value, lease, writer string }{
		{"leader", l.Leader(), "Leader", "own session; none once resigned", "maintainers, by compare-and-swap"},
		{"cluster", l.Cluster(), "Cluster", none, "the first leader; the restore procedure, which raises the generation"},
		{"config", l.Config(), "Config", none, "leader"},
		{"maintainers/NAME", l.Maintainer("m1"), "Maintainer", own, "the maintainer itself, create-if-absent"},
		{
			"nodes/NAME", l.Node("n1"), "Node", own,
			"the dispatcher itself, create-if-absent; its successor that holds the lock of its data directory, to say that it is dead",
		},
		{"nodeconfig/NAME", l.NodeConfig("n1"), "NodeConfig", none, "leader"},
		{"keyspaces/KEYSPACE", l.Keyspace("orders"), "Keyspace", none, "leader"},
		{
			"spans/KEYSPACE/SPAN", l.Span("orders", "812-3.0"), "Span", none,
			"the acting dispatcher, at every step of an operator; leader, for intents and for spans without an owner",
		},
		{
			"operators/KEYSPACE/SPAN", l.Operator("orders", "812-3.0"), "Claim", "session of the acting dispatcher",
			"dispatchers, by compare-and-swap; leader deletes those of sessions that are over",
		},
		{"progress/KEYSPACE/BUCKET", l.Progress("orders", 0x1f), "Progress", none, "leader"},
		{"history/KEYSPACE/OPERATOR", l.History("orders", "812-7"), "History", none, "whoever ends the operator, in the same transaction; leader trims"},
	}
}

func page(t *testing.T) string {
	l := layout(t, "default")
	var b strings.Builder
	fmt.Fprintf(&b, docsHead, l.Root(), keys.NamePattern)
	seen := map[keys.Kind]bool{}
	for _, row := range documented(l) {
		p, err := l.Parse(row.example)
		if err != nil {
			t.Fatal(err)
		}
		seen[p.Kind] = true
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s |\n", row.key, row.example, row.value, row.lease, row.writer)
	}
	for kind := keys.Leader; kind <= keys.History; kind++ {
		if !seen[kind] {
			t.Errorf("no row for %v", kind)
		}
	}
	b.WriteString(docsTail)
	for _, row := range [][2]string{
		{l.Root(), "everything"},
		{l.Maintainers(), "registrations of maintainers"},
		{l.Nodes(), "registrations of dispatchers"},
		{l.NodeConfigs(), "decisions of administrators about nodes"},
		{l.Keyspaces(), "keyspaces"},
		{l.AllSpans(), "spans"},
		{l.Spans("orders"), "spans of one keyspace"},
		{l.AllOperators(), "claims"},
		{l.Operators("orders"), "claims of one keyspace"},
		{l.AllProgress(), "checkpoints"},
		{l.ProgressOf("orders"), "checkpoints of one keyspace"},
		{l.AllHistory(), "finished operators"},
		{l.HistoryOf("orders"), "finished operators of one keyspace"},
	} {
		fmt.Fprintf(&b, "| `%s` | %s |\n", row[0], row[1])
	}
	return b.String()
}

func TestDocsShowTheLayout(t *testing.T) {
	file := filepath.Join("..", "docs", "keys.md")
	want := page(t)
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/keys.md is stale; run `go test ./keys -update` (-want +got):\n%s", diff)
	}
}
