package leases_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/leases"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ttl = 5 * time.Second

// running is a session whose Run runs, in a bubble.
type running struct {
	*leases.Session
	process *etcdtest.Process
	ended   chan error
}

func start(t *testing.T, etcd *etcdtest.Bubble, cfg leases.Config) *running {
	t.Helper()
	p := etcd.Process()
	if cfg.TTL == 0 {
		cfg.TTL = ttl
	}
	if cfg.Clock == nil {
		cfg.Clock = leases.Virtual()
	}
	s, err := leases.Grant(t.Context(), p.Client(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Session: s, process: p, ended: make(chan error, 1)}
	go func() { r.ended <- s.Run(t.Context()) }()
	return r
}

func (r *running) mustAct(t *testing.T) {
	t.Helper()
	select {
	case <-r.Lost():
		t.Fatalf("lost: %v", r.Err())
	default:
	}
	if !r.MayAct() {
		t.Fatal("the session should hold")
	}
}

// mustEnd waits for the end and returns how long that took.
func (r *running) mustEnd(t *testing.T) time.Duration {
	t.Helper()
	from := time.Now()
	<-r.Lost()
	took := time.Since(from)
	if r.MayAct() || r.Remaining() != 0 || !errors.Is(r.Err(), leases.ErrExpired) {
		t.Errorf("lost, yet may act %v, remaining %v, err %v", r.MayAct(), r.Remaining(), r.Err())
	}
	if err := <-r.ended; !errors.Is(err, leases.ErrExpired) {
		t.Errorf("Run returned %v", err)
	}
	return took
}

func leaseGone(t *testing.T, c *clientv3.Client, id clientv3.LeaseID) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := c.TimeToLive(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return r.TTL < 0
}

func TestSessionHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		s := start(t, etcd, leases.Config{})
		for range 2 * 60 {
			time.Sleep(time.Minute)
			s.mustAct(t)
			// Half of the TTL is the least that renewals every third of it leave, whatever the scheduling.
			if s.Remaining() < ttl/2 {
				t.Fatalf("only %v left", s.Remaining())
			}
		}
		if leaseGone(t, etcd.Client(), s.ID()) {
			t.Error("etcd does not have the lease")
		}
	})
}

func TestRightEndsBeforeTheLease(t *testing.T) {
	for _, ttl := range []time.Duration{2 * time.Second, 5 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			etcd := etcdtest.StartBubble(t)
			s := start(t, etcd, leases.Config{TTL: ttl})
			if _, err := s.process.Client().Put(t.Context(), "mine", "", clientv3.WithLease(s.ID())); err != nil {
				t.Fatal(err)
			}
			gone := etcd.Client().Watch(t.Context(), "mine")
			time.Sleep(10 * time.Minute)
			s.process.Kill()
			from := time.Now()
			<-gone
			if s.MayAct() {
				t.Fatal("the key is gone and the session may still act")
			}
			if d := time.Since(from); d > ttl+time.Second {
				t.Errorf("the key of a dead process went after %v", d)
			}
			s.mustEnd(t)
		})
	}
}

// What a session survives is the TTL less a margin and the third of it that may have passed since the last renewal.
const survives = ttl - ttl/3 - 500*time.Millisecond - 250*time.Millisecond

func TestEtcdAwayForLessThanTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		s := start(t, etcd, leases.Config{})
		for i := range 20 {
			s.process.Pause() // to the session the same as an etcd that hangs
			time.Sleep(survives)
			s.process.Resume()
			time.Sleep(time.Minute + time.Duration(i)*83*time.Millisecond)
			s.mustAct(t)
		}
	})
}

func TestEtcdRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		s := start(t, etcd, leases.Config{})
		for i := range 20 {
			etcd.Down() // and its election takes one to two seconds
			etcd.Up()
			time.Sleep(time.Minute + time.Duration(i)*83*time.Millisecond)
			s.mustAct(t)
		}
	})
}

func TestEtcdAwayForMoreThanTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		s := start(t, etcd, leases.Config{})
		time.Sleep(time.Minute)
		etcd.Down()
		if took := s.mustEnd(t); took > ttl-500*time.Millisecond {
			t.Errorf("noticed after %v", took)
		}
		etcd.Up()
		time.Sleep(time.Minute)
		if s.MayAct() {
			t.Error("a session that was over came back")
		}
	})
}

// The answer of a renewal tells nothing about now: etcd may have handled it when it was sent.
func TestSendTimeCountsNotReceiveTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		s := start(t, etcd, leases.Config{})
		const late = 700 * time.Millisecond
		s.process.Inject(func(c etcdtest.Call) etcdtest.Fault {
			if c.Method == "LeaseKeepAlive" {
				return etcdtest.Fault{Late: late}
			}
			return etcdtest.Fault{}
		})
		for len(s.Renewed()) > 0 {
			<-s.Renewed()
		}
		for range 10 {
			<-s.Renewed()
			if left := s.Remaining(); left > ttl-500*time.Millisecond-late {
				t.Fatalf("%v left after an answer that took %v", left, late)
			}
		}
		s.mustAct(t)
	})
}

