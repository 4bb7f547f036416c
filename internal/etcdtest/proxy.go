package etcdtest

import (
	"net"
	"sync"
	"testing"
)

// Proxy is an endpoint on 127.0.0.1 that passes bytes on to a server until it is told not to. Frozen it accepts
// connections and keeps them, as a stopped process does.
type Proxy struct {
	target   string
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex
	thawed *sync.Cond
	frozen bool
	closed bool
	conns  map[net.Conn]struct{}
}

// NewProxy starts a proxy for host:port. It stops with the test.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	p := &Proxy{target: target, listener: listen(tb, "127.0.0.1:0"), conns: make(map[net.Conn]struct{})}
	p.thawed = sync.NewCond(&p.mu)
	p.work.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Endpoint is the URL of the proxy.
func (p *Proxy) Endpoint() string { return "http://" + p.listener.Addr().String() }

// Freeze holds back every byte from now on, in both directions, and answers no new connection.
func (p *Proxy) Freeze() { p.set(func() { p.frozen = true }) }

// Thaw lets bytes through again, those held back first.
func (p *Proxy) Thaw() { p.set(func() { p.frozen = false }) }

// Cut breaks the connections there are. New ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.thawed.Broadcast()
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.set(func() { p.closed = true })
	p.Cut()
	p.work.Wait()
}

func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		if !p.keep(in) {
			return
		}
		p.work.Go(func() { p.serve(in) })
	}
}

// keep registers a connection for Cut. It reports false when the proxy is closed.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) serve(in net.Conn) {
	defer p.drop(in)
	if !p.pass() {
		return
	}
	out, err := net.Dial("tcp", p.target)
	if err != nil || !p.keep(out) {
		return
	}
	defer p.drop(out)
	var both sync.WaitGroup
	both.Go(func() { p.copy(out, in) })
	both.Go(func() { p.copy(in, out) })
	both.Wait()
}

func (p *Proxy) copy(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !p.pass() {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// pass waits while the proxy is frozen. It reports false when it is closed.
func (p *Proxy) pass() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.frozen && !p.closed {
		p.thawed.Wait()
	}
	return !p.closed
}
