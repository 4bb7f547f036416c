package proc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/keys"
)

// patience bounds every wait for a condition. It is long because machines are slow, not because anything should be.
const patience = 90 * time.Second

// Options of a cluster.
type Options struct {
	// Failpoints builds the binary with failpoints.
	Failpoints bool
	// TTL of all sessions, "5s" if empty.
	TTL string
	// EtcdMembers is 1 if zero.
	EtcdMembers int
	// Fsync lets etcd sync its writes, for measurements.
	Fsync bool
}

// Cluster is one spanward cluster of real processes.
type Cluster struct {
	Dir string
	// Etcd members, and their client URLs joined by commas.
	Etcd []*Process
	URLs string
	// Gate is the directory that the gate workload is steered by; Events that of the events files.
	Gate, Events string

	tb        testing.TB
	bin       string
	o         Options
	processes map[string]*Process
	all       []*Process
	started   int
}

// Start starts etcd only.
func Start(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	if o.TTL == "" {
		o.TTL = "5s"
	}
	dir := tb.TempDir()
	c := &Cluster{
		Dir: dir, Gate: filepath.Join(dir, "gate"), Events: filepath.Join(dir, "events"),
		tb: tb, bin: Binary(tb, o.Failpoints), o: o, processes: map[string]*Process{},
	}
	for _, d := range []string{c.Gate, c.Events} {
		if err := os.Mkdir(d, 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	c.Etcd, c.URLs = c.startEtcd("etcd", max(1, o.EtcdMembers))
	return c
}

// ExtraEtcd starts another etcd of one member, as a mirror's source or destination.
func (c *Cluster) ExtraEtcd(name string) (*Process, string) {
	c.tb.Helper()
	ps, urls := c.startEtcd(name, 1)
	c.processes[name] = ps[0]
	return ps[0], urls
}

func (c *Cluster) startEtcd(name string, n int) ([]*Process, string) {
	c.tb.Helper()
	if n == 1 {
		p := c.startMember(name, "--listen-client", "127.0.0.1:0")
		p.ready(c.readyFile(name), 30*time.Second)
		return []*Process{p}, "http://" + p.Address
	}
	var members, urls, peers []string
	var ps []*Process
	for i := range n {
		members = append(members, fmt.Sprint(name, i+1))
		urls = append(urls, "http://"+c.FreeAddress())
		peers = append(peers, "http://"+c.FreeAddress())
	}
	var initial []string
	for i, m := range members {
		initial = append(initial, m+"="+peers[i])
	}
	for i, m := range members {
		ps = append(ps, c.startMember(m, "--listen-client", strings.TrimPrefix(urls[i], "http://"),
			"--listen-peer", strings.TrimPrefix(peers[i], "http://"), "--initial-cluster", strings.Join(initial, ",")))
	}
	for i, p := range ps {
		p.ready(c.readyFile(members[i]), 30*time.Second)
	}
	return ps, strings.Join(urls, ",")
}

func (c *Cluster) startMember(name string, args ...string) *Process {
	c.tb.Helper()
	args = append([]string{"etcd", "--name", name, "--data-dir", filepath.Join(c.Dir, name), "--ready-file", c.readyFile(name)}, args...)
	if !c.o.Fsync {
		args = append(args, "--unsafe-no-fsync")
	}
	return start(c.tb, c.bin, c.Dir, name, cleanEnv(), args...)
}

func (c *Cluster) readyFile(name string) string {
	return filepath.Join(c.Dir, name+".ready")
}

// FreeAddress is a loopback address that nobody listens on right now. Somebody else may take it at any moment; whatever
// can choose a port by itself should.
func (c *Cluster) FreeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Maintainer starts one and waits until it serves.
func (c *Cluster) Maintainer(name string, args ...string) *Process {
	c.tb.Helper()
	return c.run(name, append([]string{"maintainer"}, args...), true)
}

// Dispatcher starts one with all built-in workloads, the cluster's gate directory and an events file, and waits until
// it serves.
func (c *Cluster) Dispatcher(name string, args ...string) *Process {
	c.tb.Helper()
	return c.run(name, c.dispatcher(name, args), true)
}

// DispatcherNoWait is Dispatcher without the wait: for one that is expected to wait for its name.
func (c *Cluster) DispatcherNoWait(name string, args ...string) *Process {
	c.tb.Helper()
	return c.run(name, c.dispatcher(name, args), false)
}

func (c *Cluster) dispatcher(name string, args []string) []string {
	return append([]string{
		"dispatcher", "--workload", "gate,mirror", "--gate-dir", c.Gate, "--events-file", filepath.Join(c.Events, name+".jsonl"),
	}, args...)
}

func (c *Cluster) run(name string, args []string, wait bool) *Process {
	c.tb.Helper()
	c.started++
	ready := c.readyFile(fmt.Sprintf("%s-%d", name, c.started))
	args = append(args, "--name", name, "--etcd", c.URLs, "--session-ttl", c.o.TTL, "--ready-file", ready)
	p := start(c.tb, c.bin, c.Dir, name, cleanEnv(), args...)
	if wait {
		p.ready(ready, 30*time.Second)
	}
	c.processes[name] = p
	c.all = append(c.all, p)
	return p
}

// Process is the newest process of that name.
func (c *Cluster) Process(name string) *Process { return c.processes[name] }

// Client of the cluster's etcd, closed when the test ends.
func (c *Cluster) Client(urls string) *clientv3.Client {
	c.tb.Helper()
	cl, err := clientv3.New(clientv3.Config{
		Endpoints: strings.Split(urls, ","), DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
	})
	if err != nil {
		c.tb.Fatal(err)
	}
	c.tb.Cleanup(func() { _ = cl.Close() })
	return cl
}

// Layout of the cluster's keys.
func (c *Cluster) Layout() keys.Layout {
	l, err := keys.New("default")
	if err != nil {
		c.tb.Fatal(err)
	}
	return l
}

// Answer is what a command printed and how it ended.
type Answer struct {
	Out, Err string
	Code     int
}

// Spanward runs a command to its end. It may be called concurrently.
func (c *Cluster) Spanward(args ...string) Answer { return c.SpanwardWith(nil, args...) }

// SpanwardWith is Spanward with something to read.
func (c *Cluster) SpanwardWith(stdin io.Reader, args ...string) Answer {
	cmd := exec.Command(c.bin, args...)
	cmd.Stdin = stdin
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = cleanEnv("SPANWARD_ETCD="+c.URLs), &out, &errs
	err := cmd.Run()
	a := Answer{Out: out.String(), Err: errs.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		a.Code = exit.ExitCode()
	case err != nil:
		a.Code, a.Err = -1, err.Error()
	}
	return a
}

// Do runs a command that must succeed.
func (c *Cluster) Do(args ...string) string {
	c.tb.Helper()
	a := c.Spanward(args...)
	if a.Code != 0 {
		c.tb.Fatalf("spanward %s: exit %d\n%s%s", strings.Join(args, " "), a.Code, a.Out, a.Err)
	}
	return a.Out
}

// Get runs a command that must succeed and decodes its JSON into v.
func (c *Cluster) Get(v any, args ...string) {
	c.tb.Helper()
	out := c.Do(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		c.tb.Fatalf("spanward %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// TryGet is Get for conditions: false means that the command failed for now.
func (c *Cluster) TryGet(v any, args ...string) bool {
	a := c.Spanward(append(args, "-o", "json", "--timeout", "5s")...)
	return a.Code == 0 && json.Unmarshal([]byte(a.Out), v) == nil
}

// Until waits for a condition, which says what it sees for the case that it never holds.
func (c *Cluster) Until(what string, cond func() (ok bool, sees string)) {
	c.tb.Helper()
	c.UntilWithin(patience, what, cond)
}

// UntilWithin is Until with a bound of its own.
func (c *Cluster) UntilWithin(within time.Duration, what string, cond func() (ok bool, sees string)) {
	c.tb.Helper()
	deadline := time.Now().Add(within)
	for {
		ok, sees := cond()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			c.tb.Fatalf("not within %v: %s; last seen: %s", within, what, sees)
		}
		time.Sleep(20 * time.Millisecond) // polls a condition
	}
}

// Hold makes a file of the gate directory, such as "hold-open"; Release removes it.
func (c *Cluster) Hold(file string) {
	c.tb.Helper()
	if err := os.WriteFile(filepath.Join(c.Gate, file), nil, 0o644); err != nil {
		c.tb.Fatal(err)
	}
}

// Release removes a file of the gate directory.
func (c *Cluster) Release(file string) {
	c.tb.Helper()
	if err := os.Remove(filepath.Join(c.Gate, file)); err != nil {
		c.tb.Fatal(err)
	}
}
