package etcdtest

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/spanward/spanward/internal/etcdx"
)

// dialTimeout bounds what a client of a bubble does before its first request.
const dialTimeout = 5 * time.Second

// Process is one client of a bubble's server, as if it were a process of its own.
type Process struct {
	client *clientv3.Client
	server func() *memListener

	mu       sync.Mutex
	links    []*link
	resumed  chan struct{} // closed unless the process is stopped
	killed   chan struct{} // closed by Kill
	gone     chan struct{} // closed when the test is over
	inject   func(Call) Fault
	calls    map[string]int
	killOnce sync.Once
	goneOnce sync.Once
}

func newProcess(server func() *memListener) (*Process, error) {
	p := &Process{
		server: server, resumed: make(chan struct{}), killed: make(chan struct{}), gone: make(chan struct{}),
		calls: make(map[string]int),
	}
	close(p.resumed)
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"http://bubble"}, DialTimeout: dialTimeout, Logger: zap.NewNop(),
		DialOptions: append(etcdx.DialOptions(),
			grpc.WithContextDialer(p.dial),
			grpc.WithChainUnaryInterceptor(p.unary),
			grpc.WithChainStreamInterceptor(p.stream),
		),
	})
	if err != nil {
		return nil, err
	}
	_ = c.Watcher.Close()
	c.Watcher = newWatcher(c.ActiveConnection())
	p.client = c
	return p, nil
}

// Client is the process's client: an ordinary one, over a connection in memory.
func (p *Process) Client() *clientv3.Client { return p.client }

// Kill ends the process as kill -9 does: nothing more of it reaches the server, and no call is answered. Calls that are
// under way end with an error or wait for the end of their context.
func (p *Process) Kill() {
	p.killOnce.Do(func() { close(p.killed) })
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		l.cut()
	}
	p.links = nil
}

// Pause stops the process as SIGSTOP does: its calls wait, and what etcd sends it waits too.
func (p *Process) Pause() { p.freeze(true) }

// Resume continues a stopped process as SIGCONT does: whatever it was about to send is sent now.
func (p *Process) Resume() { p.freeze(false) }

func (p *Process) freeze(frozen bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.resumed:
		if !frozen {
			return
		}
		p.resumed = make(chan struct{})
	default:
		if frozen {
			return
		}
		close(p.resumed)
	}
	for _, l := range p.links {
		l.freeze(frozen)
	}
}

// running waits while the process is stopped. It returns an error when the call can never go on.
func (p *Process) running(ctx context.Context) error {
	p.mu.Lock()
	resumed := p.resumed
	p.mu.Unlock()
	select {
	case <-p.killed:
		return p.dead(ctx)
	default:
	}
	select {
	case <-resumed:
		return nil
	case <-p.killed:
		return p.dead(ctx)
	case <-p.gone:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dead is what becomes of a call of a killed process.
func (p *Process) dead(ctx context.Context) error {
	select {
	case <-p.gone:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Process) dial(ctx context.Context, _ string) (net.Conn, error) {
	if err := p.running(ctx); err != nil {
		return nil, err
	}
	l := newLink()
	if err := p.server().connect(ctx, l); err != nil {
		return nil, err
	}
	if !p.adopt(l) {
		l.cut()
		return nil, p.dead(ctx)
	}
	return l.client(), nil
}

// adopt counts a new connection among those that die and stop with the process. It reports false if that is dead.
func (p *Process) adopt(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.killed:
		return false
	default:
	}
	select {
	case <-p.resumed:
	default:
		l.freeze(true)
	}
	p.links = append(slices.DeleteFunc(p.links, (*link).dead), l)
	return true
}

func (p *Process) close() {
	p.goneOnce.Do(func() { close(p.gone) })
	p.Kill()
	_ = p.client.Close()
}
