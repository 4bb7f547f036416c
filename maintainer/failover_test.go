package maintainer

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
)

// settled is a world with a leader, nodes and a keyspace that they own.
func (w *world) settled(spans int, nodes ...string) (*proc, []operator.Ref) {
	w.t.Helper()
	m := w.maintainer("m1")
	w.leads(m, 5*time.Second)
	for _, name := range nodes {
		w.node(name)
	}
	w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
	refs := w.keyspace("ks", spans)
	w.owned("ks", spans, 30*time.Second)
	return m, refs
}

func (w *world) unregistered(m *proc) string {
	t := m.current()
	if t == nil {
		return "no leader"
	}
	for _, n := range w.nodes {
		if !n.dead && !t.known.node(n.session).connected {
			return n.name + " is not connected"
		}
	}
	return ""
}

func TestALostNodeIsReplacedAsSoonAsItsLeaseExpires(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(30, "n1", "n2", "n3")
		w.nodes[0].kill()
		took := w.owned("ks", 30, time.Minute)
		if took > nodeTTL+1500*time.Millisecond {
			t.Errorf("took %v, with a session TTL of %v", took, nodeTTL)
		}
		for _, n := range w.nodes[1:] {
			if c := w.owners("ks")[n.name]; c != 15 {
				t.Errorf("%s has %d of 30", n.name, c)
			}
		}
	})
}

// A lease revoked by hand ends the session under a process that may still act.
func TestARevokedSessionIsWaitedFor(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(4, "n1", "n2")
		n := w.nodes[0]
		time.Sleep(2 * time.Second)
		n.dead = true
		n.cancel()
		if _, err := w.etcd.Client().Revoke(context.Background(), n.lease); err != nil {
			t.Fatal(err)
		}
		if took := w.owned("ks", 4, time.Minute); took < nodeTTL || took > nodeTTL+time.Second {
			t.Errorf("reassigned after %v; it may have acted for %v", took, nodeTTL)
		}
	})
}

// A session that says that it has ended leaves nothing to wait for.
func TestACleanEndIsNotWaitedFor(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(4, "n1", "n2")
		n := w.nodes[0]
		n.dead = true
		n.cancel()
		rec, err := record.DecodeNode(w.get(w.layout.Node("n1")).Kvs[0].Value)
		if err != nil {
			t.Fatal(err)
		}
		rec.Ended = record.EndedDead
		if _, err := n.etcd.Client().Put(context.Background(), w.layout.Node("n1"), string(record.EncodeNode(rec)), withLease(n)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.etcd.Client().Revoke(context.Background(), n.lease); err != nil {
			t.Fatal(err)
		}
		if took := w.owned("ks", 4, time.Minute); took > time.Second {
			t.Errorf("reassigned after %v", took)
		}
	})
}

// The claim of an opener vanishes with its session, but the opening may have begun.
func TestAnOpenerThatVanishedIsWaitedFor(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		stuck := func(n *node) { n.answer = n.claimOnly }
		w.node("n1", stuck)
		refs := w.keyspace("ks", 1)
		w.eventually("the span is claimed", 5*time.Second, func() string {
			if len(w.get(w.layout.Operator("ks", refs[0].ID)).Kvs) == 0 {
				return "no claim"
			}
			return ""
		})
		w.node("n2")
		n := w.nodes[0]
		n.dead = true
		n.cancel()
		time.Sleep(time.Second)
		if _, err := w.etcd.Client().Revoke(context.Background(), n.lease); err != nil {
			t.Fatal(err)
		}
		if took := w.owned("ks", 1, time.Minute); took < nodeTTL-time.Second {
			t.Errorf("opened elsewhere after %v", took)
		}
	})
}

func TestTheNextLeaderCarriesOn(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.maintainer("m1")
		w.leads(a, 5*time.Second)
		b := w.maintainer("m2")
		for i := range 4 {
			w.node(fmt.Sprintf("n%d", i))
		}
		time.Sleep(2 * time.Second)
		var hits atomic.Int64
		a.at(func(name string) error {
			if name != "maintainer/placement/ask/before" {
				return nil
			}
			switch n := hits.Add(1); {
			case n == 6:
				a.kill(false)
				return errKilled
			case n > 6:
				return errKilled
			}
			return nil
		})
		refs := w.keyspace("ks", 1500)
		w.owned("ks", 1500, 30*time.Second)
		if hits.Load() < 6 {
			t.Fatalf("the leader was not killed: %d asks", hits.Load())
		}
		w.leads(b, time.Second)
		for name, c := range w.owners("ks") {
			if c < 300 || c > 450 {
				t.Errorf("%s has %d of 1500 over 4", name, c)
			}
		}
		// Nothing that was placed by the first leader was opened again by the second.
		for _, r := range refs {
			if s := w.span(r); len(w.openings(r)) > 2 {
				t.Errorf("%s was asked for %d times, now on %s", r.ID, len(w.openings(r)), s.Owner.Node)
			}
		}
	})
}

func (w *world) openings(r operator.Ref) []*sessionv1.Ask {
	var all []*sessionv1.Ask
	for _, n := range w.nodes {
		n.mu.Lock()
		all = append(all, n.openings[r]...)
		n.mu.Unlock()
	}
	return all
}

func TestManyNodesLostAtOnceAreWaitedFor(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.settled(40, "n1", "n2", "n3", "n4")
		before := map[operator.Ref]string{}
		for _, r := range refs {
			before[r] = w.span(r).Owner.Node
		}
		for _, n := range w.nodes[:3] {
			n.dead = true
			n.cancel()
			if _, err := w.etcd.Client().Revoke(context.Background(), n.lease); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(nodeTTL + time.Second) // their right to act is over
		if c := w.owners("ks")["n4"]; c != 10 {
			t.Errorf("the survivor has %d spans, before the others had their time to come back", c)
		}
		if !m.complains("mass_loss") {
			t.Error("the hold is not shown")
		}
		// A new keyspace is not held.
		w.keyspace("new", 3)
		w.eventually("the new keyspace runs", 2*time.Second, func() string {
			if c := w.owners("new")["n4"]; c != 3 {
				return fmt.Sprint(c)
			}
			return ""
		})
		for _, name := range []string{"n1", "n2", "n3"} {
			w.node(name)
		}
		w.owned("ks", 40, 3*time.Second)
		for _, r := range refs {
			if s := w.span(r); s.Owner.Node != before[r] {
				t.Errorf("%s was on %s and is on %s", r.ID, before[r], s.Owner.Node)
			}
		}
		w.eventually("the hold is over", time.Second, func() string {
			if m.complains("mass_loss") {
				return "still shown"
			}
			return ""
		})
	})
}

func (p *proc) complains(kind string) bool {
	t := p.current()
	if t == nil {
		return false
	}
	t.known.mu.RLock()
	defer t.known.mu.RUnlock()
	for _, pr := range t.known.problems {
		if pr.kind == kind {
			return true
		}
	}
	return false
}

// A process that has only just started does not know whose claims have vanished before.
func TestANewProcessWaitsForOpenersThatItCannotKnow(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("n1")
		w.keyspace("ks", 1)
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		w.keyspace("new", 1)
		w.owned("new", 1, time.Second)
		if got := w.owners("ks")["n1"]; got != 0 {
			t.Error("opened at once; somebody may have been opening it until a moment ago")
		}
		w.owned("ks", 1, 6*time.Second)
	})
}
