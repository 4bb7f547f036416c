package maintainer

import (
	"context"
	"fmt"
	"testing"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// A node that was there when the term began is no newcomer because somebody has configured it, nor after a listing.
func TestAConfiguredNodeIsNoNewcomer(t *testing.T) {
	inWorld(t, func(w *world) {
		w.led("n1", "n2")
		w.keyspace("ks", 12)
		w.shares(map[string]int{"n1": 6, "n2": 6}, time.Minute)
		m2 := w.maintainer("m2")
		w.procs[0].quit()
		w.leads(m2, 5*time.Second)
		w.levels("m2", "balance.warm-up=10m")
		time.Sleep(time.Minute)
		onLoop(w, m2, func(l *loop) bool {
			l.changed(&view.Dirty{Revision: l.state.Revision(), Reset: true})
			return true
		})
		w.weigh("m2", "n2", 3)
		w.shares(map[string]int{"n1": 3, "n2": 9}, time.Minute)
	})
}

// A merge for load one of whose records nobody can read does not give way: part of it would be left there.
func TestAMergeWithAnUnreadableSourceDoesNotGiveWay(t *testing.T) {
	inWorld(t, func(w *world) {
		w.led("n1")
		refs := w.keyspace("ks", 3)
		w.owned("ks", 3, time.Minute)
		w.node("n2", telling)
		w.nodes[0].refuses(sessionv1.Ask_ACTION_CLOSE)
		w.plans(record.Intent{Operator: "1-77", Kind: record.KindMerge, By: record.ByLoad, Results: []string{"1-77.0"}}, refs...)
		time.Sleep(time.Second)
		good := w.get(w.layout.Span("ks", refs[1].ID)).Kvs[0].Value
		w.put(w.layout.Span("ks", refs[1].ID), []byte("garbage"))
		w.mustDrain("m1", "n1")
		time.Sleep(time.Minute)
		if n := len(w.get(w.layout.History("ks", "1-77")).Kvs); n != 0 || w.span(refs[0]).Intent == nil {
			t.Error("the merge has ended")
		}
		w.put(w.layout.Span("ks", refs[1].ID), good)
		if h := w.outcome("ks", "1-77", 10*time.Second); h.Outcome != record.OutcomeCancelled {
			t.Errorf("%+v", h)
		}
	})
}

// A merge for load that is stuck on one node takes no room from others, whichever of its spans it is stuck on.
func TestAStuckMergeTakesNoRoom(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2")
		refs := w.keyspace("ks", 3)
		w.owned("ks", 3, time.Minute)
		w.moveAll(map[operator.Ref]string{refs[0]: "n1", refs[1]: "n1", refs[2]: "n2"})
		w.mustSet("m1", "", "close-timeout=2s", "reshape.min-age=1s", "reshape.in-flight=1")
		two := w.keyspace("two", 1)
		w.owned("two", 1, time.Minute)
		w.nodes[1].withholds(func(a *sessionv1.Ask) bool {
			return a.GetKeyspace() == "ks" && a.GetAction() == sessionv1.Ask_ACTION_CLOSE
		})
		w.plans(record.Intent{Operator: "1-77", Kind: record.KindMerge, By: record.ByLoad, Results: []string{"1-77.0"}}, refs...)
		time.Sleep(time.Minute)
		for _, r := range refs {
			if f := onLoop(w, m, func(l *loop) scheduler.Flight { s, _ := l.fleet.Span(r); return s.Flight }); f.Class != 0 {
				t.Errorf("%s takes room: %+v", r.ID, f)
			}
		}
		w.mustSet("m1", "two", "split.load=10", "split.after=1s")
		w.owner(two[0]).loaded(two[0], 100, "0000005")
		w.owned("two", 2, time.Minute)
	})
}

