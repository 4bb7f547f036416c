package maintainer

import (
	"fmt"
	"testing"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
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
