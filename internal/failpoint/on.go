//go:build failpoint

package failpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spanward/spanward/internal/fault"
)

// Enabled says whether this build listens to the environment.
const Enabled = true

// exitCode tells an injected death from all others.
const exitCode = 70

// pollEvery is how often a hold looks for its file.
const pollEvery = 10 * time.Millisecond

// armed is what the environment asked for.
type armed struct {
	rules []rule
	log   string
	exit  func(int) // os.Exit, but for tests

	mu   sync.Mutex
	hits map[string]int
}

// mustBeRegistered makes a misspelled name impossible to miss, whatever is armed.
func mustBeRegistered(name string) {
	if !registered(name) {
		panic(fmt.Sprintf("failpoint %q is not in names.go; the nearest are %s", name, strings.Join(near(name), ", ")))
	}
}

// FromEnv arms what the environment asks for; nothing asked gives a nil Set.
func FromEnv(getenv func(string) string) (*Set, error) {
	rules, err := parse(getenv(EnvPoints))
	if err != nil {
		return nil, err
	}
	log := getenv(EnvLog)
	if err := appendLine(log, ""); err != nil {
		return nil, fault.New(fault.InvalidArgument, "cannot be written: %v", err).On(EnvLog, log).
			Fix("name a file in a directory that exists").Because(err)
	}
	if len(rules) == 0 && log == "" {
		return nil, nil
	}
	return &Set{armed: armed{rules: rules, log: log, exit: os.Exit, hits: map[string]int{}}}, nil
}

func (a *armed) hit(ctx context.Context, name string) error {
	act := a.count(name)
	switch act.verb {
	case exit:
		a.exit(exitCode)
	case sleep:
		wait(ctx, act.delay)
	case hold:
		for waiting := true; waiting && exists(act.file); {
			waiting = wait(ctx, pollEvery)
		}
	}
	return nil
}

// count numbers the hit, logs it, since an exit leaves no later chance, and says what to do.
func (a *armed) count(name string) action {
	if a.hits == nil {
		return action{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hits[name]++
	n := a.hits[name]
	var act action
	for _, r := range a.rules {
		if r.name == name && r.at == n {
			act = r.action
		}
	}
	line := fmt.Sprintf("%s %d %d %s %s\n", name, n, os.Getpid(), time.Now().UTC().Format(time.RFC3339Nano), act)
	if err := appendLine(a.log, line); err != nil {
		fmt.Fprintf(os.Stderr, "failpoint: %s: %v\n", strings.TrimSpace(line), err)
	}
	return act
}

// appendLine opens the file anew each time, so that a Set needs no closing and a log may be moved away.
func appendLine(file, line string) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

// wait says whether the time passed before the context was over.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// exists takes a file that cannot be looked at for one that is there: letting go by mistake would be noticed by nobody.
func exists(file string) bool {
	_, err := os.Stat(file)
	return !errors.Is(err, fs.ErrNotExist)
}
