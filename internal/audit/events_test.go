package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/span"
)

// line spells one event: "TIME PID EVENT SPAN RANGE TOKEN UNTIL".
func line(t *testing.T, text string) string {
	t.Helper()
	var at, until int64
	var pid int
	var event, id, keys string
	var token uint64
	if _, err := fmt.Sscan(text, &at, &pid, &event, &id, &keys, &token, &until); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	start, end, _ := strings.Cut(keys, ":")
	return fmt.Sprintf(`{"boottime_ns":%d,"node":"n%d","pid":%d,"event":%q,"keyspace":"k","span":%q,"start":%q,"end":%q,`+
		`"token":%d,"checkpoint":null,"may_act_until_boottime_ns":%d}`+"\n", at, pid, pid, event, id, start, end, token, until)
}

func eventsOf(t *testing.T, deaths map[int]int64, script string) EventsReport {
	t.Helper()
	ev := Events{Deaths: deaths}
	for _, text := range strings.Split(strings.TrimSpace(script), "\n") {
		if err := ev.Read(strings.NewReader(line(t, text)), "script"); err != nil {
			t.Fatal(err)
		}
	}
	return ev.Report()
}

func TestEvents(t *testing.T) {
	for _, c := range []struct {
		name, want string
		deaths     map[int]int64
		script     string
	}{
		{"closed before it is opened elsewhere", "", nil, `
			10 1 open_start a :m 5 90
			11 1 opened     a :m 5 90
			40 1 renewed    a :m 5 120
			50 1 close_start a :m 5 120
			60 1 closed     a :m 5 60
			60 2 opened     a :m 7 150`},
		{"the original bug: opened elsewhere while it still closes", TwoOwners, nil, `
			11 1 opened     a :m 5 90
			50 1 close_start a :m 5 120
			55 2 opened     a :m 7 150
			60 1 closed     a :m 5 60`},
		{"stopped: its right has passed when another opens, and it wakes up late", "", nil, `
			11 1 opened  a :m 5 90
			40 1 renewed a :m 5 120
			121 2 opened a :m 7 150
			200 1 fenced a :m 5 120
			210 1 closed a :m 5 120`},
		{"stopped: another opens although its right has not passed", TwoOwners, nil, `
			11 1 opened  a :m 5 90
			40 1 renewed a :m 5 120
			119 2 opened a :m 7 150
			200 1 fenced a :m 5 120`},
		{"stopped before it could say opened", "", nil, `
			10 1 open_start a :m 5 90
			100 2 opened a :m 7 150
			140 1 opened a :m 5 90
			141 1 aborted a :m 5 90`},
		{"woken up, and acting again", TwoOwners, nil, `
			11 1 opened  a :m 5 90
			100 2 opened a :m 7 190
			110 1 renewed a :m 5 200`},
		{"acting after it was fenced", ActsAfterEnd, nil, `
			11 1 opened  a :m 5 90
			80 1 fenced  a :m 5 80
			85 1 renewed a :m 5 120`},
		{"fenced early ends it", "", nil, `
			11 1 opened  a :m 5 90
			80 1 fenced  a :m 5 80
			85 2 opened  a :m 7 120
			88 1 aborted a :m 5 88`},
		{"killed, by its declared moment", TwoOwners, nil, `
			11 1 opened  a :m 5 90
			50 2 opened  a :m 7 120`},
		{"killed, and its death is known", "", map[int]int64{1: 45}, `
			11 1 opened  a :m 5 90
			50 2 opened  a :m 7 120`},
		{"a child over a parent that still runs", TwoOwners, nil, `
			11 1 opened  a  a:m 5 90
			50 2 opened  a0 c:d 7 120`},
		{"neighbours", "", nil, `
			11 1 opened  a  :m 5 90
			12 2 opened  b  m: 5 90`},
		{"overlap far to the left", TwoOwners, nil, `
			11 1 opened  a  a:z 5 900
			12 2 opened  b  x: 6 900`},
		{"one process, two instances", TwoOwners, nil, `
			11 1 opened  a :m 5 90
			50 1 opened  a :m 7 90`},
		{"a token that goes back after a merge", TokenOrder, nil, `
			11 1 opened  a :m 9 90
			50 1 closed  a :m 9 50
			60 2 opened  ab : 7 120`},
		{"one token in two processes", TokenOrder, nil, `
			11 1 opened  a :m 9 90
			50 1 closed  a :m 9 50
			60 2 opened  a :m 9 120`},
		{"one token for two spans", "", nil, `
			11 1 opened  a :m 9 90
			12 1 opened  b m: 9 90`},
		{"a log that begins in the middle", TwoOwners, nil, `
			40 1 renewed a :m 5 120
			50 2 opened  a :m 7 150`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := eventsOf(t, c.deaths, c.script)
			var got []string
			for _, v := range r.Violations {
				got = append(got, v.Name)
				if !strings.Contains(v.First, "boottime_ns") || !strings.Contains(v.Second, "boottime_ns") || !strings.Contains(v.String(), v.Second) {
					t.Errorf("the lines are not quoted: %v", v)
				}
			}
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) == 0 || got[0] != c.want) || r.OK != (len(got) == 0) {
				t.Errorf("want %q, got %v", c.want, r.Violations)
			}
		})
	}
}

func TestEventsStatistics(t *testing.T) {
	r := eventsOf(t, nil, `
		10 1 opened a :m 5 900
		10 1 opened b m: 5 900
		50 1 closed a :m 5 50
		60 2 opened a :m 8 900
		70 1 closed b m: 5 70
		75 2 closed a :m 8 75
		100 3 opened ab : 12 900`)
	want := []RangeStats{
		{Keyspace: "k", Range: span.Range{End: "m"}, Openings: 3, Gap: 25, GapFrom: 75},
		{Keyspace: "k", Range: span.Range{Start: "m"}, Openings: 2, Gap: 30, GapFrom: 70},
	}
	if d := cmp.Diff(want, r.Ranges); d != "" {
		t.Error(d)
	}
	if r.Openings != 4 || r.Lines != 7 || r.Longest().Gap != 30*time.Nanosecond {
		t.Errorf("got %+v", r)
	}
}

func TestEventFilesAreSharedTornAndRepeated(t *testing.T) {
	dir := t.TempDir()
	shared, own := filepath.Join(dir, "shared"), filepath.Join(dir, "own")
	first, second := line(t, "11 1 opened a :m 5 90"), line(t, "60 1 closed a :m 5 60")
	write(t, shared, first+second+line(t, "70 2 opened a :m 7 150")+first[:40])
	write(t, own, first+second)
	var ev Events
	for _, f := range []string{shared, own} {
		if err := ev.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	if r := ev.Report(); !r.OK || r.Openings != 2 {
		t.Errorf("got %+v", r)
	}
	for _, bad := range []string{first[:40] + "\n", first[:40] + "\n" + second, strings.Replace(first, "opened", "eaten", 1), strings.Replace(first, `"end":"m"`, `"end":"\\q"`, 1)} {
		if err := ev.Read(strings.NewReader(bad), "bad"); err == nil || !strings.Contains(err.Error(), "bad, line 1") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := ev.ReadFile(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
