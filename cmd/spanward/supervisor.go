package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spanward/spanward/internal/fault"
)

// role is what a child is.
type role int

const (
	roleEtcd role = iota
	roleMaintainer
	roleDispatcher
)

const (
	// restartAfter is the moment that a supervisor would wait.
	restartAfter = time.Second
	// startWithin bounds the start of a child, and startTries how often it may die while it starts.
	startWithin = 60 * time.Second
	startTries  = 3
	// readyPoll is between two looks for a ready file.
	readyPoll = 20 * time.Millisecond
	// workersStop and etcdsStop bound a clean stop of the children; together they stay under 2 s.
	workersStop = 1300 * time.Millisecond
	etcdsStop   = 400 * time.Millisecond
)

// supervisor runs children and starts those again that die.
type supervisor struct {
	home *devHome
	note func(format string, args ...any)
	exe  string

	mu       sync.Mutex
	children []*child
	onChange func() error
}

func newSupervisor(home *devHome, note func(string, ...any)) (*supervisor, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &supervisor{home: home, note: note, exe: exe}, nil
}

// child is one process after the other, under one name.
type child struct {
	sup  *supervisor
	role role
	name string
	args []string
	// quit ends it; ended is closed when nothing of it runs any more.
	quit  chan struct{}
	ended chan struct{}

	mu      sync.Mutex
	process *os.Process // ready or not, nil before the first
	is      ready       // what the process said when it was ready; PID 0 while none is
	early   int         // how often it died before it was ready for the first time
	last    error
}

// run starts a child and keeps it running.
func (s *supervisor) run(r role, name string, args ...string) {
	c := &child{sup: s, role: r, name: name, args: args, quit: make(chan struct{}), ended: make(chan struct{})}
	s.mu.Lock()
	s.children = append(s.children, c)
	s.mu.Unlock()
	_ = os.Remove(s.home.path(name + ".log"))
	go c.keep()
}

func (s *supervisor) list() []*child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*child(nil), s.children...)
}

// changed makes the supervisor call f whenever another process stands behind a name.
func (s *supervisor) changed(f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onChange = f
}

func (c *child) now() ready {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.is
}

// keep starts one process after the other. The kernel kills a child when the thread that started it ends, so the thread is
// held for as long as the child lives.
func (c *child) keep() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.ended)
	for {
		err := c.once()
		if c.quits() {
			return
		}
		if c.died(err) {
			return
		}
		select {
		case <-time.After(restartAfter):
		case <-c.quit:
			return
		}
	}
}

func (c *child) quits() bool {
	select {
	case <-c.quit:
		return true
	default:
		return false
	}
}

// died notes the end of a process that nobody has asked to end, and says whether there is no point in another try.
func (c *child) died(err error) (final bool) {
	c.mu.Lock()
	was := c.is
	c.last = err
	if was.PID == 0 {
		c.early++
	}
	final = was.Name == "" && c.early >= startTries
	c.is.PID = 0
	c.mu.Unlock()
	if !final {
		c.sup.note("%s (pid %d) %s; it is started again in %s", c.name, was.PID, ending(err), restartAfter)
	}
	return final
}

func ending(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return "was ended by signal " + status.Signal().String()
		}
		return fmt.Sprintf("ended with exit code %d", exit.ExitCode())
	}
	if err != nil {
		return "failed: " + err.Error()
	}
	return "ended"
}

// once runs one process to its end.
func (c *child) once() error {
	readyFile := c.sup.home.path(c.name + ".ready")
	if err := os.Remove(readyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	log, err := os.OpenFile(c.sup.home.path(c.name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(c.sup.exe, append(c.args, "--name", c.name, "--ready-file", readyFile)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = childEnv(os.Environ())
	// A group of its own: Ctrl-C is for the parent, which stops the children in their order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.mu.Lock()
	c.process = cmd.Process
	c.mu.Unlock()
	if c.quits() {
		c.signal(syscall.SIGTERM) // stop may have come while there was nobody to tell
	}
	gone := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { c.awaitReady(readyFile, cmd.Process.Pid, gone) })
	err = cmd.Wait()
	close(gone)
	watching.Wait()
	return err
}

// childEnv keeps settings that are meant for this process from the children, which get flags.
func childEnv(env []string) []string {
	var out []string
	for _, v := range env {
		if !strings.HasPrefix(v, envPrefix) || strings.HasPrefix(v, "SPANWARD_FAILPOINT") || strings.HasPrefix(v, "SPANWARD_TEST") {
			out = append(out, v)
		}
	}
	return out
}

func (c *child) awaitReady(file string, pid int, gone <-chan struct{}) {
	for {
		raw, err := os.ReadFile(file)
		var r ready
		if err == nil && json.Unmarshal(raw, &r) == nil && r.PID == pid {
			c.becomes(r)
			return
		}
		select {
		case <-time.After(readyPoll):
		case <-gone:
			return
		}
	}
}

// becomes notes that a process is ready; a new one behind an old name is news.
func (c *child) becomes(r ready) {
	c.mu.Lock()
	again := c.is.Name != ""
	c.is = r
	c.mu.Unlock()
	if again {
		c.sup.note("%s is back, pid %d", c.name, r.PID)
	}
	c.sup.mu.Lock()
	f := c.sup.onChange
	c.sup.mu.Unlock()
	if f != nil {
		if err := f(); err != nil {
			c.sup.note("%s", err)
		}
	}
}

// ready waits until every child has been ready once, or one gives up.
func (s *supervisor) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for _, c := range s.list() {
		for c.now().Name == "" {
			select {
			case <-time.After(readyPoll):
			case <-c.ended:
				return c.failed()
			case <-ctx.Done():
				return c.failed()
			}
		}
	}
	return nil
}

func (c *child) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	log := c.sup.home.path(c.name + ".log")
	why := "is not ready"
	if c.last != nil {
		why = ending(c.last)
	}
	raw, _ := os.ReadFile(log)
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return fault.New(fault.Failed, "%s %s: %s", c.name, why, lines[len(lines)-1]).Fix("see %s", log)
}

// stop ends all children, the etcds last, and kills what does not end in time.
func (s *supervisor) stop() {
	var workers, etcds []*child
	for _, c := range s.list() {
		if c.role == roleEtcd {
			etcds = append(etcds, c)
		} else {
			workers = append(workers, c)
		}
	}
	stopAll(workers, workersStop)
	stopAll(etcds, etcdsStop)
}

func stopAll(children []*child, within time.Duration) {
	for _, c := range children {
		close(c.quit)
		c.signal(syscall.SIGTERM)
	}
	late := time.AfterFunc(within, func() {
		for _, c := range children {
			c.signal(syscall.SIGKILL)
		}
	})
	defer late.Stop()
	for _, c := range children {
		<-c.ended
	}
}

// signal reaches the newest process, unless it has ended.
func (c *child) signal(sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != nil {
		_ = c.process.Signal(sig) // an error says that it has ended
	}
}