// Attempts that hang must make way for others.
func TestHungAttemptsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		s := start(t, etcd, leases.Config{})
		time.Sleep(time.Minute)
		var mu sync.Mutex
		hung := 0
		s.process.Inject(func(c etcdtest.Call) etcdtest.Fault {
			mu.Lock()
			defer mu.Unlock()
			if c.Method == "LeaseKeepAlive" && hung < 6 {
				hung++
				return etcdtest.Fault{Delay: time.Hour}
			}
			return etcdtest.Fault{}
		})
		time.Sleep(time.Minute)
		s.mustAct(t)
	})
}

func TestUnhealthyProcessLosesItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		var sick atomic.Bool
		s := start(t, etcd, leases.Config{Healthy: func() bool { return !sick.Load() }})
		time.Sleep(time.Minute)
		sick.Store(true)
		time.Sleep(2500 * time.Millisecond) // and up to 1.5 s since the last renewal: of 4.5 s
		sick.Store(false)                   // in time
		time.Sleep(time.Minute)
		s.mustAct(t)
		sick.Store(true)
		s.mustEnd(t)
		time.Sleep(2 * time.Second)
		if !leaseGone(t, etcd.Client(), s.ID()) {
			t.Error("the lease of an unhealthy process must expire")
		}
	})
}

func TestSuspendEndsTheRightAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		var suspended atomic.Int64
		awake := leases.Virtual()
		s := start(t, etcd, leases.Config{Clock: func() time.Duration { return awake() + time.Duration(suspended.Load()) }})
		time.Sleep(time.Minute)
		s.mustAct(t)
		// The machine sleeps for an hour. No timer of Go notices, and etcd's answers come as before.
		suspended.Add(int64(time.Hour))
		if s.MayAct() {
			t.Fatal("may act after a suspend of an hour")
		}
		if took := s.mustEnd(t); took > 250*time.Millisecond {
			t.Errorf("noticed after %v", took)
		}
	})
}

// Lost must not need a caller of MayAct, also when only the clock has moved.
func TestSuspendIsNoticedWithoutBeingAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		var suspended atomic.Int64
		awake := leases.Virtual()
		s := start(t, etcd, leases.Config{Clock: func() time.Duration { return awake() + time.Duration(suspended.Load()) }})
		time.Sleep(time.Minute)
		suspended.Add(int64(time.Hour))
		from := time.Now()
		<-s.Lost()
		if took := time.Since(from); took > 250*time.Millisecond {
			t.Errorf("noticed after %v", took)
		}
	})
}

func TestLeaseRevokedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		s := start(t, etcd, leases.Config{})
		if _, err := etcd.Client().Revoke(t.Context(), s.ID()); err != nil {
			t.Fatal(err)
		}
		if took := s.mustEnd(t); took > ttl/3+time.Second {
			t.Errorf("noticed after %v", took)
		}
	})
}

func TestRevokeIsIdempotent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		s := start(t, etcd, leases.Config{})
		s.process.Inject(func(c etcdtest.Call) etcdtest.Fault {
			return etcdtest.Fault{Lose: c.Method == "LeaseRevoke"}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*ttl)
		defer cancel()
		s.process.Pause()
		if err := s.Revoke(ctx); err == nil || ctx.Err() != nil {
			t.Errorf("no answer must be an error, and soon: %v, %v", err, ctx.Err())
		}
		s.process.Resume()
		if s.MayAct() {
			t.Error("the right must be over before the outcome is known")
		}
		for range 2 {
			if err := s.Revoke(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := <-s.ended; !errors.Is(err, leases.ErrRevoked) {
			t.Errorf("Run returned %v", err)
		}
		if !leaseGone(t, etcd.Client(), s.ID()) {
			t.Error("the lease is still there")
		}
	})
}

func TestRunReturnsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		p := etcd.Process()
		s, err := leases.Grant(t.Context(), p.Client(), leases.Config{TTL: ttl, Clock: leases.Virtual()})
		if err != nil {
			t.Fatal(err)
		}
		for _, pause := range []bool{false, true} {
			if pause {
				p.Pause() // an attempt is under way
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			if err := s.Run(ctx); err != nil || !s.MayAct() {
				t.Errorf("Run returned %v, may act %v", err, s.MayAct())
			}
			cancel()
		}
		p.Resume()
	})
}

func TestStoppedProcessWakesUpWithoutTheRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		s := start(t, etcd, leases.Config{})
		time.Sleep(time.Minute)
		s.process.Pause()
		time.Sleep(ttl + 2*time.Second)
		s.process.Resume()
		if s.MayAct() {
			t.Error("may act after a pause longer than the TTL")
		}
		s.mustEnd(t)
	})
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]leases.Config{
		"no TTL":           {},
		"one second":       {TTL: time.Second},
		"half seconds":     {TTL: 2500 * time.Millisecond},
		"an hour":          {TTL: time.Hour},
		"margin too large": {TTL: ttl, Margin: 3 * time.Second},
		"negative margin":  {TTL: ttl, Margin: -1},
		"tries too long":   {TTL: ttl, TryTimeout: time.Second},
	} {
		if _, err := leases.Grant(t.Context(), nil, cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
