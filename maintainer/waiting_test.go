package maintainer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// silent answers nothing.
func silent(*sessionv1.Ask) sessionv1.StageResult_Result {
	return sessionv1.StageResult_RESULT_UNSPECIFIED
}

// A node that has let deadlines pass gets no new spans. Once it says something it does, and those that waited are looked at.
func TestSpansThatWaitForANodeThatDidNotAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", quick, func(c *Config) { c.InFlight = 2 })
		w.leads(m, 5*time.Second)
		n := w.node("n1")
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		n.answers(silent)
		refs := w.keyspace("ks", 4)
		w.eventually("it does not answer", 10*time.Second, func() string {
			for _, r := range refs {
				if got := m.current().known.span(r).waiting; got != "n1 is not answering" {
					return "waiting: " + got
				}
			}
			return ""
		})
		n.obey()
		n.say(&sessionv1.Report{Results: []*sessionv1.StageResult{{
			Keyspace: "ks", Span: string(refs[0].ID), Result: sessionv1.StageResult_RESULT_REFUSED, Error: "late",
		}}})
		w.owned("ks", 4, 5*time.Second)
	})
}

// The only node with room is full as long as a span is on its way there. When that is cancelled, what waits gets its place.
func TestACancelledMoveMakesRoomAtItsTarget(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led()
		one := func(n *node) { n.capacity = 1 }
		n2 := w.node("n2", one)
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		a := w.keyspace("a", 1)[0]
		w.owned("a", 1, 5*time.Second)
		w.node("n1", one)
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		w.configureNode("m1", "n2", true)
		n2.answers(silent)
		op := w.move("m1", a, "n1").GetId()
		time.Sleep(time.Second)
		w.keyspace("b", 1)
		time.Sleep(time.Second)
		if got := w.owners("b"); got[""] != 1 {
			t.Fatalf("n1 takes one span, and has got two: %v", got)
		}
		if _, err := w.cancel("m1", op, "c1"); err != nil {
			t.Fatal(err)
		}
		w.owned("b", 1, 5*time.Second)
	})
}

// Twenty spans wait for a node that answers no close. The moves off another node go on, as many at a time as ever.
func TestOneNodeThatHangsDelaysNoMoveOffAnother(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", func(c *Config) { c.InFlight = 2 })
		w.leads(m, 5*time.Second)
		for _, name := range []string{"n1", "n2"} {
			w.node(name)
		}
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		refs := w.keyspace("ks", 40)
		w.owned("ks", 40, 30*time.Second)
		w.node("n3")
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		w.nodes[0].answers(silent)
		w.nodes[1].answers(func(*sessionv1.Ask) sessionv1.StageResult_Result {
			time.Sleep(20 * time.Millisecond)
			return sessionv1.StageResult_RESULT_CLAIMED
		})
		var ids []string
		for _, from := range []string{"n1", "n2"} {
			for i, r := range refs {
				if w.span(r).Owner.Node != from {
					continue
				}
				id := fmt.Sprint("1-9", i)
				w.accept(r, record.Intent{Operator: id, Kind: record.KindMove, To: "n3"})
				if from == "n2" {
					ids = append(ids, id)
				}
			}
		}
		began := time.Now()
		for _, id := range ids {
			w.outcome("ks", id, 10*time.Second)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%d moves took %v", len(ids), took)
		}
	})
}

// Two closes were never answered and are stuck. When their node has answered after all, and is asked again and again answers
// nothing, they still take no room from others.
func TestWhatIsStuckTakesNoRoomWhenItIsAskedAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", quick, func(c *Config) { c.InFlight = 1 })
		w.leads(m, 5*time.Second)
		n1 := w.node("n1")
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		refs := w.keyspace("ks", 2)
		w.owned("ks", 2, 10*time.Second)
		w.node("n2")
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		n1.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if a.GetMembers()[0].GetSpan() == string(refs[0].ID) {
				return sessionv1.StageResult_RESULT_UNSPECIFIED
			}
			return sessionv1.StageResult_RESULT_CLAIMED
		})
		w.accept(refs[0], record.Intent{Operator: "1-90", Kind: record.KindMove, To: "n2"})
		w.eventually("stuck", 10*time.Second, func() string {
			if got := w.shown(refs[0]).GetState(); got != stateStuck {
				return got
			}
			return ""
		})
		n1.say(&sessionv1.Report{Results: []*sessionv1.StageResult{{
			Keyspace: "ks", Span: string(refs[0].ID), Operator: "1-90", Result: sessionv1.StageResult_RESULT_REFUSED, Error: "busy",
		}}})
		time.Sleep(10 * time.Second) // it is asked again
		w.accept(refs[1], record.Intent{Operator: "1-91", Kind: record.KindMove, To: "n2"})
		w.outcome("ks", "1-91", 5*time.Second)
	})
}

// Half of the spans of a drained node hang when they are closed, more than the drain may have in flight. Once those are
// stuck the others leave.
func TestStuckMovesDoNotHoldUpTheDrain(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", quick, func(c *Config) { c.DrainInFlight = 2 })
		w.leads(m, 5*time.Second)
		n1 := w.node("n1", telling)
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		refs := w.keyspace("ks", 12)
		w.owned("ks", 12, 10*time.Second)
		w.node("n2", telling)
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		n1.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			r := operator.Ref{Keyspace: "ks", ID: span.ID(a.GetMembers()[0].GetSpan())}
			if slices.Index(refs, r)%2 == 0 {
				return sessionv1.StageResult_RESULT_UNSPECIFIED
			}
			return sessionv1.StageResult_RESULT_CLAIMED
		})
		w.mustDrain("m1", "n1")
		w.eventually("the others leave", time.Minute, func() string {
			if got := w.owners("ks"); got["n2"] != 6 {
				return fmt.Sprint(got)
			}
			return ""
		})
		n1.obey()
		w.inState("m1", "n1", nodeDrained, 30*time.Second)
	})
}

