package maintainer

import (
	"context"
	"fmt"
	"testing"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
)

func (w *world) evict(at, node, request string) (*controlv1.Node, error) {
	w.t.Helper()
	resp, err := w.ask(at).EvictNode(w.t.Context(), &controlv1.EvictNodeRequest{Cluster: "test", Name: node, RequestId: request})
	return resp.GetNode(), err
}

func (w *world) nodeConfig(name string) record.NodeConfig {
	w.t.Helper()
	resp := w.get(w.layout.NodeConfig(name))
	if len(resp.Kvs) == 0 {
		return record.NodeConfig{}
	}
	c, err := record.DecodeNodeConfig(resp.Kvs[0].Value)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// A node that is evicted may act until a TTL after that, and nothing of it runs elsewhere before.
func TestAnEvictedNodeIsReplacedOnceItMayActNoMore(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.settled(4, "n1", "n2")
		n := w.nodes[0]
		n.dead = true // as far as its spans are concerned: it renews as long as it can
		defer n.cancel()
		session := n.session
		got, err := w.evict("m1", "n1", "e1")
		if err != nil || got.GetName() != "n1" || got.GetState() != nodeGone {
			t.Fatalf("%v %v", got, err)
		}
		if took := w.owned("ks", 4, time.Minute); took < nodeTTL-100*time.Millisecond || took > nodeTTL+time.Second {
			t.Errorf("reassigned after %v; it may have acted for %v", took, nodeTTL)
		}
		if c := w.nodeConfig("n1"); c.Evicted != session {
			t.Errorf("evicted %d, its session was %d", c.Evicted, session)
		}
		if s := m.Stats(); s.Evictions == 0 {
			t.Error("no lease was revoked")
		}
		// A new session is as good as any other.
		n.cancel()
		back := w.node("n1")
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		refs := w.keyspace("new", 8)
		w.owned("new", 8, 10*time.Second)
		if c := w.owners("new")["n1"]; c == 0 || back.session == session {
			t.Errorf("%d of %d spans on the new session %d", c, len(refs), back.session)
		}
	})
}

// A node without a stream renews its lease unheard. Its declared moment has long passed, which proves nothing: it is not an
// expiry if it is evicted then.
func TestAnEvictionIsNotTakenForAnExpiry(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(2, "n1", "n2")
		n := w.nodes[0]
		n.silence(true)
		time.Sleep(nodeTTL + time.Second)
		n.dead = true
		defer n.cancel()
		began := time.Now()
		if _, err := w.evict("m1", "n1", ""); err != nil {
			t.Fatal(err)
		}
		w.owned("ks", 2, time.Minute)
		if took := time.Since(began); took < nodeTTL {
			t.Errorf("reassigned %v after the eviction; it had renewed a moment before, for %v", took, nodeTTL)
		}
	})
}

func TestWhatCannotBeEvicted(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(1, "n1", "n2")
		w.nodes[1].kill()
		w.put(w.layout.NodeConfig("n2"), record.EncodeNodeConfig(record.NodeConfig{Cordoned: true}))
		w.eventually("gone", 20*time.Second, func() string {
			if len(w.get(w.layout.Node("n2")).Kvs) > 0 {
				return "there"
			}
			return ""
		})
		for name, want := range map[string]fault.Reason{"n2": fault.UnknownNode, "n9": fault.UnknownNode, "N/": fault.InvalidName} {
			if _, err := w.evict("m1", name, ""); !fault.Is(err, want) {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
		}
		if c := w.nodeConfig("n2"); !c.Cordoned || c.Evicted != 0 {
			t.Errorf("%+v", c)
		}
	})
}

// The leader dies between the record and the end of the lease: the next one finds the record.
func TestTheNextLeaderEndsAnEvictedSession(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.settled(4, "n1", "n2")
		b := w.maintainer("m2")
		time.Sleep(2 * time.Second)
		fired := false
		m.at(func(name string) error {
			if name == "maintainer/evict/revoke/before" {
				fired = true
				m.kill(false)
				return errKilled
			}
			return nil
		})
		w.nodes[0].dead = true
		defer w.nodes[0].cancel()
		began := time.Now()
		_, err := w.evict("m2", "n1", "e1") // forwarded; whoever leads afterwards answers
		if err != nil {
			t.Fatal(err)
		}
		w.leads(b, 10*time.Second)
		if !fired {
			t.Fatal("the leader was not killed in between")
		}
		w.owned("ks", 4, time.Minute)
		if took := time.Since(began); took < nodeTTL || len(w.get(w.layout.Node("n1")).Kvs) > 0 {
			t.Errorf("reassigned after %v", took)
		}
	})
}

