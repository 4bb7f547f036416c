package maintainer

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// What users of such systems complain of, as scripts: thrashing after nodes join, come back or flap, one hanging operation
// that stops the rest, and moves onto nodes that should not have got any.

// levels has balance move whatever it wants to, soon.
func (w *world) levels(at string, more ...string) {
	w.t.Helper()
	w.mustSet(at, "", append([]string{"scheduler.balance=on", "balance.cooldown=1s"}, more...)...)
}

// joins starts a node and waits until the leader knows it.
func (w *world) joins(m *proc, name string, change ...func(*node)) *node {
	w.t.Helper()
	n := w.node(name, append([]func(*node){telling}, change...)...)
	w.eventually(name+" has joined", 5*time.Second, func() string { return w.unregistered(m) })
	return n
}

// levelled are the moves of balance that are over.
func (w *world) levelled(p *proc) (out []*controlv1.Operator) {
	w.t.Helper()
	for o := range w.histories(p) {
		if o.GetType() == "move" && o.GetBy() == "balance" {
			out = append(out, o)
		}
	}
	return out
}

// goneFromEtcd waits until the session of a node that was killed is over.
func (w *world) goneFromEtcd(name string) {
	w.t.Helper()
	w.eventually(name+" is gone", time.Minute, func() string {
		if len(w.get(w.layout.Node(name)).Kvs) > 0 {
			return "its key is there"
		}
		return ""
	})
}

// Nodes join one by one. Each is given what it lacks, and no span is moved between those that were there before.
func TestNodesJoinOneByOne(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		w.levels("m1")
		const spans = 50
		w.keyspace("ks", spans)
		w.owned("ks", spans, time.Minute)
		before := 0
		for k := 2; k <= 5; k++ {
			name := fmt.Sprintf("n%d", k)
			w.joins(m, name)
			time.Sleep(time.Minute)
			all := w.levelled(m)
			joined := 0
			for _, o := range all {
				if o.GetTo() == name {
					joined++
				}
			}
			if moves := len(all) - before; moves != joined || moves > (spans+k-1)/k || moves < spans/k-1 {
				t.Errorf("%d moves as %s joined, %d of them to it", moves, name, joined)
			}
			before = len(all)
		}
		time.Sleep(4 * time.Minute)
		if got := w.levelled(m); len(got) != before {
			t.Errorf("%d moves though nothing has changed", len(got)-before)
		}
		for name, n := range w.owners("ks") {
			if n < 9 || n > 11 {
				t.Errorf("%s has %d", name, n)
			}
		}
	})
}

// All nodes vanish at once and come back, together or one after the other. Each span opens again where it was, and nothing is
// moved.
func TestAllNodesVanishAndReturn(t *testing.T) {
	for _, apart := range []time.Duration{0, time.Second} {
		t.Run(fmt.Sprint(apart, " apart"), func(t *testing.T) { vanishAndReturn(t, apart) })
	}
}

func vanishAndReturn(t *testing.T, apart time.Duration) {
	t.Helper()
	inWorld(t, func(w *world) {
		names := []string{"n1", "n2", "n3", "n4"}
		m, refs := w.settled(40, names...)
		for i, r := range refs { // as no placement would have them
			if to := names[i/10]; w.span(r).Owner.Node != to {
				w.move("m1", r, to)
			}
		}
		w.shares(map[string]int{"n1": 10, "n2": 10, "n3": 10, "n4": 10}, time.Minute)
		w.levels("m1")
		time.Sleep(time.Minute)
		if n := len(w.levelled(m)); n != 0 {
			t.Fatalf("%d moves before anything has happened", n)
		}
		for _, n := range w.nodes {
			n.kill()
		}
		for _, name := range names {
			w.goneFromEtcd(name)
		}
		w.eventually("the hold is shown", time.Second, func() string {
			if !m.complains("mass_loss") {
				return "it is not"
			}
			return ""
		})
		for _, name := range names {
			w.node(name, telling)
			time.Sleep(apart)
		}
		w.owned("ks", 40, 10*time.Second)
		time.Sleep(2 * time.Minute)
		for i, r := range refs {
			if s := w.span(r); s.Owner.Node != names[i/10] || s.LastNode != "" && s.LastNode != names[i/10] {
				t.Errorf("%s was on %s and is on %s", r.ID, names[i/10], s.Owner.Node)
			}
		}
		if n := len(w.levelled(m)); n != 0 {
			t.Errorf("%d moves", n)
		}
	})
}

