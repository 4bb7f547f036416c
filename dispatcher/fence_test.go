package dispatcher_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/failpoint"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/leases"
	"github.com/spanward/spanward/span"
)

// margin is the default one of leases for a TTL of 5 s.
const margin = 500 * time.Millisecond

// Whatever hangs — etcd, the leader, an opening, a closing — all that runs is aborted by TTL − margin after the last
// renewal, and not long before.
func TestFencesItselfInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		const n = 20
		for i := range n {
			id := span.ID(fmt.Sprint("s", i))
			w.span(id)
			w.open("n1", id)
		}
		p.sink.set(func() { p.sink.deaf["s0"], p.sink.deaf["late"] = true, true })
		p.sink.hold(p.sink.holdClose, "s0")
		w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, w.accept("s0", record.KindRemove, ""))
		release := p.sink.hold(p.sink.holdOpen, "late")
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, w.span("late"))
		w.eventually("both hang", func() bool { return len(p.sink.trace("s0")) == 3 && len(p.sink.trace("late")) == 1 })

		p.etcd.Pause()
		start := time.Now()
		w.eventually("aborted", func() bool { return !p.sink.when("aborted").IsZero() })
		took := p.sink.when("aborted").Sub(start)
		// The last renewal was sent at most a third of the TTL before, and the end is looked for every 250 ms.
		if took < 5*time.Second*2/3-margin-time.Second || took > 5*time.Second-margin+250*time.Millisecond {
			t.Errorf("aborted after %v", took)
		}
		synctest.Wait()
		for i := range n {
			trace := p.sink.trace(fmt.Sprint("s", i))
			if trace[len(trace)-1] != "aborted" {
				t.Errorf("s%d: %v", i, trace)
			}
		}
		if fenced := p.sink.when("fenced"); fenced.IsZero() || fenced.After(p.sink.when("aborted")) {
			t.Errorf("the observer was told at %v", fenced)
		}
		// What opens after all is aborted, too.
		release()
		w.eventually("late one aborted", func() bool { return len(p.sink.trace("late")) == 3 })
		equal(t, "late", []string{"open", "opened", "aborted"}, p.sink.trace("late"))
	})
}

// As long as renewals are answered, a leader that hangs and transactions that are lost abort nothing.
func TestRunsOnWithoutALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.span("a")
		w.open("n1", "a")
		w.put(w.layout.Leader(), record.EncodeLeader(record.Leader{Resigned: true}))
		time.Sleep(time.Minute)
		w.etcd.Down()
		time.Sleep(2 * time.Second)
		w.etcd.Up()
		time.Sleep(time.Minute)
		equal(t, "events", []string{"open", "opened"}, p.sink.trace("a"))
		w.lead()
		w.eventually("reported", func() bool { return w.leader.node("n1").fulls > 1 })
		if s := w.leader.state("n1", "a"); s != sessionv1.SpanStatus_STATE_RUNNING {
			t.Errorf("reported as %v", s)
		}
	})
}

