package etcdtest

import (
	"net/url"
	"sync"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver"
)

// Bubble is an etcd server inside a testing/synctest bubble. No socket is involved, so all waiting is virtual.
type Bubble struct {
	tb     testing.TB
	config config.ServerConfig

	mu        sync.Mutex
	node      *node        // nil while the server is down
	listener  *memListener // of the running server, or of the last one
	processes []*Process
	main      *Process
}

// StartBubble starts the server and waits until it serves. It must be called inside the bubble; the server stops with
// the test, before the bubble ends.
func StartBubble(tb testing.TB, opts ...Option) *Bubble {
	tb.Helper()
	// The member never listens: nobody connects to these addresses.
	none := url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	b := &Bubble{tb: tb, config: newSettings(opts).server(member{
		name: "bubble", dir: tb.TempDir(), peer: none, client: none,
		cluster: types.URLsMap{"bubble": types.URLs{none}}, token: "bubble",
	})}
	b.Up()
	tb.Cleanup(b.close)
	b.main = b.Process()
	return b
}

// Client is the client of a process that the test itself uses and that is never disturbed.
func (b *Bubble) Client() *clientv3.Client { return b.main.Client() }

// Etcd is the server itself, nil while it is down. It is for measurements and reading, not a way around the clients.
func (b *Bubble) Etcd() *etcdserver.EtcdServer {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.node == nil {
		return nil
	}
	return b.node.etcd
}

// Up starts the server on the data that is there, as after a crash. It does nothing if the server runs. Like Down it is
// for one goroutine at a time.
func (b *Bubble) Up() {
	b.tb.Helper()
	if b.Etcd() != nil {
		return
	}
	// The mutex is not held while the server starts: a goroutine that waits for a mutex keeps virtual time from passing.
	l := newMemListener()
	n, err := startNode(b.config, l, nil, nil)
	if err != nil {
		b.tb.Fatal(err)
	}
	if err := n.ready(); err != nil {
		n.stop()
		b.tb.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.node, b.listener = n, l
}

// Down stops the server at once: all connections break, and new ones are refused until Up.
func (b *Bubble) Down() {
	b.mu.Lock()
	n := b.node
	b.node = nil
	b.mu.Unlock()
	if n == nil {
		return
	}
	_ = b.listener.Close()
	n.stop()
}

// Process adds an independent client of the server.
func (b *Bubble) Process() *Process {
	b.tb.Helper()
	p, err := newProcess(b.current)
	if err != nil {
		b.tb.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.processes = append(b.processes, p)
	return p
}

// current is where a process connects now.
func (b *Bubble) current() *memListener {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.listener
}

func (b *Bubble) close() {
	b.mu.Lock()
	processes := b.processes
	b.mu.Unlock()
	for _, p := range processes {
		p.close()
	}
	b.Down()
}
