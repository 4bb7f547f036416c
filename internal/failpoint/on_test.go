//go:build failpoint

package failpoint_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanward/spanward/internal/failpoint"
	"github.com/spanward/spanward/internal/fault"
)

const (
	closing = "dispatcher/move/close/before"
	opening = "dispatcher/placement/open/after"
)

func arm(t *testing.T, points, log string) *failpoint.Set {
	t.Helper()
	set, err := failpoint.FromEnv(env(map[string]string{failpoint.EnvPoints: points, failpoint.EnvLog: log}))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func hit(t *testing.T, set *failpoint.Set, name string) time.Duration {
	t.Helper()
	start := time.Now()
	if err := set.Hit(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

// Whatever is armed, and even if nothing is.
func TestMisspelledNamePanics(t *testing.T) {
	for _, set := range []*failpoint.Set{nil, {}, arm(t, closing+"=sleep:1s", ""), failpoint.NewHook(nil)} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, `"dispatcher/move/clsoe/before" is not in names.go`) || !strings.Contains(got, closing) {
					t.Errorf("got %s", got)
				}
			}()
			t.Errorf("Hit returned %v", set.Hit(t.Context(), "dispatcher/move/clsoe/before"))
		}()
	}
}

func TestActsAtItsHitOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := arm(t, closing+"=2*sleep:3s; "+opening+"=sleep:1h;"+closing+"=4*sleep:1m;", "")
		for i, want := range []time.Duration{0, 3 * time.Second, 0, time.Minute, 0} {
			if got := hit(t, set, closing); got != want {
				t.Errorf("hit %d took %v, want %v", i+1, got, want)
			}
		}
		for i, want := range []time.Duration{time.Hour, 0} {
			if got := hit(t, set, opening); got != want {
				t.Errorf("hit %d of the other took %v, want %v", i+1, got, want)
			}
		}
	})
}

func TestSleepEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := arm(t, closing+"=sleep:1h", "").Hit(ctx, closing); err != nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestHoldWaitsWhileTheFileExists(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hold=this")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		set := arm(t, closing+"=hold:"+file+";"+closing+"=2*hold:"+file+";"+closing+"=3*hold:"+file, "")
		// Its context ends first.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := set.Hit(ctx, closing); err != nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		// The file goes first: noticed within the 20 ms that the contract gives.
		time.AfterFunc(5*time.Second, func() {
			if err := os.Remove(file); err != nil {
				t.Error(err)
			}
		})
		if got := hit(t, set, closing); got < 5*time.Second || got > 5*time.Second+20*time.Millisecond {
			t.Errorf("held for %v, the file was there for 5s", got)
		}
		if got := hit(t, set, closing); got != 0 {
			t.Errorf("held for %v without a file", got)
		}
	})
}

func TestEachHitIsLogged(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	set := arm(t, closing+"=2*sleep:1ns", log)
	const goroutines = 8
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() { hit(t, set, opening) })
	}
	wg.Wait()
	hit(t, set, closing)
	hit(t, set, closing)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != goroutines+2 {
		t.Fatalf("%d lines:\n%s", len(lines), text)
	}
	for i, line := range lines {
		name, n, act := opening, i+1, "-"
		if i >= goroutines {
			name, n = closing, i-goroutines+1
		}
		if name == closing && n == 2 {
			act = "sleep:1ns"
		}
		if !strings.HasPrefix(line, fmt.Sprintf("%s %d %d ", name, n, os.Getpid())) || !strings.HasSuffix(line, "Z "+act) {
			t.Errorf("line %d is %s", i, line)
		}
	}
}

// The log alone arms nothing, and still counts.
func TestLogWithoutPoints(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	hit(t, arm(t, "", log), closing)
	if text, err := os.ReadFile(log); err != nil || !strings.HasPrefix(string(text), closing+" 1 ") {
		t.Errorf("%q, %v", text, err)
	}
}

func TestExitEndsTheProcess(t *testing.T) {
	if os.Getenv("FAILPOINT_TEST_CHILD") != "" {
		set, err := failpoint.FromEnv(os.Getenv)
		if err != nil {
			t.Fatal(err)
		}
		hit(t, set, closing)
		hit(t, set, closing)
		t.Fatal("still alive")
	}
	log := filepath.Join(t.TempDir(), "log")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestExitEndsTheProcess$")
	child.Env = append(os.Environ(), "FAILPOINT_TEST_CHILD=1", failpoint.EnvPoints+"="+closing+"=2*exit", failpoint.EnvLog+"="+log)
	out, err := child.CombinedOutput()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 70 {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(log)
	if err != nil || !strings.HasPrefix(string(text), closing+" 1 "+strconv.Itoa(child.Process.Pid)) || !strings.HasSuffix(string(text), " exit\n") {
		t.Errorf("the last hit is not in the log: %q, %v", text, err)
	}
}

func TestBadVariables(t *testing.T) {
	for points, want := range map[string]string{
		"dispatcher/move/clsoe/before=exit":    `there is no failpoint "dispatcher/move/clsoe/before"; the nearest are dispatcher/move/close/before, `,
		"dispatcher/move/close=exit":           `the nearest are dispatcher/move/close/after, dispatcher/move/close/before, `,
		closing:                                `has no action; write name=[N*]exit|sleep:DURATION|hold:FILE`,
		closing + "=":                          `there is no action ""; use exit, sleep:DURATION or hold:FILE`,
		closing + "=panic":                     `there is no action "panic"`,
		closing + "=*exit":                     `there is no action "*exit"`,
		closing + "=-1*exit":                   `there is no action "-1*exit"`,
		closing + "=0*exit":                    `0 is not the number of a hit; count hits from 1`,
		closing + "=99999999999999999999*exit": `is not the number of a hit`,
		closing + "=exit:1":                    `exit takes no argument; write exit; the code is always 70`,
		closing + "=sleep":                     `"" is not a duration to sleep; write one like sleep:300ms`,
		closing + "=sleep:5":                   `"5" is not a duration to sleep`,
		closing + "=sleep:-5s":                 `"-5s" is not a duration to sleep`,
		closing + "=hold:":                     `hold needs a file`,
		closing + "=exit;" + closing + "=exit": `hit 1 of this failpoint has two actions; leave one`,
		opening + "=exit;" + closing + "=2x":   `SPANWARD_FAILPOINTS "` + closing + `=2x": there is no action`,
	} {
		_, err := failpoint.FromEnv(env(map[string]string{failpoint.EnvPoints: points}))
		if err == nil || !strings.Contains(err.Error(), want) || fault.ExitCode(err) != 2 {
			t.Errorf("%s: %v\nwant … %s", points, err, want)
		}
	}
	log := filepath.Join(t.TempDir(), "missing", "log")
	if _, err := failpoint.FromEnv(env(map[string]string{failpoint.EnvLog: log})); err == nil || !strings.Contains(err.Error(), log) {
		t.Errorf("a log that cannot be written: %v", err)
	}
	if !failpoint.Enabled {
		t.Error("this build has failpoints and says it has none")
	}
}
