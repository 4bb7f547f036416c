package dispatcher_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/record"
)

// loseNext makes the answer of the next transaction of the process that changes a span be lost. Reading and
// registering go through.
func loseNext(p *process) (lost *atomic.Int64) {
	lost = &atomic.Int64{}
	p.etcd.Inject(func(c etcdtest.Call) etcdtest.Fault {
		r, ok := c.Request.(*pb.TxnRequest)
		if ok && len(r.Compare) > 0 && lost.Add(1) == 1 {
			return etcdtest.Fault{Lose: true}
		}
		return etcdtest.Fault{}
	})
	return lost
}

// The answer of each transaction of a move and of a remove is lost in turn. The span ends up as if nothing had
// happened, and the workload is called once.
func TestLostAnswersAreSettled(t *testing.T) {
	t.Run("claim", func(t *testing.T) { placementWithLoss(t, func(p *process) { loseNext(p) }) })
	t.Run("commit", func(t *testing.T) {
		placementWithLoss(t, func(p *process) {
			release := p.sink.hold(p.sink.holdOpen, "a")
			go func() {
				for len(p.sink.trace("a")) == 0 {
					time.Sleep(time.Millisecond)
				}
				loseNext(p)
				release()
			}()
		})
	})
	for _, kind := range []record.Kind{record.KindMove, record.KindRemove} {
		for _, step := range []string{"claim", "end"} {
			t.Run(fmt.Sprintf("%s/%s", record.KindName(kind), step), func(t *testing.T) { closingWithLoss(t, kind, step) })
		}
	}
}

func placementWithLoss(t *testing.T, prepare func(*process)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.span("a")
		prepare(p)
		got := w.open("n1", "a")
		w.eventually("told", func() bool { return w.leader.lastResult("n1", "a").GetResult() == done })
		equal(t, "events", []string{"open", "opened"}, p.sink.trace("a"))
		if got.Owner.Token != p.sink.tasks[0].Token || w.claim("a") != nil {
			t.Errorf("record %+v, task %+v, claim %v", got, p.sink.tasks[0], w.claim("a"))
		}
	})
}

func closingWithLoss(t *testing.T, kind record.Kind, step string) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.span("a")
		w.open("n1", "a")
		release := p.sink.hold(p.sink.holdClose, "a")
		s := w.accept("a", kind, "n2")
		if step == "claim" {
			loseNext(p)
		}
		w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, s)
		w.eventually("closing", func() bool { return len(p.sink.trace("a")) == 3 })
		if step == "end" {
			loseNext(p)
		}
		release()
		w.eventually("told", func() bool { return w.leader.lastResult("n1", "a").GetResult() == done })
		equal(t, "events", []string{"open", "opened", "close", "closed"}, p.sink.trace("a"))
		got, _ := w.history("9-a")
		switch {
		case w.claim("a") != nil:
			t.Errorf("claim left: %+v", w.claim("a"))
		case kind == record.KindMove && !w.record("a").Intent.HandedOff:
			t.Errorf("not handed off: %+v", w.record("a"))
		case kind == record.KindRemove && (w.record("a").Mod != 0 || got.Outcome != record.OutcomeDone):
			t.Errorf("not removed: %+v, %+v", w.record("a"), got)
		}
	})
}

// A claim whose answer is lost is found again although the term that asked for it is over by then.
func TestLostClaimOfAnEndedTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		s := w.span("a")
		p.etcd.Inject(func(c etcdtest.Call) etcdtest.Fault {
			if r, ok := c.Request.(*pb.TxnRequest); ok && len(r.Compare) > 0 {
				w.lead()
				p.etcd.Inject(nil)
				return etcdtest.Fault{}
			}
			return etcdtest.Fault{}
		})
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, s)
		w.eventually("refused under the old term", func() bool { return w.leader.lastResult("n1", "a").GetResult() == refused })
		w.eventually("the stream is back", func() bool { return w.leader.node("n1").fulls == 2 })

		sent := 0
		p.etcd.Inject(func(c etcdtest.Call) etcdtest.Fault {
			if r, ok := c.Request.(*pb.TxnRequest); ok && len(r.Compare) > 0 {
				switch sent++; sent {
				case 1:
					return etcdtest.Fault{Lose: true}
				case 2:
					w.lead()
				}
			}
			return etcdtest.Fault{}
		})
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, s)
		w.eventually("runs", func() bool { return w.record("a").Owner.Node == "n1" })
		if w.claim("a") != nil {
			t.Errorf("claim left: %+v", w.claim("a"))
		}
	})
}
