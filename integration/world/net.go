package world

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"

	"google.golang.org/grpc/test/bufconn"
)

// network connects processes inside one bubble by address, with what tells a dead process from a slow one: a dial
// to a process that is gone is refused at once, and its connections break.
type network struct {
	mu        sync.Mutex
	listeners map[string]*listener
}

// host is one process's share of the network.
type host struct {
	n     *network
	mu    sync.Mutex
	dead  bool
	conns map[net.Conn]bool
	open  []*listener
}

func newNetwork() *network { return &network{listeners: map[string]*listener{}} }

func (n *network) host() *host { return &host{n: n, conns: map[net.Conn]bool{}} }

type listener struct {
	*bufconn.Listener
	address string
	host    *host
}

const buffer = 256 << 10

// listen serves the address; a dead process's address is free again.
func (h *host) listen(address string) net.Listener {
	l := &listener{Listener: bufconn.Listen(buffer), address: address, host: h}
	h.n.mu.Lock()
	h.n.listeners[address] = l
	h.n.mu.Unlock()
	h.mu.Lock()
	h.open = append(h.open, l)
	h.mu.Unlock()
	return l
}

// Close frees the address.
func (l *listener) Close() error {
	n := l.host.n
	n.mu.Lock()
	if n.listeners[l.address] == l {
		delete(n.listeners, l.address)
	}
	n.mu.Unlock()
	return l.Listener.Close()
}

// dial connects this process with the one that listens there.
func (h *host) dial(ctx context.Context, address string) (net.Conn, error) {
	h.n.mu.Lock()
	l := h.n.listeners[address]
	h.n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: fmt.Errorf("%s: %w", address, syscall.ECONNREFUSED)}
	}
	c, err := l.DialContext(ctx)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: fmt.Errorf("%s: %w", address, syscall.ECONNREFUSED)}
	}
	if !h.track(c) || !l.host.track(c) {
		_ = c.Close()
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: syscall.ECONNRESET}
	}
	return c, nil
}

func (h *host) track(c net.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead {
		return false
	}
	h.conns[c] = true
	return true
}

// kill breaks every connection of the process and frees its addresses.
func (h *host) kill() {
	h.mu.Lock()
	h.dead = true
	conns, open := h.conns, h.open
	h.conns, h.open = nil, nil
	h.mu.Unlock()
	for _, l := range open {
		_ = l.Close()
	}
	for c := range conns {
		_ = c.Close()
	}
}
