package world

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/client"
	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/failpoint"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/rpcerr"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/leases"
	"github.com/spanward/spanward/maintainer"
)

const (
	clusterName = "world"
	sinkName    = "sink"
	ttl         = 5 * time.Second
	// patience bounds every wait, in virtual time.
	patience = 2 * time.Minute
	// restartAfter is when the supervisor starts a killed process again.
	restartAfter = time.Second
)

var errKilled = errors.New("killed")

// World is a cluster inside one bubble.
type World struct {
	t      *testing.T
	etcd   *etcdtest.Bubble
	net    *network
	sink   *sink
	layout keys.Layout
	clock  leases.Clock
	log    *zap.Logger

	mu    sync.Mutex
	procs map[string]*Proc // the newest process of each name
	arm   *arming
	// wg are the supervisor's goroutines and the processes.
	wg      sync.WaitGroup
	stopped bool

	cli     *client.Client
	cliHost *host
}

// Proc is one process. A restart makes a new one.
type Proc struct {
	w      *World
	name   string
	run    func(ctx context.Context) error
	etcd   *etcdtest.Process
	host   *host
	load   *workload // dispatchers only
	stop   context.CancelFunc
	done   chan struct{}
	err    error
	once   sync.Once
	killed chan struct{}
	again  func() // starts its successor
}

// arming is one fault: at hit n of a failpoint the victims are killed.
type arming struct {
	point   string
	n       int
	victims func(hitter *Proc) []*Proc
	hits    int
	fired   chan struct{}
}

// New starts etcd and nothing else. It must be called in a bubble.
func New(t *testing.T) *World {
	l, err := keys.New(clusterName)
	if err != nil {
		t.Fatal(err)
	}
	w := &World{
		t: t, etcd: etcdtest.StartBubble(t), net: newNetwork(), sink: newSink(), layout: l, clock: leases.Virtual(),
		log:   zaptest.NewLogger(t, zaptest.Level(logLevel())),
		procs: map[string]*Proc{},
	}
	w.cliHost = w.net.host()
	w.cli, err = client.New(client.Config{
		Cluster: clusterName, Find: client.FromEtcd(w.etcd.Client(), l), Patience: patience,
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(w.cliHost.dial)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.end)
	return w
}

func logLevel() zapcore.Level {
	if testing.Verbose() {
		return zap.InfoLevel
	}
	return zap.ErrorLevel
}

// end kills what still runs, without ceremony.
func (w *World) end() {
	w.mu.Lock()
	w.stopped = true
	var all []*Proc
	for _, p := range w.procs {
		all = append(all, p)
	}
	w.mu.Unlock()
	for _, p := range all {
		p.kill()
	}
	w.wg.Wait() // a process that a restart has started meanwhile was stopped before it began
	_ = w.cli.Close()
	w.cliHost.kill()
}

// Control is the control API as a user's program has it.
func (w *World) Control() controlv1.ControlClient { return w.cli.Control() }

// Maintainer starts one.
func (w *World) Maintainer(name string) *Proc {
	return w.start(name, func(p *Proc) error {
		m, err := maintainer.New(maintainer.Config{
			Layout: w.layout, Name: name, Advertise: "mem-" + name, Listener: p.host.listen("mem-" + name),
			Dial: p.host.dial, Client: p.etcd.Client(), Clock: w.clock, TTL: ttl, Version: "test",
			Logger: w.log.Named(name), Failpoints: w.points(p),
		})
		if err != nil {
			return err
		}
		p.run = m.Run
		return nil
	}, func() { w.Maintainer(name) })
}

// Dispatcher starts one that offers the sink workload.
func (w *World) Dispatcher(name string) *Proc {
	return w.start(name, func(p *Proc) error {
		p.load = &workload{s: w.sink, name: name, dead: p.killed, openFor: 50 * time.Millisecond, closeFor: 50 * time.Millisecond}
		d, err := dispatcher.New(dispatcher.Config{
			Cluster: w.layout, Name: name, Client: p.etcd.Client(), TTL: ttl, Dial: p.grpc, Clock: w.clock,
			Version: "test", Logger: w.log.Named(name), Failpoints: w.points(p),
		}, map[string]dispatcher.Workload{sinkName: p.load})
		if err != nil {
			return err
		}
		p.run = d.Run
		return nil
	}, func() { w.Dispatcher(name) })
}

func (p *Proc) grpc(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address,
		grpc.WithContextDialer(p.host.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStreamInterceptor(rpcerr.StreamClient()))
}

func (w *World) start(name string, build func(*Proc) error, again func()) *Proc {
	p := &Proc{
		w: w, name: name, etcd: w.etcd.Process(), host: w.net.host(),
		done: make(chan struct{}), killed: make(chan struct{}), again: again,
	}
	if err := build(p); err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	w.mu.Lock()
	defer w.mu.Unlock()
	w.procs[name] = p
	if w.stopped { // a restart that comes too late
		stop()
	}
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		defer close(p.done)
		p.err = p.run(ctx)
		p.host.kill()
	}()
	return p
}

// points is what a process does at its failpoints.
func (w *World) points(p *Proc) *failpoint.Set {
	return failpoint.NewHook(func(_ context.Context, name string) error {
		if p.isKilled() {
			return errKilled
		}
		w.hit(p, name)
		if p.isKilled() {
			return errKilled
		}
		return nil
	})
}

func (w *World) hit(p *Proc, name string) {
	w.mu.Lock()
	a := w.arm
	if a == nil || a.point != name {
		w.mu.Unlock()
		return
	}
	a.hits++
	if a.hits != a.n {
		w.mu.Unlock()
		return
	}
	w.arm = nil
	w.mu.Unlock()
	for _, v := range a.victims(p) {
		v.kill()
	}
	close(a.fired)
}

// Arm kills the victims at hit n of a failpoint. The channel closes when that has happened.
func (w *World) Arm(point string, n int, victims func(hitter *Proc) []*Proc) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arm = &arming{point: point, n: n, victims: victims, fired: make(chan struct{})}
	return w.arm.fired
}

// kill is kill -9. A supervisor starts the process again after a moment, unless the world is over.
func (p *Proc) kill() {
	p.once.Do(func() {
		close(p.killed)
		p.etcd.Kill()
		p.host.kill()
		if p.load != nil {
			p.w.sink.killed(p.load)
		}
		p.stop()
		p.w.wg.Add(1)
		go p.supervise()
	})
}

func (p *Proc) supervise() {
	defer p.w.wg.Done()
	<-p.done
	time.Sleep(restartAfter)
	if !p.w.over() {
		p.again()
	}
}

func (w *World) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stopped
}

func (p *Proc) isKilled() bool {
	select {
	case <-p.killed:
		return true
	default:
		return false
	}
}

// Stop ends the process cleanly.
func (p *Proc) Stop() error {
	p.stop()
	<-p.done
	return p.err
}

// Proc is the newest process of a name.
func (w *World) Proc(name string) *Proc {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.procs[name]
}

// Leader is the process that leads now, nil if nobody does.
func (w *World) Leader() *Proc {
	r, err := w.etcd.Client().Get(context.Background(), w.layout.Leader())
	if err != nil || len(r.Kvs) == 0 {
		return nil
	}
	l, err := record.DecodeLeader(r.Kvs[0].Value)
	if err != nil || l.Resigned {
		return nil
	}
	return w.Proc(l.Maintainer)
}

// Until waits for a condition in virtual time; the condition says what it sees instead.
func (w *World) Until(what string, cond func() string) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		sees := cond()
		if sees == "" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %v: %s: %s", patience, what, sees)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
