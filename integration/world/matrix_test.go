package world

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/audit"
	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/failpoint"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// scenarios bring one operator each on its way.
var scenarios = []scenario{
	{name: "add", ask: askAdd, spans: 3, points: points("maintainer/add/", "maintainer/placement/ask", "dispatcher/placement/claim", "dispatcher/placement/open", "dispatcher/placement/commit", "dispatcher/placement/report")},
	{name: "move", ask: askMove, spans: 2, points: points("maintainer/move/accept", "maintainer/move/ask", "dispatcher/move/", "dispatcher/placement/claim", "dispatcher/placement/open", "dispatcher/placement/commit")},
	{name: "remove", ask: askRemove, spans: 1, points: points("maintainer/remove/", "dispatcher/remove/")},
	{name: "move to a ghost", ask: askGhost(record.ByUser), spans: 2, points: points("maintainer/any/fail")},
	{name: "open fails", ask: askFailing, spans: 3, points: points("dispatcher/placement/abort")},
	{name: "orphan", ask: askOrphan, spans: 2, points: points("maintainer/any/orphan")},
	{name: "keyspace", ask: askKeyspace, spans: 2, points: points("maintainer/keyspace/accept")},
	{name: "pause", ask: askPause, settled: (*World).notPaused, points: points("maintainer/keyspace/", "dispatcher/any/handback")},
	{name: "resume", before: askPause, ask: askResume, spans: 2, points: points("maintainer/keyspace/accept", "dispatcher/placement/claim", "dispatcher/placement/open", "dispatcher/placement/commit")},
	{name: "delete", ask: askDelete, settled: (*World).notDeleted, points: points("maintainer/keyspace/accept", "maintainer/keyspace/finish", "maintainer/remove/", "dispatcher/remove/")},
	{name: "restart", ask: askRestart, spans: 2, points: points("dispatcher/any/handback", "dispatcher/any/register", "dispatcher/any/report", "dispatcher/any/revoke/", "maintainer/any/progress")},
	{name: "resign", ask: askResign, spans: 2, points: points("maintainer/any/resign", "maintainer/any/campaign", "maintainer/any/register")},
}

// victims of a fault.
var victims = []struct {
	name string
	pick func(w *World, id string) func(hitter *Proc) []*Proc
}{
	{"hitter", func(*World, string) func(*Proc) []*Proc {
		return func(h *Proc) []*Proc { return []*Proc{h} }
	}},
	{"leader", func(w *World, _ string) func(*Proc) []*Proc {
		return func(*Proc) []*Proc { return alive(w.Leader()) }
	}},
	{"actor", func(w *World, id string) func(*Proc) []*Proc {
		return func(*Proc) []*Proc { return alive(w.actor(id)) }
	}},
	{"all maintainers", func(w *World, _ string) func(*Proc) []*Proc {
		return func(*Proc) []*Proc { return alive(w.Proc("m1"), w.Proc("m2")) }
	}},
	{"leader and actor", func(w *World, id string) func(*Proc) []*Proc {
		return func(*Proc) []*Proc { return alive(w.Leader(), w.actor(id)) }
	}},
}

func alive(ps ...*Proc) []*Proc {
	var out []*Proc
	for _, p := range ps {
		if p != nil {
			out = append(out, p)
		}
	}
	return out
}

// points are the failpoints that begin with one of the prefixes.
func points(prefixes ...string) []string {
	var out []string
	for _, n := range failpoint.Names() {
		for _, p := range prefixes {
			if len(n) >= len(p) && n[:len(p)] == p {
				out = append(out, n)
			}
		}
	}
	return out
}

