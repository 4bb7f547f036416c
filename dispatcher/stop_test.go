package dispatcher_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

func leaseOf(id int64) clientv3.LeaseID { return clientv3.LeaseID(id) }

// nodeRecords are all values that a node key has had, newest last.
func (w *world) nodeRecords(name string, since int64) (out []record.Node) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for r := range w.etcd.Client().Watch(ctx, w.layout.Node(name), clientv3.WithRev(since)) {
		for _, ev := range r.Events {
			if ev.Type == clientv3.EventTypeDelete {
				return out
			}
			n, err := record.DecodeNode(ev.Kv.Value)
			if err != nil {
				w.t.Fatal(err)
			}
			out = append(out, n)
		}
	}
	w.t.Fatalf("the key of %s does not go", name)
	return out
}

func TestCleanStopHandsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		p.sink.position = record.At(12)
		for i := range 200 {
			w.span(span.ID(fmt.Sprintf("s%03d", i)))
			w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, w.record(span.ID(fmt.Sprintf("s%03d", i))))
		}
		w.eventually("all run", func() bool { return p.Stats().Running == 200 })
		// A span that the leader has changed meanwhile is handed back with the change.
		w.accept("s007", record.KindMove, "n2")
		session, batches := w.session("n1"), p.Stats().Batches
		start := time.Now()
		p.stop()
		<-p.done
		if p.err != nil {
			t.Fatal(p.err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("took %v", d)
		}
		if n := p.Stats().Batches - batches; n > 10 {
			t.Errorf("%d transactions", n)
		}
		for i := range 200 {
			id := span.ID(fmt.Sprintf("s%03d", i))
			if s := w.record(id); !s.Owner.Nobody() || s.Checkpoint != record.At(12) || s.LastNode != "n1" {
				t.Fatalf("%s: %+v", id, s)
			}
		}
		if s := w.record("s007"); s.Intent == nil || s.Intent.HandedOff {
			t.Errorf("the move was lost: %+v", s.Intent)
		}
		nodes := w.nodeRecords("n1", session)
		if last := nodes[len(nodes)-1]; last.Ended != record.EndedClean {
			t.Errorf("the node's last words: %+v", last)
		}
		if r, err := w.etcd.Client().Leases(t.Context()); err != nil || len(r.Leases) != 0 {
			t.Errorf("leases left: %v, %v", r, err)
		}
	})
}

// What does not close in time is aborted, and nobody is told that the end was clean.
func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1", func(c *dispatcher.Config) { c.StopTimeout = 3 * time.Second })
		for _, id := range []span.ID{"a", "b"} {
			w.span(id)
			w.open("n1", id)
		}
		p.sink.hold(p.sink.holdClose, "a")
		session, start := w.session("n1"), time.Now()
		p.stop()
		<-p.done
		if d := time.Since(start); p.err == nil || d < 3*time.Second || d > 3500*time.Millisecond {
			t.Errorf("after %v: %v", d, p.err)
		}
		equal(t, "a", []string{"open", "opened", "close", "aborted"}, p.sink.trace("a"))
		equal(t, "b", []string{"open", "opened", "close", "closed"}, p.sink.trace("b"))
		if a, b := w.record("a"), w.record("b"); a.Owner.Session != session || !b.Owner.Nobody() {
			t.Errorf("a %+v, b %+v", a.Owner, b.Owner)
		}
		for _, n := range w.nodeRecords("n1", session) {
			if n.Ended != record.EndedNot {
				t.Errorf("marked as %v", n.Ended)
			}
		}
	})
}

// A stop in the middle of an opening, a closing and a claim finishes or gives up each of them.
func TestStopAmidSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		for _, id := range []span.ID{"closing", "running"} {
			w.span(id)
			w.open("n1", id)
		}
		release := p.sink.hold(p.sink.holdClose, "closing")
		w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, w.accept("closing", record.KindRemove, ""))
		p.sink.hold(p.sink.holdOpen, "opening")
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, w.span("opening"))
		w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, w.span("elsewhere")) // refused, and nothing is left of it
		w.eventually("both under way", func() bool {
			return len(p.sink.trace("closing")) == 3 && len(p.sink.trace("opening")) == 1
		})
		p.stop()
		time.Sleep(time.Second)
		release()
		<-p.done
		if p.err != nil {
			t.Fatal(p.err)
		}
		if w.record("closing").Mod != 0 || !w.record("running").Owner.Nobody() || !w.record("opening").Owner.Nobody() {
			t.Errorf("closing %+v, running %+v, opening %+v", w.record("closing"), w.record("running"), w.record("opening"))
		}
		for _, id := range []span.ID{"closing", "running", "opening"} {
			if c := w.claim(id); c != nil {
				t.Errorf("claim of %s left: %+v", id, c)
			}
		}
	})
}

// Without etcd nothing can be handed back: all is closed or aborted, Run returns in time, and says that it was not clean.
func TestStopWithoutEtcd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.span("a")
		w.open("n1", "a")
		p.etcd.Pause()
		start := time.Now()
		p.stop()
		<-p.done
		if d := time.Since(start); p.err == nil || d > 15*time.Second {
			t.Errorf("after %v: %v", d, p.err)
		}
		equal(t, "a", []string{"open", "opened", "close", "closed"}, p.sink.trace("a"))
	})
}
