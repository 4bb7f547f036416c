package proc

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanward/spanward/leases"
)

// Process is one running program.
type Process struct {
	Name string
	// Address that it announced once it served, if it announces one.
	Address string
	// Started is when it was started; for reports.
	Started time.Time

	// diedAt is the reading of CLOCK_BOOTTIME when it was known to be gone.
	diedAt int64

	tb   testing.TB
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error
}

// start runs the binary with args in dir and does not wait for it to serve.
func start(tb testing.TB, bin, dir, name string, env []string, args ...string) *Process {
	tb.Helper()
	path := filepath.Join(dir, name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()
	p := &Process{Name: name, Started: time.Now(), tb: tb, cmd: exec.Command(bin, args...), log: path, done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		p.diedAt = leases.Boottime().Nanoseconds()
		close(p.done)
	}()
	tb.Cleanup(p.end)
	return p
}

// end makes sure that the process is gone, and shows its log if the test failed.
func (p *Process) end() {
	p.Kill()
	if p.tb.Failed() {
		p.tb.Logf("--- %s ---\n%s", p.Name, p.tail(40))
	}
}

func (p *Process) tail(n int) string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}

// Log is all that the process has printed.
func (p *Process) Log() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Pid of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Kill is kill -9, and waits until the process is gone.
func (p *Process) Kill() {
	if p.Gone() {
		return
	}
	p.signal(syscall.SIGCONT)
	p.signal(syscall.SIGKILL)
	<-p.done
}

// Pause is SIGSTOP.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Continue is SIGCONT.
func (p *Process) Continue() { p.signal(syscall.SIGCONT) }

// Stop is SIGTERM, and waits for a clean end. A process that does not end, or ends with an error, fails the test.
func (p *Process) Stop() {
	p.tb.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.tb.Fatalf("%s does not end after SIGTERM:\n%s", p.Name, p.tail(20))
	}
	if p.err != nil {
		p.tb.Fatalf("%s: %v after SIGTERM:\n%s", p.Name, p.err, p.tail(20))
	}
}

// Gone reports whether the process has ended.
func (p *Process) Gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *Process) signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.tb.Errorf("signal %v to %s: %v", s, p.Name, err)
	}
}

// ready waits for the ready file and takes the address from it.
func (p *Process) ready(file string, within time.Duration) {
	p.tb.Helper()
	deadline := time.Now().Add(within)
	for {
		data, err := os.ReadFile(file)
		if err == nil {
			var r struct{ Address string }
			if err := json.Unmarshal(data, &r); err != nil {
				p.tb.Fatalf("ready file of %s: %v: %q", p.Name, err, data)
			}
			p.Address = r.Address
			return
		}
		if p.Gone() {
			p.tb.Fatalf("%s ended before it was ready: %v\n%s", p.Name, p.err, p.tail(20))
		}
		if time.Now().After(deadline) {
			p.tb.Fatalf("%s is not ready within %v:\n%s", p.Name, within, p.tail(20))
		}
		time.Sleep(5 * time.Millisecond) // polls a file
	}
}

// cleanEnv is the environment without our own variables, so that the shell of a developer cannot change a test.
func cleanEnv(extra ...string) []string {
	var out []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SPANWARD_") {
			out = append(out, kv)
		}
	}
	return append(out, extra...)
}
