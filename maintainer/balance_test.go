package maintainer

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

// loaded has a node report the load of a span that it runs.
func (n *node) loaded(r operator.Ref, load float64, splitKeys ...string) {
	n.mu.Lock()
	token := n.running[r]
	n.mu.Unlock()
	s := status(r, sessionv1.SpanStatus_STATE_RUNNING, token)
	s.Load = &load
	for _, k := range splitKeys {
		s.SplitKeys = append(s.SplitKeys, []byte(k))
	}
	n.say(&sessionv1.Report{Spans: []*sessionv1.SpanStatus{s}})
}

// plans puts an operator into the records of its spans, as the scheduler does.
func (w *world) plans(i record.Intent, refs ...operator.Ref) {
	w.t.Helper()
	var spans []operator.Span
	for _, r := range refs {
		spans = append(spans, w.span(r))
		i.Spans = append(i.Spans, string(r.ID))
	}
	i.CreatedAt = time.Now()
	res, err := etcdx.Run(w.t.Context(), w.etcd.Client(), 0, txn.Batch{Parts: []txn.Part{operator.Accept(w.layout, spans, &i)}})
	if err != nil || res[0].Outcome != txn.Done {
		w.t.Fatalf("accept: %+v %v", res, err)
	}
}

// moves counts finished moves by who wanted them.
func (w *world) moves(p *proc) map[string]int {
	w.t.Helper()
	out := map[string]int{}
	for o := range w.histories(p) {
		if o.GetType() == "move" && o.GetOutcome() == "done" {
			out[o.GetBy()]++
		}
	}
	return out
}

func (w *world) shares(want map[string]int, within time.Duration) time.Duration {
	w.t.Helper()
	return w.eventually("shares", within, func() string {
		if got := w.owners("ks"); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Sprint(got)
		}
		return ""
	})
}

// The third equal node gets a third of the spans, by as many moves, never more at a time than may be; then there is peace.
func TestANodeThatComesGetsItsShare(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2")
		w.mustSet("m1", "", "scheduler.balance=on", "balance.cooldown=1s", "balance.in-flight=8", "balance.in-flight.node=8")
		w.keyspace("ks", 60)
		w.shares(map[string]int{"n1": 30, "n2": 30}, time.Minute)
		time.Sleep(2 * time.Minute)
		most := &atomic.Int64{}
		m.at(func(name string) error {
			if name == "maintainer/balance/accept/after" {
				most.Store(max(most.Load(), int64(len(w.inFlight()))))
			}
			return nil
		})
		w.node("n3", telling)
		took := w.shares(map[string]int{"n1": 20, "n2": 20, "n3": 20}, time.Minute)
		if warm := settings.Defaults().BalanceWarmUp; took < warm || most.Load() == 0 || most.Load() > 8 {
			t.Errorf("took %v, %d in flight", took, most.Load())
		}
		time.Sleep(2 * time.Minute)
		if got := w.moves(m); got["balance"] != 20 || len(got) != 1 {
			t.Errorf("%v", got)
		}
		for o := range w.histories(m) {
			if o.GetType() == "move" && (o.GetTo() != "n3" || !strings.Contains(o.GetReason(), "n3")) {
				t.Errorf("%v", o)
			}
		}
	})
}

// A paused planner does nothing, whoever leads, until it goes on.
func TestBalanceIsPaused(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		w.mustSet("m1", "", "balance.cooldown=1s", "scheduler.balance=paused")
		w.keyspace("ks", 20)
		w.shares(map[string]int{"n1": 20}, time.Minute)
		w.node("n2", telling)
		time.Sleep(time.Minute)
		m2 := w.maintainer("m2")
		m.quit()
		w.leads(m2, 5*time.Second)
		time.Sleep(time.Minute)
		if got := w.owners("ks"); got["n1"] != 20 {
			t.Errorf("%v", got)
		}
		w.mustSet("m2", "", "scheduler.balance=on")
		w.shares(map[string]int{"n1": 10, "n2": 10}, time.Minute)
	})
}

// A node that is lost again and again is given something to lose once at most.
func TestAFlappingNodeIsGivenNothing(t *testing.T) {
	for _, c := range []struct {
		lives time.Duration
		most  int
	}{{nodeTTL - time.Second, 0}, {nodeTTL + 3*time.Second, 13}} {
		t.Run(c.lives.String(), func(t *testing.T) { flapping(t, c.lives, c.most) })
	}
}

