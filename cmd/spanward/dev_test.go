package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// patience bounds waits in tests; nothing of what is waited for should need it.
const patience = 60 * time.Second

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for began := time.Now(); !cond(); {
		if time.Since(began) > patience {
			t.Fatalf("not within %s: %s", patience, what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// devOf waits for dev.json to please.
func devOf(t *testing.T, dir, what string, ok func(devJSON) bool) devJSON {
	t.Helper()
	var j devJSON
	until(t, what, func() bool {
		raw, err := os.ReadFile(filepath.Join(dir, devFile))
		if err != nil {
			return false
		}
		j = devJSON{}
		if err := json.Unmarshal(raw, &j); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		return ok(j)
	})
	return j
}

func (j devJSON) all() []ready { return slices.Concat(j.Etcds, j.Maintainers, j.Dispatchers) }

func (j devJSON) named(name string) ready {
	for _, r := range j.all() {
		if r.Name == name {
			return r
		}
	}
	return ready{}
}

func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// ask runs a command against a dev cluster.
func ask(t *testing.T, j devJSON, v any, line string) bool {
	t.Helper()
	var stdout, stderr lockedBuffer
	a := newApp(strings.NewReader(""), &stdout, &stderr, func(name string) (string, bool) { return j.Etcd, name == "SPANWARD_ETCD" })
	code := a.run(t.Context(), append(strings.Fields(line), "-o", "json", "--timeout", "5s"))
	return code == 0 && json.Unmarshal([]byte(stdout.String()), v) == nil
}

func mirrored(t *testing.T, j devJSON) bool {
	t.Helper()
	var shape struct {
		State string
		Spans struct{ Total, Running int64 }
	}
	return ask(t, j, &shape, "keyspace show "+devKeyspace) && shape.State == "running" && shape.Spans.Running == int64(len(devRanges))
}

// healthy says whether the mirror is equal and no invariant was violated. The traffic goes on meanwhile.
func healthy(t *testing.T, j devJSON) bool {
	t.Helper()
	var diff struct {
		Equal    bool
		Compared int64
	}
	var check struct{ OK bool }
	return ask(t, j, &diff, "mirror diff "+devKeyspace) && diff.Equal && diff.Compared > 0 && ask(t, j, &check, "check") && check.OK
}

// leaderOf waits until somebody leads.
func leaderOf(t *testing.T, j devJSON) string {
	t.Helper()
	var status struct{ Leader *string }
	until(t, "a leader", func() bool { return ask(t, j, &status, "status") && status.Leader != nil })
	return *status.Leader
}

func TestDevSurvivesKillsAndStopsCleanly(t *testing.T) {
	t.Setenv(asMain, "1")
	dir := t.TempDir()
	p := startProcess(t, "dev", "--maintainers", "2", "--dispatchers", "2", "--dir", dir)
	first := devOf(t, dir, "dev.json", func(j devJSON) bool { return len(j.Dispatchers) == 2 && len(j.Maintainers) == 2 })
	if first.PID != os.Getpid() || first.Source == first.Dest {
		t.Errorf("%+v", first)
	}
	until(t, "the mirror runs", func() bool { return mirrored(t, first) })

	for _, name := range []string{leaderOf(t, first), "n1", "source", "dest", "etcd"} {
		old := first.named(name)
		if err := syscall.Kill(old.PID, syscall.SIGKILL); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		devOf(t, dir, name+" is started again", func(j devJSON) bool { return j.named(name).PID != old.PID && j.named(name).PID != 0 })
		until(t, "all is well after the end of "+name, func() bool { return mirrored(t, first) && healthy(t, first) })
	}
	now := devOf(t, dir, "dev.json", func(devJSON) bool { return true })
	if diff := cmp.Diff([]string{first.Etcd, first.Source, first.Dest}, []string{now.Etcd, now.Source, now.Dest}); diff != "" {
		t.Errorf("addresses have changed: %s", diff)
	}

	began := time.Now()
	if code := p.end(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("stopped after %s", took)
	}
	for _, r := range now.all() {
		if alive(r.PID) {
			t.Errorf("%s outlives dev", r.Name)
		}
	}
	for _, said := range []string{"n1 (pid", "was ended by signal killed", "n1 is back", "stopping"} {
		if !strings.Contains(p.stderr.String(), said) {
			t.Errorf("%q is not said:\n%s", said, p.stderr)
		}
	}

	// The next start goes on where this one has stopped; and this time dev itself is killed.
	again := exec.Command(os.Args[0], "dev", "--maintainers", "2", "--dispatchers", "2", "--dir", dir)
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	killed := make(chan error, 1)
	t.Cleanup(func() { _ = again.Process.Kill() })
	go func() { killed <- again.Wait() }()
	second := devOf(t, dir, "dev.json of the second start", func(j devJSON) bool { return j.PID == again.Process.Pid })
	if second.Etcd != first.Etcd || second.Source != first.Source {
		t.Errorf("other addresses: %+v, had %+v", second, first)
	}
	until(t, "the mirror is still there", func() bool { return mirrored(t, second) })
	other := startProcess(t, "dev", "--dir", dir)
	code := <-other.ended
	other.ended <- code
	if code != 3 {
		t.Errorf("a second dev in one directory: exit %d, %s", code, other.stderr)
	}
	if err := again.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-killed
	until(t, "no child outlives dev", func() bool { return !slices.ContainsFunc(second.all(), func(r ready) bool { return alive(r.PID) }) })
}

func TestDevUsage(t *testing.T) {
	for line, want := range map[string]string{
		"dev --maintainers 0":     "--maintainers",
		"dev --dispatchers 1000":  "--dispatchers",
		"dev --dir /dev/null/dir": "--dir",
	} {
		p := startProcess(t, strings.Fields(line)...)
		if code := p.end(); code != 2 || !strings.Contains(p.stderr.String(), want) {
			t.Errorf("%s: exit %d: %s", line, code, p.stderr)
		}
	}
}

func TestTellerTellsWhatLasts(t *testing.T) {
	var told teller
	for n, tc := range []struct {
		now  map[string]string
		want []string
	}{
		{now: map[string]string{"leader": "m1 leads", "nodes": "3"}},
		{now: map[string]string{"leader": "m1 leads", "nodes": "3"}, want: []string{"m1 leads", "3"}},
		{now: map[string]string{"leader": "m1 leads", "nodes": "2"}}, // a blink
		{now: map[string]string{"leader": "m1 leads", "nodes": "3"}},
		{now: map[string]string{"leader": "m1 leads", "nodes": "3"}},
		{now: map[string]string{"leader": "no answer"}},
		{now: map[string]string{"leader": "no answer"}, want: []string{"no answer"}}, // of the nodes nothing is known
		{now: map[string]string{"leader": "m2 leads", "nodes": "3", "problem x": "p"}},
		{now: map[string]string{"leader": "m2 leads", "nodes": "3", "problem x": "p"}, want: []string{"m2 leads", "p"}},
		{now: map[string]string{"leader": "m2 leads", "nodes": "3"}},
		{now: map[string]string{"leader": "m2 leads", "nodes": "3"}, want: []string{"no more: p"}},
		{now: map[string]string{"leader": "m2 leads", "nodes": "3"}},
	} {
		if diff := cmp.Diff(tc.want, told.changes(tc.now)); diff != "" {
			t.Errorf("look %d: %s", n, diff)
		}
	}
}