// A keyspace of ten thousand spans is created, and one opening hangs. All others run as soon as without it, the one is shown,
// and balance goes on beside it.
func TestOneHangingOpeningStopsNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2", "n3", "n4")
		w.levels("m1")
		const spans = 10_000
		for _, n := range w.nodes {
			n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
				if !strings.HasSuffix(a.GetMembers()[0].GetSpan(), ".5000") {
					return sessionv1.StageResult_RESULT_CLAIMED
				}
				hangs := operator.Ref{Keyspace: "ks", ID: span.ID(a.GetMembers()[0].GetSpan())}
				if a.GetAction() == sessionv1.Ask_ACTION_OPEN && w.claim(hangs) == nil {
					n.claimOnly(a)
				}
				return sessionv1.StageResult_RESULT_UNSPECIFIED
			})
		}
		var ranges []*controlv1.Range
		for i := range spans {
			ranges = append(ranges, keyRange(fmt.Sprintf("%06d", i), fmt.Sprintf("%06d", i+1)))
		}
		began := time.Now()
		made := w.create(w.ask("m1"), "ks", ranges...)
		hangs := operator.Ref{Keyspace: "ks", ID: spanID(made.GetOperator().GetId(), 5000)}
		for w.owners("ks")[""] > 1 && time.Since(began) < time.Minute {
			time.Sleep(200 * time.Millisecond)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %v; %v", took, w.owners("ks"))
		}
		w.eventually("the one is shown", 2*time.Minute, func() string {
			if s := w.shown(hangs); s.GetState() != stateStuck || w.problem(stateStuck, hangs) == nil {
				time.Sleep(time.Second)
				return s.String()
			}
			return ""
		})
		w.joins(m, "n5")
		w.eventually("balance goes on", time.Minute, func() string {
			if n := w.owners("ks")["n5"]; n < 100 {
				time.Sleep(time.Second)
				return fmt.Sprint(n)
			}
			return ""
		})
		if s := w.shown(hangs); s.GetState() != stateStuck {
			t.Errorf("%v", s)
		}
	})
}

// A node is killed and comes back every TTL while a keyspace is created. Nothing is moved to it to be lost with it, each span
// it has lost runs elsewhere soon, and the keyspace is complete.
func TestANodeFlapsWhileAKeyspaceIsCreated(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2")
		w.levels("m1")
		const spans = 300
		opened := 0
		for round := range 6 {
			n := w.joins(m, "n3")
			if round == 0 {
				var ranges []*controlv1.Range
				for i := range spans {
					ranges = append(ranges, keyRange(fmt.Sprintf("%06d", i), fmt.Sprintf("%06d", i+1)))
				}
				w.create(w.ask("m1"), "ks", ranges...)
			}
			time.Sleep(nodeTTL)
			n.kill()
			opened += len(n.asked(sessionv1.Ask_ACTION_OPEN))
			w.goneFromEtcd("n3")
		}
		if took := w.owned("ks", spans, time.Minute); took > 2*time.Second {
			t.Errorf("what was lost with it ran again after %v", took)
		}
		if s := w.keyspaceRecord("ks").State; s != record.KeyspaceRunning {
			t.Errorf("the keyspace is %v", s)
		}
		if opened > spans/3+1 || len(w.levelled(m)) > 0 {
			t.Errorf("it was asked to open %d, and %d moves were made", opened, len(w.levelled(m)))
		}
		time.Sleep(time.Minute)
		if got := w.owners("ks"); got["n1"]+got["n2"] != spans || max(got["n1"], got["n2"]) > spans/2+spans/20 {
			t.Errorf("%v", got)
		}
	})
}

// The leader is killed in the middle of levelling, around one of its writes, and what is in flight hangs for a while. The next
// one goes on where it was: no span is moved twice, and none too many.
func TestTheLeaderDiesWhileItLevels(t *testing.T) {
	for _, inFlight := range []int{4, 100} {
		for _, point := range []string{"before", "after"} {
			t.Run(fmt.Sprint(inFlight, " in flight, ", point, " a write"), func(t *testing.T) { diesWhileItLevels(t, inFlight, point) })
		}
	}
}