// The same request at another leader neither evicts the next session nor anything else; another one under its id is a
// conflict; and the record forgets the oldest ids only.
func TestAnEvictionIsCarriedOutOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.settled(1, "n1", "n2")
		b := w.maintainer("m2")
		n1 := w.nodes[0]
		n1.dead = true
		if _, err := w.evict("m1", "n1", "e1"); err != nil {
			t.Fatal(err)
		}
		n1.cancel()
		time.Sleep(time.Second)
		back := w.node("n1")
		m.quit()
		w.leads(b, 5*time.Second)
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(b) })
		got, err := w.evict("m2", "n1", "e1")
		if err != nil || got.GetSession() != back.session {
			t.Errorf("%v %v", got, err)
		}
		time.Sleep(2 * time.Second)
		if len(w.get(w.layout.Node("n1")).Kvs) == 0 {
			t.Error("the session that came after it was evicted")
		}
		if _, err := w.evict("m2", "n2", "e1"); !fault.Is(err, fault.RequestConflict) {
			t.Errorf("%v", err)
		}
		c := w.nodeConfig("n1")
		if len(c.Requests) != 1 || c.Evicted != n1.session {
			t.Errorf("%+v", c)
		}
		c.Evicted, c.Requests = 0, nil
		for i := range keptNodeRequests {
			c.Requests = append(c.Requests, record.Request{ID: fmt.Sprint("r", i), Body: []byte{1}, At: time.Now()})
		}
		w.put(w.layout.NodeConfig("n1"), record.EncodeNodeConfig(c))
		if _, err := w.evict("m2", "n1", "e2"); err != nil {
			t.Fatal(err)
		}
		if c := w.nodeConfig("n1"); len(c.Requests) != keptNodeRequests || c.Requests[keptNodeRequests-1].ID != "e2" || c.Requests[0].ID != "r1" {
			t.Errorf("%d requests, from %s", len(c.Requests), c.Requests[0].ID)
		}
	})
}

// What is configured about a node stays when it is evicted, and three evicted at once are no accident that one waits out.
func TestEvictingManyIsNoMassLoss(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.settled(8, "n1", "n2", "n3", "n4")
		w.put(w.layout.NodeConfig("n1"), record.EncodeNodeConfig(record.NodeConfig{Cordoned: true, Weight: 2}))
		for i, n := range w.nodes[:3] {
			n.dead = true
			defer n.cancel()
			if _, err := w.evict("m1", n.name, ""); err != nil {
				t.Fatal(i, err)
			}
		}
		if took := w.owned("ks", 8, time.Minute); took > nodeTTL+time.Second {
			t.Errorf("reassigned after %v", took)
		}
		if m.complains("mass_loss") {
			t.Error("held as a mass loss")
		}
		if c := w.nodeConfig("n1"); !c.Cordoned || c.Weight != 2 {
			t.Errorf("%+v", c)
		}
	})
}

// An opening that ignores that it is to be given up is stuck, until the node is evicted. It is opened elsewhere, and not
// before the node may act no more.
func TestAnOpeningThatDoesNotEndIsStuckUntilTheNodeIsEvicted(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		n1 := w.nodes[0]
		n1.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if a.GetAction() == sessionv1.Ask_ACTION_OPEN {
				return n1.claimOnly(a)
			}
			return sessionv1.StageResult_RESULT_UNSPECIFIED
		})
		r := w.keyspace("ks", 1)[0]
		claim := w.claimed(r)
		w.node("n2")
		w.eventually("stuck", 20*time.Second, func() string {
			if s := w.shown(r); s.GetState() != stateStuck {
				return s.String()
			}
			return ""
		})
		if p := w.problem(stateStuck, r); p == nil || p.GetNode() != "n1" {
			t.Errorf("problem %v", p)
		}
		n1.mu.Lock()
		last := n1.openings[r][len(n1.openings[r])-1]
		n1.mu.Unlock()
		if last.GetAction() != sessionv1.Ask_ACTION_ABORT || last.GetMembers()[0].GetClaim() != claim || m.Stats().Aborts < 2 {
			t.Errorf("%d aborts, the last one %v", m.Stats().Aborts, last)
		}
		n1.dead = true
		defer n1.cancel()
		began := time.Now()
		if _, err := w.evict("m1", "n1", ""); err != nil {
			t.Fatal(err)
		}
		w.owned("ks", 1, time.Minute)
		if took := time.Since(began); took < nodeTTL || took > nodeTTL+time.Second {
			t.Errorf("opened elsewhere %v after the eviction", took)
		}
		w.eventually("no longer stuck", time.Second, func() string {
			if p := w.problem(stateStuck, r); p != nil {
				return p.String()
			}
			return ""
		})
	})
}

// Two leaders may both revoke; a lease that is gone is as good as revoked.
func TestALeaseThatIsGoneCountsAsRevoked(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.settled(1, "n1")
		if err := m.revokeEvicted(context.Background(), 12345); err != nil {
			t.Error(err)
		}
	})
}