func flapping(t *testing.T, lives time.Duration, most int) {
	t.Helper()
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2")
		w.mustSet("m1", "", "scheduler.balance=on", "balance.cooldown=1s")
		w.keyspace("ks", 40)
		w.shares(map[string]int{"n1": 20, "n2": 20}, time.Minute)
		for range 8 {
			n := w.node("n3", telling)
			time.Sleep(lives)
			n.kill()
			w.eventually("n3 is gone", time.Minute, func() string {
				if m.view.Revision() > 0 && m.state().Session("n3") != 0 {
					return "it is not"
				}
				return ""
			})
		}
		if got := w.moves(m)["balance"]; got > most || most > 0 && got == 0 {
			t.Errorf("%d moves to a node that does not live", got)
		}
	})
}

// Where every move is refused the leader does not plan it again and again.
func TestRefusedMovesAreNotRepeatedAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		w.mustSet("m1", "", "scheduler.balance=on", "balance.cooldown=30s")
		refs := w.keyspace("ks", 40)
		w.shares(map[string]int{"n1": 40}, time.Minute)
		time.Sleep(time.Minute)
		var tries atomic.Int64
		m.at(func(name string) error {
			if name == "maintainer/balance/accept/before" {
				tries.Add(1)
				for _, r := range refs { // so that no record is any more what the plan was made on
					w.putSpan(r, w.span(r).Span)
				}
			}
			return nil
		})
		w.node("n2", telling)
		time.Sleep(10 * time.Minute)
		if n := tries.Load(); n == 0 || n > 100 {
			t.Errorf("%d transactions for moves that are refused, in ten minutes", n)
		}
		m.at(nil)
		w.shares(map[string]int{"n1": 20, "n2": 20}, 2*time.Minute)
	})
}

// What a new leader finds moved a moment ago it leaves where it is.
func TestANewLeaderKeepsTheCooldown(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2")
		w.mustSet("m1", "", "scheduler.balance=on", "balance.cooldown=5m", "balance.warm-up=1ms", "balance.tolerance=0.01")
		refs := w.keyspace("ks", 4)
		w.shares(map[string]int{"n1": 2, "n2": 2}, time.Minute)
		time.Sleep(10 * time.Minute)
		w.mustSet("m1", "", "scheduler.balance=paused")
		for _, r := range refs {
			if w.owner(r).name == "n1" {
				w.move("m1", r, "n2")
			}
		}
		w.shares(map[string]int{"n2": 4}, time.Minute)
		w.mustDrain("m1", "n2") // all of n2 goes to n1, which is all that it can go to
		w.shares(map[string]int{"n1": 4}, time.Minute)
		w.configureNode("m1", "n2", false)
		w.mustSet("m1", "", "scheduler.balance=on")
		m2 := w.maintainer("m2", quick)
		m.quit()
		w.leads(m2, 5*time.Second)
		time.Sleep(4 * time.Minute)
		if got := w.moves(m2)["balance"]; got != 0 {
			t.Errorf("%d moves of what had just come", got)
		}
		w.shares(map[string]int{"n1": 2, "n2": 2}, 5*time.Minute)
	})
}

// Load is balanced though every node has as many spans.
func TestLoadIsBalanced(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2")
		w.mustSet("m1", "", "scheduler.balance=on", "balance.cooldown=1s", "balance.tolerance=0.5")
		refs := w.keyspace("ks", 20)
		w.shares(map[string]int{"n1": 10, "n2": 10}, time.Minute)
		loads := map[operator.Ref]float64{}
		for _, r := range refs {
			loads[r] = 1
			if w.owner(r).name == "n1" {
				loads[r] = 10
			}
		}
		for _, r := range refs {
			w.owner(r).loaded(r, loads[r])
		}
		carried := func() map[string]float64 {
			out := map[string]float64{}
			for _, r := range refs {
				out[w.span(r).Owner.Node] += loads[r]
			}
			return out
		}
		w.eventually("balanced", time.Minute, func() string {
			if c := carried(); max(c["n1"], c["n2"]) > 65 || c["n1"]+c["n2"] != 110 {
				return fmt.Sprint(c)
			}
			return ""
		})
		time.Sleep(2 * time.Minute)
		if n := w.moves(m)["balance"]; n == 0 || n > 10 {
			t.Errorf("%d moves, %v", n, carried())
		}
	})
}

