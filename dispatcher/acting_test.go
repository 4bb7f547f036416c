package dispatcher_test

import (
	"testing"
	"testing/synctest"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/etcdtest"
)

// Somebody deletes the node key while the commit of an opening is on its way. Whoever reads etcd from then on takes the
// session for over, so it must not become an owner any more.
func TestNothingLandsWithoutTheNodeKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		s := w.span("a")
		old, sent := w.session("n1"), 0
		p.etcd.Inject(func(c etcdtest.Call) etcdtest.Fault {
			if r, ok := c.Request.(*pb.TxnRequest); ok && len(r.Success) > 0 {
				if sent++; sent == 2 { // the claim was the first
					_, err := w.etcd.Client().Delete(t.Context(), w.layout.Node("n1"))
					return etcdtest.Fault{Err: err}
				}
			}
			return etcdtest.Fault{}
		})
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, s)
		w.eventually("a new session", func() bool { return w.session("n1") > old })
		if o := w.record("a").Owner; !o.Nobody() {
			t.Errorf("owned by session %d of %s, which was over", o.Session, o.Node)
		}
		equal(t, "events", []string{"open", "opened", "aborted"}, p.sink.trace("a"))
	})
}