// A session that is ended under a living process, in whatever way, aborts all and is followed by a new one.
func TestNewSessionAfterALoss(t *testing.T) {
	for name, loss := range map[string]func(w *world, p *process){
		"node key deleted": func(w *world, _ *process) {
			if _, err := w.etcd.Client().Delete(w.t.Context(), w.layout.Node("n1")); err != nil {
				w.t.Error(err)
			}
		},
		"lease revoked": func(w *world, _ *process) {
			kv := w.get(w.layout.Node("n1")).Kvs[0]
			if _, err := w.etcd.Client().Revoke(w.t.Context(), leaseOf(kv.Lease)); err != nil {
				w.t.Error(err)
			}
		},
		"evicted": func(w *world, _ *process) {
			w.put(w.layout.NodeConfig("n1"), record.EncodeNodeConfig(record.NodeConfig{Evicted: w.session("n1")}))
		},
		"etcd silent": func(_ *world, p *process) {
			p.etcd.Pause()
			time.Sleep(10 * time.Second)
			p.etcd.Resume()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				p := w.ready("n1")
				w.span("a")
				w.open("n1", "a")
				old := w.session("n1")
				loss(w, p)
				w.eventually("aborted", func() bool { return p.sink.running() == 0 })
				w.eventually("a new session reports", func() bool {
					return w.leader.node("n1").session > old && w.leader.node("n1").fulls > 1
				})
				equal(t, "events", []string{"open", "opened", "aborted"}, p.sink.trace("a"))
				if s := w.leader.state("n1", "a"); s != sessionv1.SpanStatus_STATE_UNSPECIFIED {
					t.Errorf("the new session says that the span is %v", s)
				}
				before := w.record("a").Owner
				w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, w.record("a"))
				w.eventually("runs again", func() bool { return w.record("a").Owner.Session == w.session("n1") })
				if after := w.record("a").Owner; after.Token <= before.Token {
					t.Errorf("token %d after %d", after.Token, before.Token)
				}
			})
		})
	}
}

// Nothing new is opened while an instance of the lost session still runs.
func TestStaysAwayUntilOldInstancesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		p.sink.set(func() { p.sink.deaf["a"] = true })
		release := p.sink.hold(p.sink.holdOpen, "a")
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, w.span("a"))
		w.eventually("opening", func() bool { return len(p.sink.trace("a")) == 1 })
		old := w.session("n1")
		w.put(w.layout.NodeConfig("n1"), record.EncodeNodeConfig(record.NodeConfig{Evicted: old}))
		time.Sleep(time.Minute)
		if now := w.session("n1"); now != 0 && now != old {
			t.Errorf("registered anew as %d beside an instance of %d", now, old)
		}
		if p.said("instances of a lost session do not end; the node stays away until they do") == 0 {
			t.Error("nothing was said about it")
		}
		release()
		w.eventually("registered anew", func() bool { return w.session("n1") > old })
	})
}

// A machine that was suspended: the clock has gone on, and nothing else has noticed yet. Neither a workload is opened
// nor a transaction sent.
func TestNothingBeginsAfterASuspend(t *testing.T) {
	for _, at := range []string{"placement/claim/after", "placement/open/after", "placement/commit/before"} {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var skipped atomic.Int64
				clock := leases.Virtual()
				p := w.ready("n1", func(c *dispatcher.Config) {
					c.Clock = func() time.Duration { return clock() + time.Duration(skipped.Load()) }
					c.Failpoints = failpoint.NewHook(func(_ context.Context, name string) error {
						if name == "dispatcher/"+at {
							skipped.Store(int64(time.Hour))
						}
						return nil
					})
				})
				s := w.span("a")
				w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, s)
				old := w.session("n1")
				w.eventually("a new session", func() bool { return w.session("n1") > old })
				if got := w.record("a"); got.Mod != s.Mod {
					t.Errorf("committed: %+v", got)
				}
				want := []string(nil)
				if at != "placement/claim/after" {
					want = []string{"open", "opened", "aborted"}
				}
				equal(t, "events", want, p.sink.trace("a"))
			})
		})
	}
}

// A session that could not be ended in etcd, because that failed just then, does not keep its own process waiting.
func TestTakesTheNameBackFromItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1", func(c *dispatcher.Config) { c.TTL = 30 * time.Second })
		old := w.session("n1")
		p.etcd.Inject(func(c etcdtest.Call) etcdtest.Fault {
			if c.Method == "LeaseRevoke" && c.N == 1 {
				return etcdtest.Fault{Delay: time.Hour}
			}
			return etcdtest.Fault{}
		})
		start := time.Now()
		w.put(w.layout.NodeConfig("n1"), record.EncodeNodeConfig(record.NodeConfig{Evicted: old}))
		w.eventually("a new session", func() bool { return w.session("n1") > old })
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("took %v", d)
		}
	})
}