// A span that stays hot is split, its children are not, and nothing more follows.
func TestAHotSpanIsSplit(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2")
		refs := w.keyspace("ks", 2)
		w.mustSet("m1", "", "reshape.min-age=1s")
		w.mustSet("m1", "ks", "split.load=100", "split.after=10s")
		w.owned("ks", 2, time.Minute)
		w.owner(refs[0]).loaded(refs[0], 150, "0000005")
		w.owner(refs[1]).loaded(refs[1], 50, "0000015")
		time.Sleep(9 * time.Second)
		if n := len(w.owners("ks")); n == 0 || w.span(refs[0]).Mod == 0 {
			t.Fatal("split too early")
		}
		w.owned("ks", 3, time.Minute)
		var split []string
		for o := range w.histories(m) {
			if o.GetType() == "split" {
				split = append(split, fmt.Sprint(o.GetBy(), " ", o.GetSpans(), " ", o.GetOutcome(), " ", o.GetReason()))
			}
		}
		if len(split) != 1 || !strings.Contains(split[0], "load [1-1.0] done load 150") {
			t.Errorf("%v", split)
		}
		time.Sleep(2 * time.Minute)
		w.owned("ks", 3, time.Second)
	})
}

// Neighbours that stay cold become one span.
func TestColdNeighboursAreMerged(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2")
		refs := w.keyspace("ks", 4)
		w.mustSet("m1", "", "reshape.min-age=1s")
		w.mustSet("m1", "ks", "merge.load=10", "merge.after=30s")
		w.owned("ks", 4, time.Minute)
		for n, r := range refs {
			w.owner(r).loaded(r, []float64{1, 2, 3, 50}[n])
		}
		w.owned("ks", 2, 2*time.Minute)
		var merged []string
		for o := range w.histories(m) {
			if o.GetType() == "merge" {
				merged = append(merged, fmt.Sprint(o.GetBy(), o.GetSpans(), o.GetOutcome()))
			}
		}
		if len(merged) != 1 || merged[0] != "load[1-1.0 1-1.1 1-1.2]done" {
			t.Errorf("%v", merged)
		}
	})
}

// A move of balance whose target is drained before it was closed is taken back, by the leader or by whoever has claimed it.
func TestAMoveOfBalanceGivesWay(t *testing.T) {
	for _, claimed := range []bool{false, true} {
		t.Run(fmt.Sprint("claimed=", claimed), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.led("n1")
				refs := w.keyspace("ks", 1)
				w.owned("ks", 1, time.Minute)
				w.node("n2", telling)
				w.node("n3", telling)
				n1 := w.nodes[0]
				if claimed {
					n1.holdClosing()
				} else {
					n1.refuses(sessionv1.Ask_ACTION_CLOSE)
				}
				w.plans(record.Intent{Operator: "1-77", Kind: record.KindMove, By: record.ByBalance, From: "n1", To: "n2"}, refs[0])
				w.eventually("asked", time.Minute, func() string {
					if len(n1.asked(sessionv1.Ask_ACTION_CLOSE)) == 0 || claimed && w.claim(refs[0]) == nil {
						return "not"
					}
					return ""
				})
				w.mustDrain("m1", "n2")
				h := w.outcome("ks", "1-77", time.Minute)
				if h.Outcome != record.OutcomeCancelled || h.Cause == nil || h.Cause.By != record.ByDrain || !strings.Contains(h.Error, "drained") {
					t.Errorf("%+v", h)
				}
				w.owned("ks", 1, time.Minute)
			})
		})
	}
}

// A merge for load gives way to the drain of one of its nodes, one that a user wants does not.
func TestAMergeForLoadGivesWayToADrain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.led("n1", "n2")
		refs := w.keyspace("ks", 2)
		w.shares(map[string]int{"n1": 1, "n2": 1}, time.Minute)
		w.node("n3", telling)
		for _, n := range w.nodes {
			n.refuses(sessionv1.Ask_ACTION_CLOSE)
		}
		w.plans(record.Intent{Operator: "1-77", Kind: record.KindMerge, By: record.ByLoad, Results: []string{"1-77.0"}}, refs...)
		time.Sleep(time.Second)
		w.mustDrain("m1", "n1")
		h := w.outcome("ks", "1-77", time.Minute)
		if h.Outcome != record.OutcomeCancelled || h.Cause == nil || h.Cause.By != record.ByDrain {
			t.Errorf("%+v", h)
		}
	})
}