// Whoever dies, before or after every transaction and message of every operator: the fault has really happened, what
// was asked for is done exactly once, everything runs again, and etcd's whole history keeps the invariants.
//
// A sample of the cells runs unless SPANWARD_DEEP is set: each failpoint with the process that hits it and one of the others.
func TestEveryFault(t *testing.T) {
	for _, s := range slices.Concat(scenarios, operatorScenarios) {
		t.Run(s.name, func(t *testing.T) {
			for n, point := range s.points {
				for k, v := range victims {
					if os.Getenv("SPANWARD_DEEP") == "" && k > 0 && k != 1+n%(len(victims)-1) {
						continue
					}
					t.Run(point+" "+v.name, func(t *testing.T) {
						inBubble(t, func(w *World, spans []string) {
							if s.before != nil {
								if err := s.before(w, spans); err != nil {
									t.Fatal(err)
								}
							}
							fired := w.Arm(point, 1, v.pick(w, spans[0]))
							asked := make(chan error, 1)
							go func() { asked <- s.ask(w, spans) }()
							w.faultThenSettled(fired, asked, s.unsettled)
						})
					})
				}
			}
		})
	}
}

// Every transaction and message has a cell. Progress and what begins a term need nothing that a user asks for, and history
// is trimmed after days.
func TestEveryFailpointHasACell(t *testing.T) {
	covered := map[string]bool{}
	for _, s := range slices.Concat(scenarios, operatorScenarios) {
		for _, p := range s.points {
			covered[p] = true
		}
	}
	for _, p := range points("maintainer/any/cluster", "maintainer/any/trim") {
		covered[p] = true
	}
	for _, n := range failpoint.Names() {
		if !covered[n] {
			t.Errorf("no scenario passes %s", n)
		}
	}
}

// faultThenSettled waits for the fault, for the answer to the user, and for everything to be well again.
func (w *World) faultThenSettled(fired <-chan struct{}, asked <-chan error, unsettled func(w *World) string) {
	w.t.Helper()
	for name, c := range map[string]<-chan struct{}{"the failpoint": fired} {
		select {
		case <-c:
		case <-time.After(patience):
			w.t.Fatalf("%s was never hit", name)
		}
	}
	select {
	case err := <-asked:
		if err != nil {
			w.t.Fatalf("what was asked for failed: %v", err)
		}
	case <-time.After(2 * patience):
		w.t.Fatal("no answer to what was asked for")
	}
	w.Until("everything is well again", func() string { return unsettled(w) })
	w.audit()
}

// audit checks the sink, and etcd's history from its first revision.
func (w *World) audit() {
	w.t.Helper()
	if err := w.sink.err(); err != nil {
		w.t.Error(err)
	}
	audit.Check(w.t, w.etcd.Client(), w.layout)
}

// repeat does what a user does who gets no answer: the same request again.
func (w *World) repeat(ask func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(300 * time.Millisecond)
	}
}

func askAdd(w *World, _ []string) error {
	return w.repeat(func() error {
		ctx, cancel := w.ctx()
		defer cancel()
		_, err := w.Control().AddSpan(ctx, &controlv1.AddSpanRequest{
			RequestId: "r1", Keyspace: ks, Range: &controlv1.Range{Start: []byte("c"), End: []byte("d")},
		})
		return err
	})
}

// askMove wants the span anywhere else; if the target dies the move may fail, but it must end.
func askMove(w *World, spans []string) error {
	to := "d1"
	if w.owner(spans[0]) == to {
		to = "d2"
	}
	err := w.repeat(func() error {
		ctx, cancel := w.ctx()
		defer cancel()
		_, err := w.Control().MoveSpan(ctx, &controlv1.MoveSpanRequest{RequestId: "r1", Keyspace: ks, Span: spans[0], To: to})
		return err
	})
	if err != nil {
		return err
	}
	return w.ended("r1")
}

func askRemove(w *World, spans []string) error {
	err := w.repeat(func() error {
		ctx, cancel := w.ctx()
		defer cancel()
		_, err := w.Control().RemoveSpan(ctx, &controlv1.RemoveSpanRequest{RequestId: "r1", Keyspace: ks, Span: spans[0]})
		return err
	})
	if err != nil {
		return err
	}
	return w.ended("r1")
}

func askKeyspace(w *World, _ []string) error {
	if err := w.tryCreate("other", "a:b", "b:"); err != nil {
		return err
	}
	w.Until("the new keyspace runs", func() string { return w.unsettled("other", 2) })
	return nil
}