// What nobody owns in the middle of an operator is not as little urgent as the operator.
func TestWhatLostItsNodeInAMoveIsUrgent(t *testing.T) {
	gone := record.Owner{Node: "n1", Session: 7, Token: 9}
	of := func(kind record.Kind, by record.By, handedOff bool) *record.Intent {
		return &record.Intent{Operator: "1-1", Kind: kind, By: by, HandedOff: handedOff}
	}
	for _, c := range []struct {
		name  string
		span  record.Span
		by    record.By
		class scheduler.Class
	}{
		{"failover", record.Span{Owner: gone}, record.ByFailover, scheduler.ClassFailover},
		{"new", record.Span{}, record.ByPlacement, scheduler.ClassUser},
		{"given back", record.Span{LastNode: "n1"}, record.ByPlacement, scheduler.ClassFailover},
		{"lost in a move of balance", record.Span{Owner: gone, Intent: of(record.KindMove, record.ByBalance, false)}, record.ByBalance, scheduler.ClassFailover},
		{"lost in a merge for load", record.Span{Owner: gone, Intent: of(record.KindMerge, record.ByLoad, false)}, record.ByLoad, scheduler.ClassFailover},
		{"handed off by balance", record.Span{LastNode: "n1", Intent: of(record.KindMove, record.ByBalance, true)}, record.ByBalance, scheduler.ClassUser},
		{"handed off by a drain", record.Span{LastNode: "n1", Intent: of(record.KindMove, record.ByDrain, true)}, record.ByDrain, scheduler.ClassUser},
		{"lost, to be removed", record.Span{Owner: gone, Intent: of(record.KindRemove, record.ByUser, false)}, record.ByUser, scheduler.ClassUser},
	} {
		if got := (want{span: operator.Span{Span: c.span}, by: c.by}).class(); got != c.class {
			t.Errorf("%s: %v, want %v", c.name, got, c.class)
		}
	}
}

// Whatever has gone while the view was cut off, a listing leaves nothing behind of it.
func TestAListingForgetsWhatNobodyOwned(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		r := operator.Ref{Keyspace: "gone", ID: span.ID("1-1.0")}
		onLoop(w, m, func(l *loop) bool {
			l.work(r).waiting = "the keyspace is not running"
			l.fleet.SetSpan(scheduler.Span{Ref: r})
			l.fleet.measures["gone"] = "load"
			l.changed(&view.Dirty{Revision: l.state.Revision(), Reset: true})
			return true
		})
		if got := onLoop(w, m, func(l *loop) string { return fmt.Sprint(len(l.works), l.fleet.Len(), len(l.fleet.measures)) }); got != "0 0 0" {
			t.Errorf("left are works, spans, keyspaces: %s", got)
		}
	})
}

// Whoever speaks to a new leader first: that there is nothing to look at counts only once it knows what there is.
func TestNobodyIsHeardBeforeTheRecords(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		w.keyspace("ks", 3)
		w.owned("ks", 3, time.Minute)
		lead, _ := m.leading()
		for range 20 {
			ctx, stop := context.WithCancel(w.t.Context())
			l := newLoop(m.Maintainer, lead)
			knew := false
			l.events <- func() { knew = l.dirty.len() > 0 || !l.starting; stop() }
			l.run(ctx)
			if stop(); !knew {
				t.Fatal("it was heard before")
			}
		}
	})
}

// Whatever is split for load, the term keeps nothing of it.
func TestSplitsLeaveNothingBehind(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		w.keyspace("ks", 1)
		w.owned("ks", 1, time.Minute)
		over := &listeners{Context: w.t.Context()}
		onLoop(w, m, func(l *loop) bool {
			was := l.t
			l.t = &term{number: was.number, over: over}
			l.acceptSplits("ks", []scheduler.Split{{Ref: operator.Ref{Keyspace: "ks", ID: "nothing"}}}, time.Now())
			l.t = was
			return true
		})
		if over.added != 1 || over.left != 0 {
			t.Errorf("%d of %d still listen", over.left, over.added)
		}
	})
}

// listeners counts who waits for the end of a context.
type listeners struct {
	context.Context //nolint:containedctx // it is one
	added, left     int
}

// Done is another than that of the context it wraps, whose listeners nobody counts.
func (l *listeners) Done() <-chan struct{} { return make(chan struct{}) }

func (l *listeners) AfterFunc(func()) func() bool {
	l.added++
	l.left++
	return func() bool { l.left--; return true }
}

// What is known of a keyspace goes with it.
func TestThePlannersForgetKeyspaces(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		w.keyspace("ks", 1)
		w.mustSet("m1", "ks", "split.load=100")
		w.owned("ks", 1, time.Minute)
		w.etcd.Client().Delete(w.t.Context(), w.layout.Span("ks", "1-1.0"))
		w.etcd.Client().Delete(w.t.Context(), w.layout.Keyspace("ks"))
		time.Sleep(time.Second)
		if n := onLoop(w, m, func(l *loop) int { return l.fleet.Keyspaces() }); n != 0 {
			t.Errorf("%d keyspaces are known", n)
		}
	})
}
