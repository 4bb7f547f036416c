package maintainer

import (
	"context"
	"testing"
	"time"

	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

// accept puts an operator's intent into a span record, as the control API does.
func (w *world) accept(r operator.Ref, i record.Intent) {
	w.t.Helper()
	s := w.span(r)
	i.From, i.Spans, i.By, i.CreatedAt = s.Owner.Node, []string{string(r.ID)}, record.ByUser, time.Now()
	res, err := etcdx.Run(context.Background(), w.etcd.Client(), 0, txn.Batch{Parts: []txn.Part{operator.Accept(w.layout, []operator.Span{s}, &i)}})
	if err != nil || res[0].Outcome != txn.Done {
		w.t.Fatalf("accept: %+v %v", res, err)
	}
}

// outcome waits until an operator has ended.
func (w *world) outcome(keyspace, id string, within time.Duration) record.History {
	w.t.Helper()
	var h record.History
	w.eventually(id+" ends", within, func() string {
		r := w.get(w.layout.History(keyspace, id))
		if len(r.Kvs) == 0 {
			return "in flight"
		}
		var err error
		if h, err = record.DecodeHistory(r.Kvs[0].Value); err != nil {
			w.t.Fatal(err)
		}
		return ""
	})
	return h
}

func TestAMoveGoesToItsTarget(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.settled(6, "n1", "n2", "n3")
		from := w.span(refs[0]).Owner.Node
		to := w.other(refs[0]).name
		// Cordoned after it was accepted: it goes on.
		w.put(w.layout.NodeConfig(to), record.EncodeNodeConfig(record.NodeConfig{Cordoned: true}))
		asks := m.Stats().Asks
		w.accept(refs[0], record.Intent{Operator: "1-7", Kind: record.KindMove, To: to})
		h := w.outcome("ks", "1-7", 2*time.Second)
		if got := w.span(refs[0]).Owner.Node; got != to || h.Outcome != record.OutcomeDone {
			t.Errorf("moved from %s to %s, not %s: %+v", from, got, to, h)
		}
		time.Sleep(3 * time.Second)
		if n := m.Stats().Asks - asks; n != 2 {
			t.Errorf("%d asks for one move", n)
		}
	})
}

func TestARemoveOfAnOwnedSpan(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(2, "n1")
		w.accept(refs[0], record.Intent{Operator: "1-8", Kind: record.KindRemove})
		if h := w.outcome("ks", "1-8", 2*time.Second); h.Outcome != record.OutcomeDone {
			t.Errorf("%+v", h)
		}
		if len(w.get(w.layout.Span("ks", refs[0].ID)).Kvs) != 0 {
			t.Error("the record is still there")
		}
	})
}

// A span whose owner is gone is opened once more before it is removed, to fence its sink.
func TestARemoveOfALostSpanOpensItFirst(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(2, "n1", "n2")
		r := refs[0]
		w.owner(r).kill()
		w.accept(r, record.Intent{Operator: "1-9", Kind: record.KindRemove})
		w.outcome("ks", "1-9", time.Minute)
		if n := len(w.openings(r)); n != 3 {
			t.Errorf("%d asks: want one for the first opening, one for the fence, one to close", n)
		}
	})
}

func TestAMoveToANodeThatIsGoneFails(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(2, "n1", "n2")
		owner := w.owner(refs[0])
		w.accept(refs[0], record.Intent{Operator: "1-7", Kind: record.KindMove, To: "n9"})
		h := w.outcome("ks", "1-7", 2*time.Second)
		if h.Outcome != record.OutcomeFailed || h.Error == "" || w.span(refs[0]).Owner.Node != owner.name {
			t.Errorf("%+v", h)
		}
	})
}

func TestATargetThatDiesAfterTheHandOff(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(3, "n1", "n2", "n3")
		from, to := w.owner(refs[0]), w.other(refs[0])
		to.silence(true)
		time.Sleep(100 * time.Millisecond)
		w.accept(refs[0], record.Intent{Operator: "1-7", Kind: record.KindMove, To: to.name})
		w.eventually("handed off", 2*time.Second, func() string {
			if w.span(refs[0]).Owner.Node == from.name {
				return "still owned"
			}
			return ""
		})
		to.kill()
		h := w.outcome("ks", "1-7", time.Minute)
		if h.Outcome != record.OutcomeFailed || w.span(refs[0]).Owner.Node == to.name {
			t.Errorf("%+v", h)
		}
	})
}

// A claim that has outlived its session is deleted by the leader, by comparing it and the absence of the session.
func TestAnOrphanClaimIsDropped(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(2, "n1")
		key := w.layout.Operator("ks", refs[0].ID)
		w.put(key, record.EncodeClaim(record.Claim{
			Stage: record.StageClosing, Node: "n7", Session: 5, At: time.Now(), By: record.ByUser, Operator: "1-3", Kind: record.KindMove,
		}))
		w.eventually("the claim is gone", 2*time.Second, func() string {
			if len(w.get(key).Kvs) != 0 {
				return "still there"
			}
			return ""
		})
		// That of a session that is there is left alone.
		n := w.nodes[0]
		w.put(key, record.EncodeClaim(record.Claim{
			Stage: record.StageClosing, Node: "n1", Session: n.session, At: time.Now(), By: record.ByUser, Operator: "1-3", Kind: record.KindMove,
		}))
		time.Sleep(5 * time.Second)
		if len(w.get(key).Kvs) != 1 {
			t.Error("the claim of a living session was deleted")
		}
	})
}

func TestAPausedKeyspaceIsNotOpened(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.settled(2, "n1", "n2")
		r := w.get(w.layout.Keyspace("ks"))
		ks, err := record.DecodeKeyspace(r.Kvs[0].Value)
		if err != nil {
			t.Fatal(err)
		}
		ks.State = record.KeyspacePaused
		lost := w.owner(refs[0])
		lost.kill()
		w.put(w.layout.Keyspace("ks"), record.EncodeKeyspace(ks))
		time.Sleep(20 * time.Second)
		if got := w.span(refs[0]).Owner.Node; got != lost.name {
			t.Errorf("opened on %q", got)
		}
		if k := m.current().known.span(refs[0]); k.waiting != "the keyspace is not running" {
			t.Errorf("waiting for %q", k.waiting)
		}
		ks.State = record.KeyspaceRunning
		w.put(w.layout.Keyspace("ks"), record.EncodeKeyspace(ks))
		w.owned("ks", 2, time.Second)
	})
}

func TestSpansWaitVisiblyForANode(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		refs := w.keyspace("ks", 1)
		time.Sleep(time.Second)
		if k := m.current().known.span(refs[0]); k.waiting != "no node is registered" {
			t.Errorf("waiting for %q", k.waiting)
		}
		w.node("n1")
		w.owned("ks", 1, 200*time.Millisecond)
		if k := m.current().known.span(refs[0]); k.waiting != "" {
			t.Errorf("still waiting for %q", k.waiting)
		}
	})
}

func TestNodesAreNotAskedForMoreThanTheyCanAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", func(c *Config) { c.InFlight = 20 })
		w.leads(m, 5*time.Second)
		n := w.node("n1")
		n.etcd.Inject(func(c etcdtest.Call) etcdtest.Fault {
			if c.Method == "Txn" {
				return etcdtest.Fault{Delay: 50 * time.Millisecond}
			}
			return etcdtest.Fault{}
		})
		w.keyspace("ks", 200)
		time.Sleep(40 * time.Millisecond)
		if got := m.Stats().Asks; got > 20 {
			t.Errorf("%d asks at once", got)
		}
		w.owned("ks", 200, 10*time.Second)
	})
}
