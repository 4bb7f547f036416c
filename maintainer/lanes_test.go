package maintainer

import (
	"context"
	"testing"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// withholds makes a node leave asks unanswered that somebody wants, and carry out all others.
func (n *node) withholds(which func(*sessionv1.Ask) bool) {
	n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
		if which(a) {
			return sessionv1.StageResult_RESULT_UNSPECIFIED
		}
		return sessionv1.StageResult_RESULT_CLAIMED
	})
}

// A node that takes none of a hundred spans that a drain brings it is asked at once to take one that nobody owns.
func TestALongDrainLeavesRoomForFailover(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.crowd(100, "n1")
		w.mustSet("m1", "", "in-flight=8", "drain.in-flight=100")
		w.configureNode("m1", "n1", true)
		w.node("n3", telling)
		w.eventually("registered", 5*time.Second, func() string { return w.unregistered(m) })
		w.keyspace("one", 1)
		w.owned("one", 1, time.Minute)
		n2 := w.node("n2", telling)
		w.eventually("registered", 5*time.Second, func() string { return w.unregistered(m) })
		n2.withholds(func(a *sessionv1.Ask) bool { return a.GetBy() == int32(record.ByDrain) })
		w.configureNode("m1", "n3", true)
		w.mustDrain("m1", "n1")
		w.eventually("n2 has a queue", time.Minute, func() string {
			if n := w.owners("ks")[""]; n < 6 {
				return "not yet"
			}
			return ""
		})
		w.nodes[1].kill()
		if took := w.owned("one", 1, 20*time.Second); took > nodeTTL+2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A move that hangs takes the room of no other once it is stuck.
func TestAStuckMoveDoesNotStopBalance(t *testing.T) {
	inWorld(t, func(w *world) {
		w.led("n1")
		w.mustSet("m1", "", "balance.in-flight=1", "balance.cooldown=1s", "close-timeout=2s", "scheduler.balance=on")
		w.keyspace("ks", 10)
		w.shares(map[string]int{"n1": 10}, time.Minute)
		var hung string
		n1 := w.nodes[0]
		n1.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			id := a.GetMembers()[0].GetSpan()
			if a.GetAction() != sessionv1.Ask_ACTION_CLOSE || hung != "" && hung != id {
				return sessionv1.StageResult_RESULT_CLAIMED
			}
			if hung = id; w.claim(operator.Ref{Keyspace: "ks", ID: span.ID(id)}) == nil {
				n1.claims(context.Background(), a)
			}
			return sessionv1.StageResult_RESULT_UNSPECIFIED
		})
		w.node("n2", telling)
		w.eventually("the others go on", 2*time.Minute, func() string {
			if o := w.owners("ks"); o["n2"] < 4 {
				return "not yet"
			}
			return ""
		})
		if hung == "" {
			t.Error("nothing has hung")
		}
	})
}