func diesWhileItLevels(t *testing.T, inFlight int, point string) {
	t.Helper()
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2")
		w.levels("m1", fmt.Sprint("balance.in-flight=", inFlight))
		w.keyspace("ks", 30)
		w.shares(map[string]int{"n1": 15, "n2": 15}, time.Minute)
		time.Sleep(time.Minute)
		m2 := w.maintainer("m2", quick)
		m.diesAt("maintainer/balance/accept/"+point, 1)
		for _, n := range w.nodes {
			n.withholds(func(a *sessionv1.Ask) bool { return a.GetAction() == sessionv1.Ask_ACTION_CLOSE })
		}
		w.node("n3", telling)
		w.leads(m2, time.Minute)
		if !m.dead {
			t.Fatal("it lives")
		}
		time.Sleep(10 * time.Second)
		for _, n := range w.nodes {
			n.obey()
		}
		w.shares(map[string]int{"n1": 10, "n2": 10, "n3": 10}, time.Minute)
		time.Sleep(time.Minute)
		times := map[string]int{}
		for _, o := range w.levelled(m2) {
			times[o.GetSpans()[0]]++
			if o.GetTo() != "n3" || o.GetOutcome() != "done" {
				t.Errorf("%v", o)
			}
		}
		if len(times) != 10 || maxOf(times) != 1 {
			t.Errorf("moves by span: %v", times)
		}
	})
}

func maxOf(m map[string]int) (most int) {
	for n := range maps.Values(m) {
		most = max(most, n)
	}
	return most
}

// Rules are set for spans that run already. What violates them is moved, and only that; each move names the rule.
func TestRulesThatAreSetLater(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.zones("a1", "a2", "b1")
		w.levels("m1")
		w.must(createRuled(w, "m1", "ks", 30))
		w.onNodes("ks", map[string]int{"a1": 10, "a2": 10, "b1": 10})
		time.Sleep(time.Minute)
		w.must(setRules(w, "m1", "ks", "place.require=zone=a"))
		w.onNodes("ks", map[string]int{"a1": 15, "a2": 15})
		time.Sleep(time.Minute)
		all := w.levelled(m)
		for _, o := range all {
			if o.GetFrom() != "b1" || !strings.Contains(o.GetReason(), "place.require=zone=a") {
				t.Errorf("%v", o)
			}
		}
		if len(all) != 10 {
			t.Errorf("%d moves", len(all))
		}
		w.must(setRules(w, "m1", "ks", "place.require="))
		w.onNodes("ks", map[string]int{"a1": 10, "a2": 10, "b1": 10})
		if n := len(w.levelled(m)); n != 20 {
			t.Errorf("%d moves", n)
		}
	})
}

// On a node that is there and well but for its disk nothing opens. Once that is known of three spans nothing more is moved to it, until it
// opens again what it has.
func TestAFailingNodeIsGivenNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2")
		w.keyspace("ks", 30)
		w.shares(map[string]int{"n1": 15, "n2": 15}, time.Minute)
		n3 := w.joins(m, "n3")
		n3.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if a.GetAction() == sessionv1.Ask_ACTION_OPEN {
				return sessionv1.StageResult_RESULT_OPEN_FAILED
			}
			return sessionv1.StageResult_RESULT_CLAIMED
		})
		w.must(createRuled(w, "m1", "own", 3, "place.require=node=n3"))
		time.Sleep(10 * time.Second)
		w.levels("m1")
		time.Sleep(4 * time.Minute)
		if n := len(w.levelled(m)); n != 0 || w.owners("ks")["n3"] != 0 {
			t.Errorf("%d moves, %v", n, w.owners("ks"))
		}
		n3.obey()
		w.owned("own", 3, 2*time.Minute)
		w.shares(map[string]int{"n1": 11, "n2": 11, "n3": 8}, time.Minute)
	})
}

// A node that is cordoned, and one that is registered and does not talk to the leader, are given nothing for as long as that
// lasts, and their share when it is over.
func TestCordonedAndUnreachableNodesAreGivenNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1", "n2")
		w.keyspace("ks", 40)
		w.shares(map[string]int{"n1": 20, "n2": 20}, time.Minute)
		w.joins(m, "n3")
		n4 := w.joins(m, "n4")
		w.configureNode("m1", "n3", true)
		n4.silence(true)
		time.Sleep(time.Second)
		w.levels("m1")
		time.Sleep(4 * time.Minute)
		if n := len(w.levelled(m)); n != 0 || len(n4.asked(sessionv1.Ask_ACTION_OPEN)) != 0 {
			t.Errorf("%d moves", n)
		}
		n4.silence(false)
		w.eventually("n4 has its share, and n3 nothing", time.Minute, func() string {
			if got := w.owners("ks"); got["n4"] < 13 || got["n3"] != 0 {
				return fmt.Sprint(got)
			}
			return ""
		})
		w.configureNode("m1", "n3", false)
		w.shares(map[string]int{"n1": 10, "n2": 10, "n3": 10, "n4": 10}, time.Minute)
	})
}
