package etcdtest

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeLimit bounds the bytes under way in one direction of a connection; a writer waits beyond it.
const pipeLimit = 1 << 20

// pipe is one direction of a connection in memory. It waits on a sync.Cond, which a synctest bubble counts as blocked.
type pipe struct {
	mu     sync.Mutex
	change *sync.Cond
	buf    []byte
	eof    bool // the writing end is closed
	broken bool // the reading end is closed, or the process is dead
	frozen bool // the process is stopped

	readBy, writeBy deadline
}

func newPipe() *pipe {
	p := &pipe{}
	p.change = sync.NewCond(&p.mu)
	return p
}

// deadline wakes the waiters of a pipe once it has passed.
type deadline struct {
	timer  *time.Timer
	passed bool
}

func (p *pipe) setDeadline(d *deadline, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	*d = deadline{}
	if t.IsZero() {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(t), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if d.timer == timer {
			d.passed = true
			p.change.Broadcast()
		}
	})
	d.timer = timer
}

func (p *pipe) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.change.Broadcast()
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.broken:
			return 0, io.ErrClosedPipe
		case p.readBy.passed:
			return 0, os.ErrDeadlineExceeded
		case p.frozen:
		case len(p.buf) > 0:
			n := copy(b, p.buf)
			p.buf = p.buf[n:]
			p.change.Broadcast()
			return n, nil
		case p.eof:
			return 0, io.EOF
		}
		p.change.Wait()
	}
}

func (p *pipe) write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.broken || p.eof:
			return 0, io.ErrClosedPipe
		case p.writeBy.passed:
			return 0, os.ErrDeadlineExceeded
		case !p.frozen && len(p.buf) < pipeLimit:
			p.buf = append(p.buf, b...)
			p.change.Broadcast()
			return len(b), nil
		}
		p.change.Wait()
	}
}

// link is a connection of a process with the server: two pipes, each with an end on both sides.
type link struct{ up, down *pipe }

func newLink() *link { return &link{up: newPipe(), down: newPipe()} }

func (l *link) client() net.Conn { return &memConn{in: l.down, out: l.up} }
func (l *link) server() net.Conn { return &memConn{in: l.up, out: l.down} }

// cut breaks both directions at once: what was written and not yet read is lost.
func (l *link) cut() {
	for _, p := range []*pipe{l.up, l.down} {
		p.set(func() { p.broken = true })
	}
}

// freeze stops or continues the client's side: nothing it writes leaves, nothing it is sent is read.
func (l *link) freeze(frozen bool) {
	for _, p := range []*pipe{l.up, l.down} {
		p.set(func() { p.frozen = frozen })
	}
}

// dead reports that the client's end was closed.
func (l *link) dead() bool {
	l.down.mu.Lock()
	defer l.down.mu.Unlock()
	return l.down.broken
}

// memConn is one end of a link.
type memConn struct{ in, out *pipe }

func (c *memConn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *memConn) Write(b []byte) (int, error) { return c.out.write(b) }

func (c *memConn) Close() error {
	c.in.set(func() { c.in.broken = true })
	c.out.set(func() { c.out.eof = true })
	return nil
}

func (c *memConn) SetDeadline(t time.Time) error {
	return firstError(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

func (c *memConn) LocalAddr() net.Addr  { return memAddr{} }
func (c *memConn) RemoteAddr() net.Addr { return memAddr{} }

type memAddr struct{}

func (memAddr) Network() string { return "memory" }
func (memAddr) String() string  { return "memory" }

// memListener hands the server's ends of links to a gRPC server.
type memListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newMemListener() *memListener {
	return &memListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

// connect offers the server's end of a link until it is accepted.
func (l *memListener) connect(ctx context.Context, k *link) error {
	select {
	case l.conns <- k.server():
		return nil
	case <-l.done:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *memListener) Addr() net.Addr { return memAddr{} }

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