// A node tells that nothing of what it owns runs. It is asked to open that again, and never for more at a time than it may
// have in flight.
func TestReopeningKeepsToTheBudget(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", func(c *Config) { c.InFlight = 2 })
		w.leads(m, 5*time.Second)
		n := w.node("n1")
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		w.keyspace("ks", 30)
		w.owned("ks", 30, 10*time.Second)
		n.answers(silent)
		n.mu.Lock()
		clear(n.running)
		n.mu.Unlock()
		n.say(n.full())
		time.Sleep(time.Second)
		if got := onLoop(w, m, func(l *loop) int { return len(l.asked[n.session]) }); got != 2 {
			t.Errorf("%d asks in flight, of 2", got)
		}
		n.obey()
		w.eventually("all run again", time.Minute, func() string {
			n.mu.Lock()
			defer n.mu.Unlock()
			if len(n.running) != 30 {
				return fmt.Sprint(len(n.running))
			}
			return ""
		})
	})
}

// What is known of sessions that are over does not pile up, and is kept as long as they may act.
func TestSessionsThatAreOverAreForgotten(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		over := func(l *loop) { // as many as a year brings
			for i := range 10 * keptSessions {
				l.known.updateNode(int64(1_000_000+i), func(k *nodeKnown) { k.mayActUntil = time.Second })
			}
			l.known.updateNode(2_000_000, func(k *nodeKnown) { k.mayActUntil = l.m.clock() + time.Hour })
		}
		onLoop(w, m, func(l *loop) int { over(l); return 0 })
		time.Sleep(time.Minute)
		w.node("n2").kill()
		time.Sleep(2 * nodeTTL)
		if got := onLoop(w, m, func(l *loop) int { return l.known.sessions() }); got > keptSessions {
			t.Errorf("%d sessions are remembered", got)
		}
		k := m.current().known
		if !k.node(w.nodes[0].session).connected || k.node(2_000_000).mayActUntil == 0 {
			t.Error("one that may act was forgotten")
		}
	})
}

// A node that did not answer goes while the view is cut off, and a listing tells of that. Nobody calls it unreachable for ever.
func TestAListingTellsOfNodesThatAreGone(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		listed := func(l *loop) int {
			l.silent["n2"] = time.Now().Add(-time.Minute)
			l.evicting["n2"] = &evicting{}
			l.changed(&view.Dirty{Revision: l.state.Revision(), Reset: true, Gone: []*view.Node{{Session: 7, Node: record.Node{Name: "n2"}}}})
			return len(l.silent) + len(l.evicting)
		}
		if got := onLoop(w, m, listed); got != 0 {
			t.Errorf("%d traces of a node that is gone", got)
		}
	})
}

// Who waits longer than he has to by now is not stuck.
func TestALongerLimitEndsWhatIsStuck(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		r := w.keyspace("ks", 1)[0]
		w.owned("ks", 1, 10*time.Second)
		w.node("n2")
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		w.nodes[0].answers(silent)
		w.move("m1", r, "n2")
		time.Sleep(10 * time.Second)
		if w.problem(stateStuck, r) == nil {
			t.Fatal("it is not stuck")
		}
		w.mustSet("m1", "", "close-timeout=30s")
		time.Sleep(time.Second)
		if p := w.problem(stateStuck, r); p != nil {
			t.Errorf("it may take 30 s: %v", p)
		}
		time.Sleep(30 * time.Second)
		if w.problem(stateStuck, r) == nil {
			t.Error("it is not stuck again")
		}
	})
}

// The only node has as many openings as it may, and answers none. Another one comes, and gets what has not been asked for.
func TestANewNodeTakesWhatWaitsForBusyOnes(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", func(c *Config) { c.InFlight = 2 })
		w.leads(m, 5*time.Second)
		n1 := w.node("n1")
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		n1.answers(silent)
		w.keyspace("ks", 12)
		time.Sleep(time.Second)
		w.node("n2")
		w.owned("ks", 10, 2*time.Second)
	})
}

// What is said of spans that exist no more is not remembered.
func TestNothingIsKnownOfSpansThatAreGone(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		for i, res := range []sessionv1.StageResult_Result{
			sessionv1.StageResult_RESULT_CLOSE_FAILED, sessionv1.StageResult_RESULT_OPEN_FAILED, sessionv1.StageResult_RESULT_ABORTED,
			sessionv1.StageResult_RESULT_MISSING, sessionv1.StageResult_RESULT_REFUSED, sessionv1.StageResult_RESULT_REVOKED,
		} {
			w.nodes[0].say(&sessionv1.Report{Results: []*sessionv1.StageResult{{Keyspace: "ks", Span: fmt.Sprint("1-1.", i), Result: res, Error: "late"}}})
		}
		if got := onLoop(w, m, func(l *loop) int { return len(l.known.spans) + len(l.works) }); got != 0 {
			t.Errorf("%d are", got)
		}
	})
}
