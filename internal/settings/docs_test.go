package settings_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/internal/settings"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

const docsHead = `# Configuration

<!-- Written by ` + "`go test ./internal/settings -run Docs -update`" + `; a test fails when it is stale. -->

What a process needs before it can read anything from etcd (names, addresses, TLS, the TTL of its session) are its flags:
see [commands.md](commands.md). What the control plane works with is here, and can be changed while everything runs:

` + "```" + `
spanward config show -o wide                              # what counts, where it comes from, and what it means
spanward config set open-timeout=5m mass-loss.window=5s   # for the cluster
spanward config set open-timeout=10m --keyspace orders    # for one keyspace
spanward config set open-timeout=                         # back to what counts without it
` + "```" + `

A change is written by the leader, to one record in etcd, or to the record of the keyspace. All that one command names is
changed, or nothing. It takes effect at once, on what is under way as well, survives every change of the leader, and is
carried out once for each ` + "`--request-id`" + `.

Of these origins the first that has a value counts:

| origin | set by |
| --- | --- |
| keyspace | ` + "`config set --keyspace KS`" + `, ` + "`keyspace set KS`" + `, ` + "`keyspace create --set`" + ` |
| cluster | ` + "`config set`" + ` |
| flag | the flag of the maintainer that leads, or the environment variable that stands in for it |
| default | the program |

A stored value goes before a flag, and not the other way round, because flags belong to one process: a value that changes
whenever another maintainer leads is none that anybody has decided on. "Flag before environment before default" is the rule
within one process; all of that is the third line here.

A stored value that the running version does not know, or that is out of its bounds, counts as absent. It is shown by
` + "`config show`" + ` and under ` + "`problems`" + ` of ` + "`status`" + `, and ` + "`config set KEY=`" + ` takes it away.

Durations are written like 1m30s, shares like 0.5.
`

// The page is the table.
func TestDocsAreCurrent(t *testing.T) {
	var b strings.Builder
	b.WriteString(docsHead)
	for _, part := range []struct {
		title, text string
		scope       settings.Scope
	}{
		{"The cluster, and each keyspace if it has its own", "", settings.Both},
		{"The cluster", "", settings.Cluster},
		{"Each keyspace", "There are none by default.", settings.Keyspace},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n", part.title)
		if part.text != "" {
			fmt.Fprintf(&b, "%s\n\n", part.text)
		}
		b.WriteString("| key | default | bounds | flag of `maintainer` | what it is |\n| --- | --- | --- | --- | --- |\n")
		for _, s := range settings.All() {
			if s.Scope != part.scope {
				continue
			}
			bounds, flag := "", ""
			if s.Least != "" {
				bounds = s.Least + " to " + s.Most
			}
			if len(s.Words) > 0 {
				bounds = strings.Join(s.Words, ", ")
			}
			if s.Flag != "" {
				flag = "`--" + s.Flag + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.Name, cmp.Or(s.Default, "-"), cmp.Or(bounds, "-"), cmp.Or(flag, "-"), strings.ReplaceAll(s.Help, "|", `\|`))
		}
	}
	file := filepath.Join("..", "..", "docs", "configuration.md")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(have), b.String()); diff != "" {
		t.Errorf("docs/configuration.md is stale; run `go test ./internal/settings -run Docs -update` (-have +want):\n%s", diff)
	}
}
