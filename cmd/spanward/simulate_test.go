package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const smallCluster = `
duration: 2m
nodes: [{count: 3}]
keyspaces: [{name: orders, spans: 30}]
events: [{at: 30s, kill: n1}]
`

func TestSimulate(t *testing.T) {
	dir := t.TempDir()
	file, svg := filepath.Join(dir, "small.yaml"), filepath.Join(dir, "small.svg")
	if err := os.WriteFile(file, []byte(smallCluster), 0o600); err != nil {
		t.Fatal(err)
	}
	term := newTerminal(t, &fake{}, "", nil)
	if code := term.app.run(t.Context(), []string{"simulate", file, "--svg", svg}); code != 0 {
		t.Fatalf("exit %d: %s", code, term.stderr.String())
	}
	if s := term.stdout.String(); !strings.HasPrefix(s, "small: 2m in virtual time") || !strings.Contains(s, "n1 is killed") || !strings.Contains(s, "10 failed over") {
		t.Errorf("the table is\n%s", s)
	}
	if s := term.stderr.String(); !strings.HasPrefix(s, "simulated in ") || !strings.Contains(s, " MiB of memory at most") {
		t.Errorf("stderr is %q", s)
	}
	if chart, err := os.ReadFile(svg); err != nil || !strings.HasPrefix(string(chart), "<svg ") {
		t.Errorf("the chart is %.40q, %v", chart, err)
	}
}

func TestSimulateJSONFromStdin(t *testing.T) {
	term := newTerminal(t, &fake{}, smallCluster, nil)
	if code := term.app.run(t.Context(), []string{"simulate", "-", "-o", "json"}); code != 0 {
		t.Fatalf("exit %d: %s", code, term.stderr.String())
	}
	var got struct {
		Name      string
		Operators struct{ Failover int }
	}
	if err := json.Unmarshal(term.stdout.Bytes(), &got); err != nil || got.Operators.Failover != 10 || got.Name != "standard input" {
		t.Errorf("got %+v, %v, of %s", got, err, term.stdout.String())
	}
}

// Nothing is printed, and no chart written, of what cannot be simulated.
func TestSimulateRefuses(t *testing.T) {
	dir := t.TempDir()
	svg := filepath.Join(dir, "chart.svg")
	for _, tc := range []struct {
		stdin, want string
		args        []string
	}{
		{"", `FILE "no-such-file.yaml": cannot be read: no such file or directory; docs/simulations has examples`, []string{"no-such-file.yaml"}},
		{"", `cannot be read: is a directory; check its name and permissions`, []string{dir}},
		{"", `FILE is missing; usage: spanward simulate FILE`, nil},
		{"duration: 1h\nnodez: []", `nodez: is not a field; did you mean nodes?`, []string{"-"}},
		{smallCluster + "tick: 1", `tick "1": is not a duration`, []string{"-"}},
		{smallCluster, `--svg "` + dir + `/no/chart.svg": cannot be written: no such file or directory`, []string{"-", "--svg", dir + "/no/chart.svg"}},
		{strings.Repeat("#", maxScenario+1), `has more than 16 MiB`, []string{"-"}},
	} {
		term := newTerminal(t, &fake{}, tc.stdin, nil)
		args := append([]string{"simulate", "--svg", svg}, tc.args...)
		if code := term.app.run(t.Context(), args); code != 2 {
			t.Errorf("%v: exit %d", tc.args, code)
		}
		if s := term.stderr.String(); !strings.Contains(s, tc.want) {
			t.Errorf("got  %swant %s", s, tc.want)
		}
		if term.stdout.Len() > 0 {
			t.Errorf("%v prints %s", tc.args, term.stdout.String())
		}
	}
	if _, err := os.Stat(svg); err == nil {
		t.Error("a chart was written")
	}
}
