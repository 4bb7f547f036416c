package dispatcher_test

import (
	"sync"
	"testing"
	"testing/synctest"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/record"
)

// Whoever reads etcd after a node key has gone takes its session for over. So whatever a dispatcher writes about spans
// compares the key that made its session, whether it has heard that it is gone or not; and claims compare the term.
func TestEverythingIsSentUnderTheNodeKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		node, leader := w.layout.Node("n1"), w.layout.Leader()
		session, term := w.session("n1"), w.term
		var mu sync.Mutex
		claims, others := 0, 0
		p.etcd.Inject(func(c etcdtest.Call) etcdtest.Fault {
			r, ok := c.Request.(*pb.TxnRequest)
			if !ok || len(r.Success) == 0 || r.Success[0].GetRequestTxn() == nil {
				return etcdtest.Fault{}
			}
			mu.Lock()
			defer mu.Unlock()
			under := map[string]int64{}
			for _, cmp := range r.Compare {
				under[string(cmp.Key)] = max(cmp.GetCreateRevision(), cmp.GetModRevision())
			}
			if under[node] != session {
				t.Errorf("sent under %v, without the node key", under)
			}
			if under[leader] == term {
				claims++
			} else {
				others++
			}
			return etcdtest.Fault{}
		})
		w.span("a")
		w.open("n1", "a")
		w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, w.accept("a", record.KindRemove, ""))
		w.eventually("removed", func() bool { return w.record("a").Mod == 0 })
		p.etcd.Inject(nil) // what a stop writes is about the node key itself
		mu.Lock()
		defer mu.Unlock()
		if claims != 2 || others != 2 { // opening, closing; commit, remove
			t.Errorf("%d transactions under the term and %d others", claims, others)
		}
	})
}
