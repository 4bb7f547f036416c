package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/spf13/cobra"
	"go.uber.org/goleak"
)

// asMain makes the test binary behave like the real one: that is how tests start processes of their own.
const asMain = "SPANWARD_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// TestCommands runs the scripts in testdata. Each case is one command line; it shows what the maintainer was asked to
// change, the exit code, stdout, and stderr.
//
//	run [down=N] [end=failed] [empty] [paused=balance] [env=A=B] [plan [edit=(OLD,NEW)]]
//	span move orders 812-1.0 --to n2
//	<what follows the first line is stdin; with plan it is what `plan -o json` prints, edited>
func TestCommands(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "run" {
				d.Fatalf(t, "unknown directive %s", d.Cmd)
			}
			f := &fake{end: "done"}
			env := map[string]string{}
			line, stdin, _ := strings.Cut(d.Input, "\n")
			for _, arg := range d.CmdArgs {
				switch arg.Key {
				case "down":
					f.down, _ = strconv.Atoi(arg.Vals[0])
				case "end":
					if f.end = arg.Vals[0]; f.end == "never" {
						f.end = ""
					}
				case "empty":
					f.empty = true
				case "paused":
					f.paused = arg.Vals
				case "plan":
					stdin = keptPlan(t, &fake{empty: f.empty})
				case "edit":
					if !strings.Contains(stdin, arg.Vals[0]) {
						d.Fatalf(t, "%q is not in %s", arg.Vals[0], stdin)
					}
					stdin = strings.Replace(stdin, arg.Vals[0], arg.Vals[1], 1)
				case "env":
					k, v, _ := strings.Cut(arg.Vals[0], "=")
					env[k] = v
				default:
					d.Fatalf(t, "unknown argument %s", arg.Key)
				}
			}
			return play(t, f, line, stdin, env)
		})
	})
}

// keptPlan is what a user has in the file of a plan.
func keptPlan(t *testing.T, f *fake, flags ...string) string {
	t.Helper()
	term := newTerminal(t, f, "", nil)
	if code := term.app.run(t.Context(), append([]string{"plan", "-o", "json"}, flags...)); code != 0 {
		t.Fatal(term.stderr.String())
	}
	return term.stdout.String()
}

func play(t *testing.T, f *fake, line, stdin string, env map[string]string) string {
	term := newTerminal(t, f, stdin, env)
	code := term.app.run(t.Context(), strings.Fields(line))
	var b strings.Builder
	for _, asked := range f.asked {
		fmt.Fprintln(&b, ">", asked)
	}
	fmt.Fprintf(&b, "exit %d\n", code)
	b.WriteString(term.stdout.String())
	if term.stderr.Len() > 0 {
		fmt.Fprintf(&b, "stderr:\n%s", term.stderr.String())
	}
	return b.String()
}

// A help text without an example helps nobody.
func TestEveryCommandHasAnExample(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Name() == "help" {
			return
		}
		if c.Example == "" || c.Short == "" {
			t.Errorf("%s has no example or no summary", c.CommandPath())
		}
		for _, below := range c.Commands() {
			visit(below)
		}
	}
	visit(newApp(nil, nil, nil, nil).root())
}

func TestCompletionAsksTheCluster(t *testing.T) {
	for line, want := range map[string]string{
		"keyspace show":                 "orders\nbin\n",
		"span show orders":              "812-1.1\n812-1.0\n",
		"span move orders 812-1.0 --to": "n2\nn1\n",
		"operator show":                 "812-3\n9-1\n",
		"keyspace list -o":              "table\njson\nwide\n",
		"config show":                   "orders\nbin\n",
		"config set --keyspace":         "orders\nbin\n",
		"config set --keyspace orders open-timeout=1m": "close-timeout=\nload.measure=\nsplit.load=\nsplit.size=\nsplit.after=\nmerge.load=\nmerge.size=\nmerge.after=\nreshape.min-age=\n" +
			"max-spans=\nplace.require=\nplace.prefer=\nplace.spread=\nplace.pin=\n",
		"span show orders 812-1.0 extra": "",
		"plan --drain":                   "n2\nn1\n",
		"plan --remove-node":             "n2\nn1\n",
		"scheduler pause":                "placement\ndrain\nbalance\nsplit\nmerge\n",
		"scheduler resume balance":       "",
	} {
		term := newTerminal(t, &fake{}, "", nil)
		args := append([]string{cobra.ShellCompNoDescRequestCmd}, append(strings.Fields(line), "")...)
		if code := term.app.run(t.Context(), args); code != 0 {
			t.Errorf("%s: exit %d", line, code)
		}
		got, _, _ := strings.Cut(term.stdout.String(), ":")
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestRequestIDIsRandomAndToldWhenItIsNeeded(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		f := &fake{}
		term := newTerminal(t, f, "", nil)
		if code := term.app.run(t.Context(), strings.Fields("span move orders 812-1.0 --to n2")); code != 0 {
			t.Fatal(term.stderr.String())
		}
		_, id, _ := strings.Cut(f.asked[0], `"request_id":"`)
		id, _, _ = strings.Cut(id, `"`)
		if len(id) < 16 || seen[id] {
			t.Errorf("request id %q", id)
		}
		seen[id] = true
	}
	term := newTerminal(t, &fake{down: 1 << 30}, "", nil)
	if code := term.app.run(t.Context(), strings.Fields("span move orders 812-1.0 --to n2")); code != 4 {
		t.Errorf("exit %d", code)
	}
	_, id, ok := strings.Cut(term.stderr.String(), "repeat with --request-id ")
	if !ok || len(id) < 16 {
		t.Errorf("a request id that was made up is not told: %s", term.stderr.String())
	}
}

// A creation that takes longer than a call is patient goes on as long as it gets on, and says how far it is; one that does
// not get on ends, and says how to go on.
func TestALongCreationGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		made  []int64
		code  int
		tells string
	}{
		"it gets on":   {[]int64{2, 3, 5, 6}, 0, "new creating, spans 5 of 9 made"},
		"it is halted": {[]int64{2, 3, 3, 3, 3, 3, 3, 3, 3}, 4, "repeat with --request-id r1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{made: c.made}
			term := newTerminal(t, f, "", nil)
			term.patience = 1100 * time.Millisecond
			code := term.app.run(t.Context(), strings.Fields("keyspace create new --workload gate --request-id r1"))
			if told := term.stderr.String(); code != c.code || !strings.Contains(told, c.tells) {
				t.Errorf("exit %d, want %d; on stderr, without %q:\n%s", code, c.code, c.tells, told)
			}
			if asked := len(f.asked); asked != 1-c.code/4 {
				t.Errorf("%d answers", asked)
			}
		})
	}
}
