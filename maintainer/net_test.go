package maintainer

import (
	"context"
	"net"
	"sync"
	"syscall"

	"google.golang.org/grpc/test/bufconn"
)

// memNet connects the processes of a bubble by address. Nobody listens: refused. Cut: the connection breaks. Silent:
// a dial gets no answer, as from a host that is gone.
type memNet struct {
	mu     sync.Mutex
	open   map[string]*bufconn.Listener
	conns  map[string][]net.Conn
	silent map[string]bool
	// lingers are addresses where connections are taken once more after the process has died.
	lingers map[string]bool
	dials   map[string]int
}

func newMemNet() *memNet {
	return &memNet{
		open: map[string]*bufconn.Listener{}, conns: map[string][]net.Conn{}, silent: map[string]bool{},
		lingers: map[string]bool{}, dials: map[string]int{},
	}
}

func (n *memNet) listen(address string) net.Listener {
	l := bufconn.Listen(1 << 20)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open[address] = l
	return l
}

func (n *memNet) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	l, silent, lingers := n.open[address], n.silent[address], n.lingers[address]
	n.dials[address]++
	n.mu.Unlock()
	if lingers {
		nobody, c := net.Pipe()
		_ = nobody.Close()
		return c, nil
	}
	if silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "mem", Err: syscall.ECONNREFUSED}
	}
	c, err := l.DialContext(ctx)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "mem", Err: syscall.ECONNREFUSED}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[address] = append(n.conns[address], c)
	return c, nil
}

// cut breaks every connection to the address, and what is dialled from now on is refused, or never answered.
func (n *memNet) cut(address string, silent bool) {
	n.mu.Lock()
	conns := n.conns[address]
	delete(n.conns, address)
	if n.lingers[address] && n.open[address] == nil {
		delete(n.lingers, address)
	}
	delete(n.open, address)
	n.silent[address] = silent
	n.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

func (n *memNet) dialled(address string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials[address]
}

// linger makes the first cut leave the listener open, and nobody behind it; the second one closes it.
func (n *memNet) linger(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lingers[address] = true
}