// A user's operator waits for what the scheduler does with its span at the moment, and is not refused for that.
func TestAUserWaitsForBalance(t *testing.T) {
	inWorld(t, func(w *world) {
		w.led("n1")
		refs := w.keyspace("ks", 1)
		w.owned("ks", 1, time.Minute)
		m := w.procs[0]
		w.node("n2", telling)
		w.node("n3", telling)
		w.eventually("registered", 5*time.Second, func() string { return w.unregistered(m) })
		n1 := w.nodes[0]
		begun := time.Now()
		n1.answers(func(*sessionv1.Ask) sessionv1.StageResult_Result {
			if time.Since(begun) < time.Second {
				return sessionv1.StageResult_RESULT_REFUSED
			}
			return sessionv1.StageResult_RESULT_CLAIMED
		})
		w.plans(record.Intent{Operator: "1-77", Kind: record.KindMove, By: record.ByBalance, From: "n1", To: "n2"}, refs[0])
		w.eventually("seen", time.Minute, func() string { return m.sees(refs[0]) })
		o := w.move("m1", refs[0], "n3")
		w.outcome("ks", o.GetId(), time.Minute)
		if got := w.owner(refs[0]).name; got != "n3" {
			t.Errorf("it is on %s", got)
		}
	})
}

// sees says whether the leader does not know yet of an operator on a span.
func (p *proc) sees(r operator.Ref) string {
	if s, ok := p.state().Span(r); !ok || s.Intent == nil {
		return "no operator"
	}
	return ""
}

// Of nodes that carry as many spans, the one with less load takes what nobody owns.
func TestFailoverGoesByLoad(t *testing.T) {
	inWorld(t, func(w *world) {
		w.led("n1", "n2", "n3")
		refs := w.keyspace("ks", 9)
		w.shares(map[string]int{"n1": 3, "n2": 3, "n3": 3}, time.Minute)
		for _, r := range refs {
			if n := w.owner(r); n.name != "n2" {
				n.loaded(r, 10)
			} else {
				n.loaded(r, 70)
			}
		}
		time.Sleep(time.Second)
		w.nodes[0].kill()
		w.shares(map[string]int{"n2": 4, "n3": 5}, time.Minute)
	})
}

// However hot its spans are, and however many the scheduler would split at once, a keyspace has no more than it may.
func TestSplitsForLoadKeepTheLimit(t *testing.T) {
	inWorld(t, func(w *world) {
		w.led("n1")
		refs := w.keyspace("ks", 4)
		w.mustSet("m1", "", "reshape.in-flight=10")
		w.mustSet("m1", "ks", "split.load=10", "split.after=1s", "reshape.min-age=1s", "max-spans=6")
		w.owned("ks", 4, time.Minute)
		w.nodes[0].answers(func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_REFUSED })
		split := w.split("m1", refs[0], "0000005")
		for n, r := range refs[1:] {
			w.nodes[0].loaded(r, 100, fmt.Sprintf("%06d5", n+1))
		}
		time.Sleep(30 * time.Second)
		if n := len(w.inFlight()); n != 2 {
			t.Errorf("%d splits in flight", n)
		}
		w.nodes[0].answers(nil)
		w.outcome("ks", split.GetId(), time.Minute)
		w.owned("ks", 6, time.Minute)
		time.Sleep(30 * time.Second)
		w.owned("ks", 6, time.Second)
	})
}

// What nobody owns yet levels nodes without a move: balance waits while it waits for room, and counts what a node was asked
// to open and has not begun.
func TestBalanceWaitsForWhatIsPlaced(t *testing.T) {
	for _, inFlight := range []int{2, 100} {
		t.Run(fmt.Sprint(inFlight, " in flight"), func(t *testing.T) { placing(t, inFlight) })
	}
}

func placing(t *testing.T, inFlight int) {
	t.Helper()
	inWorld(t, func(w *world) {
		m := w.led("n1")
		w.keyspace("ks", 10)
		w.shares(map[string]int{"n1": 10}, time.Minute)
		w.node("n2", telling)
		w.eventually("registered", 5*time.Second, func() string { return w.unregistered(m) })
		for _, n := range w.nodes {
			n.withholds(func(a *sessionv1.Ask) bool { return a.GetAction() == sessionv1.Ask_ACTION_OPEN })
		}
		w.mustSet("m1", "", fmt.Sprint("in-flight=", inFlight), "balance.cooldown=1ms", "balance.warm-up=1ms")
		w.keyspace("two", 10)
		w.eventually("all that may be is asked for", time.Minute, func() string {
			if len(w.nodes[1].asked(sessionv1.Ask_ACTION_OPEN)) < min(inFlight, 10) {
				return "not yet"
			}
			return ""
		})
		w.mustSet("m1", "", "scheduler.balance=on")
		time.Sleep(3 * time.Second)
		if moves := w.inFlight(); len(moves) > 0 {
			t.Errorf("%d moves while spans wait to be placed", len(moves))
		}
		for _, n := range w.nodes {
			n.answers(nil)
		}
		w.owned("two", 10, time.Minute)
	})
}
