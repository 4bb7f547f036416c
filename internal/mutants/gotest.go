package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// testLimit bounds the test of a mutant, groupLimit all those of a package together, buildLimit what comes before.
	testLimit, groupLimit, buildLimit = 2 * time.Minute, 6 * time.Minute, 8 * time.Minute
	// hangsInBubble is after how long a test that hangs has said so: on virtual time everything takes milliseconds.
	hangsInBubble = 20 * time.Second
	// killedPause is how long the output of a run that was killed is waited for.
	killedPause = 10 * time.Second
)

// outcome is what one run of go test came to.
type outcome struct {
	passed map[string]bool
	// failed is the test that failed first.
	failed string
	// built says that there was a test to run; hung that it did not end.
	built, hung bool
	ok          bool
	// said is the end of what was printed, for what is none of the above.
	said string
}

// event is a line of go test -json.
type event struct{ Action, Test, Output string }

// goTest runs the tests of a package that the pattern selects. It returns an error if that says nothing about them.
func goTest(ctx context.Context, root string, t target, pattern, overlay string, limit time.Duration) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, limit+buildLimit)
	defer cancel()
	args := []string{"test", "-json", "-count=1", "-vet=off", "-failfast", "-timeout", limit.String(), "-tags", t.tags, "-run", pattern}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+t.dir)...)
	cmd.Dir = root
	// The test is a child of go test: both go together.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killedPause
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{}, err
	}
	if ctx.Err() != nil {
		return outcome{}, fmt.Errorf("go test was killed: %w", ctx.Err())
	}
	o := judge(out)
	o.ok = err == nil
	if exit != nil {
		o.said = strings.TrimSpace(o.said + "\n" + string(exit.Stderr))
	}
	return o, nil
}

// maxSaid bounds what is kept of the output, in lines.
const maxSaid = 30

// judge reads what go test -json has printed. Subtests end before the tests that they belong to, so that the first
// failure is the most exact.
func judge(out []byte) outcome {
	o := outcome{passed: map[string]bool{}}
	var said []string
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, len(out)+1)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			e = event{Action: "output", Output: lines.Text()}
		}
		switch {
		case e.Action == "run":
			o.built = true
		case e.Action == "pass" && e.Test != "":
			o.passed[e.Test] = true
		case e.Action == "fail" && e.Test != "" && o.failed == "":
			o.failed = e.Test
		case strings.HasSuffix(e.Action, "output"):
			o.hung = o.hung || strings.HasPrefix(e.Output, "panic: test timed out after")
			said = append(said, strings.TrimRight(e.Output, "\n"))
		}
	}
	o.said = strings.Join(said[max(0, len(said)-maxSaid):], "\n")
	return o
}
