package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// process is a server command that runs in this process.
type process struct {
	t      *testing.T
	stop   context.CancelFunc
	ended  chan int
	stderr *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	return startProcessIn(t, nil, args...)
}

func lookup(env map[string]string) environment {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

func startProcessIn(t *testing.T, env map[string]string, args ...string) *process {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &process{t: t, stop: stop, ended: make(chan int, 1), stderr: &lockedBuffer{}}
	a := newApp(strings.NewReader(""), &lockedBuffer{}, p.stderr, lookup(env))
	go func() { p.ended <- a.run(ctx, args) }()
	t.Cleanup(func() { p.end() })
	return p
}

// end stops the process cleanly, and gives its exit code.
func (p *process) end() int {
	p.t.Helper()
	p.stop()
	select {
	case code := <-p.ended:
		p.ended <- code
		return code
	case <-time.After(30 * time.Second):
		p.t.Fatalf("does not stop:\n%s", p.stderr)
		return -1
	}
}

// ready waits for the ready file.
func (p *process) ready(path string) ready {
	p.t.Helper()
	for began := time.Now(); time.Since(began) < 30*time.Second; {
		raw, err := os.ReadFile(path)
		if err == nil {
			var r ready
			if err := json.Unmarshal(raw, &r); err != nil {
				p.t.Fatalf("ready file %q: %v", raw, err) // it must never be seen half written
			}
			return r
		}
		if !errors.Is(err, fs.ErrNotExist) {
			p.t.Fatal(err)
		}
		select {
		case code := <-p.ended:
			p.t.Fatalf("exit %d:\n%s", code, p.stderr)
		case <-time.After(5 * time.Millisecond):
		}
	}
	p.t.Fatalf("not ready:\n%s", p.stderr)
	return ready{}
}

func TestEtcdServesAndKeepsItsData(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ready")
	for round := range 2 {
		_ = os.Remove(file)
		p := startProcess(t, "etcd", "--data-dir", filepath.Join(dir, "data"), "--name", "e1", "--listen-client", "127.0.0.1:0",
			"--ready-file", file, "--unsafe-no-fsync", "--quota", "100000000", "--auto-compaction", "1h")
		r := p.ready(file)
		if r.Name != "e1" || r.PID != os.Getpid() {
			t.Errorf("%+v", r)
		}
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{r.Address}, DialTimeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		got, err := c.Get(ctx, "k")
		if err != nil || len(got.Kvs) != round {
			t.Errorf("round %d: %v, %v", round, got, err)
		}
		if _, err := c.Put(ctx, "k", "v"); err != nil {
			t.Error(err)
		}
		cancel()
		_ = c.Close()
		if code := p.end(); code != 0 {
			t.Errorf("exit %d:\n%s", code, p.stderr)
		}
		if lines := strings.Count(p.stderr.String(), "\n"); lines > 5 {
			t.Errorf("%d lines of log for nothing:\n%s", lines, p.stderr)
		}
	}
}

// Two etcds that share their ids look like one to whoever mirrors from one to the other.
func TestEtcdsHaveIDsOfTheirOwn(t *testing.T) {
	seen := map[uint64]bool{}
	for range 2 {
		dir := t.TempDir()
		file := filepath.Join(dir, "ready")
		p := startProcess(t, "etcd", "--data-dir", filepath.Join(dir, "data"), "--listen-client", "127.0.0.1:0", "--ready-file", file, "--unsafe-no-fsync")
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{p.ready(file).Address}, DialTimeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		got, err := c.Get(ctx, "k")
		cancel()
		_ = c.Close()
		if err != nil {
			t.Fatal(err)
		}
		if seen[got.Header.ClusterId] {
			t.Error("two clusters with one id")
		}
		seen[got.Header.ClusterId] = true
	}
}

func TestEtcdUsage(t *testing.T) {
	for line, want := range map[string]string{
		"etcd":                            "--data-dir",
		"etcd --data-dir d --log-level x": "--log-level",
		"etcd --data-dir d --listen-client 0.0.0.0:0":                            "others can reach it",
		"etcd --data-dir d --listen-client x":                                    "HOST:PORT",
		"etcd --data-dir d --initial-cluster e1=http://127.0.0.1:1":              "--listen-peer",
		"etcd --data-dir d --tls-cert /nonexistent/c --tls-key /nonexistent/key": "--tls-cert",
		"etcd --data-dir d --tls-client-ca /nonexistent/ca":                      "--tls-client-ca",
	} {
		p := startProcess(t, strings.Fields(line)...)
		if code := p.end(); code != 2 || !strings.Contains(p.stderr.String(), want) {
			t.Errorf("%s: exit %d: %s", line, code, p.stderr)
		}
	}
}
