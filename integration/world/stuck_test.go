package world

import (
	"strings"
	"testing"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/span"
)

// stuckOn waits until a span is stuck, and finds the problem that says so.
func (w *World) stuckOn(id, node string) {
	w.t.Helper()
	w.Until("stuck", func() string {
		ctx, cancel := w.ctx()
		defer cancel()
		s, err := w.Control().GetStatus(ctx, &controlv1.GetStatusRequest{})
		if err != nil {
			return err.Error()
		}
		for _, p := range s.GetProblems() {
			if p.GetKind() == "stuck" && p.GetSpan() == id && p.GetNode() == node && strings.Contains(p.GetMessage(), "node evict "+node) {
				return ""
			}
		}
		return "not among the problems"
	})
}

// evicted evicts a node and returns how long it then took until the cluster was as it should be.
func (w *World) evicted(node string, settled func() string) time.Duration {
	w.t.Helper()
	ctx, cancel := w.ctx()
	defer cancel()
	began := time.Now()
	if _, err := w.Control().EvictNode(ctx, &controlv1.EvictNodeRequest{Name: node}); err != nil {
		w.t.Fatal(err)
	}
	w.Until("all runs after the eviction", settled)
	return time.Since(began)
}

func (w *World) move(id, to string) string {
	w.t.Helper()
	ctx, cancel := w.ctx()
	defer cancel()
	resp, err := w.Control().MoveSpan(ctx, &controlv1.MoveSpanRequest{Keyspace: ks, Span: id, To: to})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetOperator().GetId()
}

func (w *World) outcome(id string) string {
	w.t.Helper()
	ctx, cancel := w.ctx()
	defer cancel()
	resp, err := w.Control().ListOperators(ctx, &controlv1.ListOperatorsRequest{Id: id})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetOperators()[0].GetOutcome()
}

// A workload hangs in Close: nobody can know whether it still writes, so the move stands still until the node is evicted,
// and then goes on once the node may act no more. Everything else goes on meanwhile.
func TestAClosingThatHangsEndsWithAnEviction(t *testing.T) {
	inBubble(t, func(w *World, spans []string) {
		from := w.owner(spans[0])
		to := w.notAt(from)
		w.Proc(from).load.hangClose.Store(true)
		op := w.move(spans[0], to)
		w.stuckOn(spans[0], from)
		if got := w.outcome(op); got != "" {
			t.Errorf("%s ended as %s while its closing hangs", op, got)
		}
		w.create("other", "x:y") // delayed by nothing
		w.Until("the other keyspace runs", func() string { return w.unsettled("other", 1) })

		took := w.evicted(from, func() string { return w.unsettled(ks, 2) })
		if took < ttl || took > ttl+3*time.Second {
			t.Errorf("went on after %v; %s may act for %v", took, from, ttl)
		}
		if got := w.owner(spans[0]); got != to || w.outcome(op) != "done" {
			t.Errorf("on %s, not %s; %s is %q", got, to, op, w.outcome(op))
		}
		w.audit()
	})
}

// A workload hangs in Open and does not care that it is to give up.
func TestAnOpeningThatHangsEndsWithAnEviction(t *testing.T) {
	inBubble(t, func(w *World, spans []string) {
		to := w.notAt(w.owner(spans[0]))
		w.Proc(to).load.hangOpen.Store(true)
		op := w.move(spans[0], to)
		w.stuckOn(spans[0], to)
		took := w.evicted(to, func() string { return w.unsettled(ks, 2) })
		if took < ttl || took > ttl+3*time.Second {
			t.Errorf("went on after %v; %s may act for %v", took, to, ttl)
		}
		// The move has not got where it should: that is said, and the span runs.
		if got := w.owner(spans[0]); got == to || w.outcome(op) != "failed" {
			t.Errorf("on %s; %s is %q", got, op, w.outcome(op))
		}
		w.audit()
	})
}

// An opening that is only late is given up by its own actor, and done elsewhere. Nobody has to be evicted.
func TestALateOpeningEndsElsewhere(t *testing.T) {
	inBubble(t, func(w *World, _ []string) {
		w.Proc("d1").load.openFor = 10 * time.Minute
		began := time.Now()
		w.create("late", "u:v", "v:w", "w:x")
		w.Until("all run", func() string { return w.unsettled("late", 3) })
		for _, id := range w.ids("late") {
			if got := w.sink.running()[span.ID(id)]; got == "d1" || time.Since(began) < time.Minute {
				t.Errorf("%s on %s after %v", id, got, time.Since(began))
			}
		}
		w.audit()
	})
}

// A healthy process that is evicted stops what it runs at once and comes back as a new session that is like any other.
func TestAnEvictedProcessComesBack(t *testing.T) {
	inBubble(t, func(w *World, spans []string) {
		name := w.owner(spans[0])
		before := w.session(name)
		w.evicted(name, func() string {
			if s := w.unsettled(ks, 2); s != "" {
				return s
			}
			if now := w.session(name); now == 0 || now == before {
				return "it is not back"
			}
			return ""
		})
		if w.owner(spans[0]) != name {
			op := w.move(spans[0], name)
			w.Until("it takes spans again", func() string { return w.unsettled(ks, 2) })
			if got := w.owner(spans[0]); got != name {
				t.Errorf("%s is %q, and the span on %s", op, w.outcome(op), got)
			}
		}
		w.audit()
	})
}

// notAt is a dispatcher other than the named one.
func (w *World) notAt(name string) string {
	if name == "d1" {
		return "d2"
	}
	return "d1"
}

// session of a node, 0 if it has none.
func (w *World) session(name string) int64 {
	ctx, cancel := w.ctx()
	defer cancel()
	r, err := w.etcd.Client().Get(ctx, w.layout.Node(name))
	if err != nil || len(r.Kvs) == 0 {
		return 0
	}
	return r.Kvs[0].CreateRevision
}