// askGhost puts a move to a node that was never there into the record, as a leader does whose target dies at once.
func askGhost(by record.By) func(*World, []string) error {
	return func(w *World, spans []string) error {
		ctx, cancel := w.ctx()
		defer cancel()
		c := w.etcd.Client()
		err := w.repeat(func() error {
			if w.outcomes(ks)["ghost"] != nil {
				return nil
			}
			leader, err := c.Get(ctx, w.layout.Leader())
			if err != nil || len(leader.Kvs) == 0 {
				return fmt.Errorf("no leader: %w", err)
			}
			rec, err := c.Get(ctx, w.layout.Span(ks, span.ID(spans[0])))
			if err != nil {
				return err
			}
			s, err := record.DecodeSpan(rec.Kvs[0].Value)
			if err != nil || s.Intent != nil {
				return err
			}
			at := operator.Span{Ref: operator.Ref{Keyspace: ks, ID: span.ID(spans[0])}, Span: s, Mod: rec.Kvs[0].ModRevision}
			i := &record.Intent{
				Operator: fmt.Sprintf("%d-9000", leader.Kvs[0].ModRevision), RequestID: "ghost", Kind: record.KindMove, By: by, From: s.Owner.Node, To: "ghost",
				Spans: []string{spans[0]}, CreatedAt: time.Now(),
			}
			res, err := etcdx.Run(ctx, c, 0, txn.Batch{
				Outer: []txn.Cmp{operator.Leading(w.layout, leader.Kvs[0].ModRevision)},
				Parts: []txn.Part{operator.Accept(w.layout, []operator.Span{at}, i)},
			})
			if err != nil || res[0].Outcome != txn.Done {
				return fmt.Errorf("not accepted: %w", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return w.ended("ghost")
	}
}

// askFailing adds a span whose first opening fails.
func askFailing(w *World, spans []string) error {
	w.sink.failNext(1)
	return askAdd(w, spans)
}

// askOrphan deletes the node key of a dispatcher that closes a span and cannot reach etcd for a moment, so that its
// claim outlives its session.
func askOrphan(w *World, spans []string) error {
	ctx, cancel := w.ctx()
	defer cancel()
	c := w.etcd.Client()
	claim, name := w.layout.Operator(ks, span.ID(spans[0])), w.owner(spans[0])
	now, err := c.Get(ctx, claim)
	if err != nil {
		return err
	}
	w.Proc(name).load.closeFor = time.Second // the node key goes before it has closed
	claims := c.Watch(ctx, claim, clientv3.WithRev(now.Header.Revision+1))
	moved := make(chan error, 1)
	go func() { moved <- askMove(w, spans) }()
	<-claims
	p := w.Proc(name)
	p.etcd.Pause()
	defer p.etcd.Resume()
	if _, err := c.Delete(ctx, w.layout.Node(name)); err != nil {
		return err
	}
	w.Until("the orphan is gone", func() string {
		if r, err := c.Get(ctx, claim); err != nil || len(r.Kvs) > 0 && r.Kvs[0].Lease != 0 && w.Proc(name) == p {
			return "the claim is there"
		}
		return ""
	})
	p.etcd.Resume()
	return <-moved
}

// askRestart stops every dispatcher cleanly, one after the other, and starts it again.
func askRestart(w *World, _ []string) error {
	time.Sleep(11 * time.Second) // progress is written every ten
	for _, name := range []string{"d1", "d2", "d3"} {
		p := w.Proc(name)
		if err := p.Stop(); err != nil && !p.isKilled() {
			return fmt.Errorf("%s: %w", name, err)
		}
		if !p.isKilled() {
			w.Dispatcher(name)
		}
		time.Sleep(2 * time.Second)
	}
	return nil
}

// askResign stops every maintainer cleanly, the leader first, and starts it again.
func askResign(w *World, _ []string) error {
	for range 2 {
		p := w.Leader()
		if p == nil {
			time.Sleep(ttl)
			continue
		}
		if err := p.Stop(); err != nil && !p.isKilled() {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if !p.isKilled() {
			w.Maintainer(p.name)
		}
		time.Sleep(2 * time.Second)
	}
	return nil
}

// ended waits until the operator of a request is in the history.
func (w *World) ended(request string) error {
	w.Until("the operator has ended", func() string {
		if w.outcomes(ks)[request] == nil {
			return request + " is not in the history"
		}
		return ""
	})
	return nil
}
