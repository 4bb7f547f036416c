package maintainer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

func TestTheTimeAllowedGrowsWithTheWork(t *testing.T) {
	for _, tc := range []struct {
		members, busy int
		want          time.Duration
	}{
		{1, 1, time.Minute},
		{0, 0, time.Minute},
		{5, 1, 2 * time.Minute},
		{1, 3001, 2 * time.Minute},
		{16, 16, 4*time.Minute + 45*time.Second + 300*time.Millisecond},
	} {
		if got := allowed(time.Minute, tc.members, tc.busy); got != tc.want {
			t.Errorf("%d members, %d busy: %v, want %v", tc.members, tc.busy, got, tc.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		base := time.Duration(rapid.Int64Range(1, int64(settings.LongestTimeout)).Draw(t, "base"))
		members, busy := rapid.IntRange(0, 16).Draw(t, "members"), rapid.IntRange(0, 1_000_000).Draw(t, "busy")
		d := allowed(base, members, busy)
		if d < base || allowed(base, members+1, busy) < d || allowed(base, members, busy+1) < d || allowed(base+1, members, busy) < d {
			t.Fatalf("less time for more work: %v", d)
		}
	})
}

// quick is a maintainer without much patience.
func quick(c *Config) { c.OpenTimeout, c.CloseTimeout = 3*time.Second, 3*time.Second }

// led is a world with an impatient leader and nodes that it knows.
func (w *world) led(nodes ...string) *proc {
	w.t.Helper()
	m := w.maintainer("m1", quick)
	w.leads(m, 5*time.Second)
	for _, name := range nodes {
		w.node(name)
	}
	w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
	return m
}

func (w *world) shown(r operator.Ref) *controlv1.Span {
	w.t.Helper()
	list := w.listed(w.ask("m1"), &controlv1.ListSpansRequest{Keyspace: r.Keyspace, Span: string(r.ID)})
	if len(list) != 1 {
		w.t.Fatalf("%d spans named %s", len(list), r.ID)
	}
	return list[0]
}

// problem is what status says about a span, nil if nothing.
func (w *world) problem(kind string, r operator.Ref) *controlv1.Problem {
	w.t.Helper()
	resp, err := w.ask("m1").GetStatus(w.t.Context(), &controlv1.GetStatusRequest{Cluster: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range resp.GetProblems() {
		if p.GetKind() == kind && p.GetSpan() == string(r.ID) {
			return p
		}
	}
	return nil
}

// A node begins to open and gets no further: its opening is ended, and tried elsewhere.
func TestALateOpeningIsGivenUpAndTriedElsewhere(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		n1 := w.nodes[0]
		n1.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if a.GetAction() == sessionv1.Ask_ACTION_OPEN {
				return n1.claimOnly(a)
			}
			return sessionv1.StageResult_RESULT_CLAIMED
		})
		r := w.keyspace("ks", 1)[0]
		w.claimed(r)
		began := time.Now()
		w.eventually("given up", 5*time.Second, func() string {
			if s := w.shown(r); s.GetState() != stateFailing || !strings.Contains(s.GetLastError(), "took too long") {
				return s.String()
			}
			return ""
		})
		w.node("n2")
		w.eventually("all registered", time.Second, func() string { return w.unregistered(m) })
		w.owned("ks", 1, time.Minute)
		if took := time.Since(began); took < 2500*time.Millisecond || took > 5500*time.Millisecond {
			t.Errorf("opened elsewhere after %v; it may take 3 s, and a retry waits about 1 s", took)
		}
		if got := w.span(r).Owner.Node; got != "n2" {
			t.Errorf("opened on %s", got)
		}
		if s := m.Stats(); s.Late != 1 || s.Aborts != 1 {
			t.Errorf("%d late, %d aborts", s.Late, s.Aborts)
		}
	})
}

func (w *world) claimed(r operator.Ref) int64 {
	w.t.Helper()
	var mod int64
	w.eventually("claimed", 5*time.Second, func() string {
		resp := w.get(w.layout.Operator(r.Keyspace, r.ID))
		if len(resp.Kvs) == 0 {
			return "no claim"
		}
		mod = resp.Kvs[0].ModRevision
		return ""
	})
	return mod
}

// What the last failure was is shown while the span waits for the next try.
func TestAFailingSpanIsListedWhileItWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		w.led("n1")
		n := w.nodes[0]
		n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			n.say(&sessionv1.Report{Results: []*sessionv1.StageResult{{
				Keyspace: a.GetKeyspace(), Span: a.GetMembers()[0].GetSpan(), Result: sessionv1.StageResult_RESULT_OPEN_FAILED, Error: "disk full",
			}}})
			return sessionv1.StageResult_RESULT_UNSPECIFIED
		})
		r := w.keyspace("ks", 1)[0]
		list := func() []*controlv1.Operator {
			resp, err := w.ask("m1").ListOperators(w.t.Context(), &controlv1.ListOperatorsRequest{Cluster: "test"})
			if err != nil {
				t.Fatal(err)
			}
			return resp.GetOperators()
		}
		w.eventually("listed", 5*time.Second, func() string {
			ops := list()
			if len(ops) != 1 || ops[0].GetError() != "disk full" || ops[0].GetStage() != "queued" || ops[0].GetType() != "add" ||
				ops[0].GetSpans()[0] != string(r.ID) || ops[0].GetOutcome() != "" || ops[0].GetCreated() == nil {
				return fmt.Sprint(ops)
			}
			return ""
		})
		if s := w.shown(r); s.GetState() != "failing" || s.GetLastError() != "disk full" {
			t.Errorf("%v", s)
		}
		n.obey()
		w.owned("ks", 1, time.Minute)
		w.eventually("no longer listed", time.Second, func() string {
			if ops := list(); len(ops) != 0 {
				return fmt.Sprint(ops)
			}
			return ""
		})
	})
}

// One that cannot be opened, one whose opening hangs, and nobody else waits for them.
func TestOneFailingSpanDelaysNoOther(t *testing.T) {
	const spans = 200
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", quick, func(c *Config) { c.InFlight = 4 })
		w.leads(m, 5*time.Second)
		for _, name := range []string{"n1", "n2"} {
			w.node(name)
		}
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		for _, n := range w.nodes {
			n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
				switch a.GetMembers()[0].GetSpan() {
				case "1-1.7":
					return sessionv1.StageResult_RESULT_OPEN_FAILED
				case "1-1.8": // not even an answer
					return sessionv1.StageResult_RESULT_UNSPECIFIED
				case "1-1.9":
					if a.GetAction() == sessionv1.Ask_ACTION_OPEN {
						return n.claimOnly(a)
					}
					return sessionv1.StageResult_RESULT_UNSPECIFIED // nor does it end
				}
				return sessionv1.StageResult_RESULT_CLAIMED
			})
		}
		refs := w.keyspace("ks", spans)
		took := w.owned("ks", spans-3, 30*time.Second)
		if took > 2*time.Second {
			t.Errorf("the others took %v", took)
		}
		stuck := refs[9]
		w.eventually("stuck", 30*time.Second, func() string {
			if got := w.shown(stuck).GetState(); got != stateStuck {
				return got
			}
			return ""
		})
		w.eventually("failing", 10*time.Second, func() string {
			if a, b := w.shown(refs[7]), w.shown(refs[8]); a.GetState() != stateFailing || b.GetState() != stateFailing {
				return fmt.Sprint(a, b)
			}
			return ""
		})
		for _, r := range refs[:7] { // now that they hold everything that they can hold
			w.accept(r, record.Intent{Operator: "1-9" + string(r.ID), Kind: record.KindMove, To: w.other(r).name})
		}
		for _, r := range refs[:7] {
			w.outcome("ks", "1-9"+string(r.ID), 2*time.Second)
		}
	})
}

// A node that never answers closes is stuck, span by span, and its budget is free again for what it may still do.
func TestAnUnansweredCloseIsStuckAndFreesTheBudget(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", quick, func(c *Config) { c.InFlight = 2 })
		w.leads(m, 5*time.Second)
		w.node("n1")
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		refs := w.keyspace("ks", 4)
		w.owned("ks", 4, 10*time.Second)
		n1 := w.nodes[0]
		n1.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if id := a.GetMembers()[0].GetSpan(); id == string(refs[0].ID) || id == string(refs[1].ID) {
				return sessionv1.StageResult_RESULT_UNSPECIFIED
			}
			return sessionv1.StageResult_RESULT_CLAIMED
		})
		w.node("n2")
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		for i, r := range refs[:2] {
			w.accept(r, record.Intent{Operator: fmt.Sprint("1-9", i), Kind: record.KindMove, To: "n2"})
		}
		time.Sleep(time.Second)
		w.accept(refs[2], record.Intent{Operator: "1-99", Kind: record.KindMove, To: "n2"})
		w.outcome("ks", "1-99", 5*time.Second)
		p := w.problem(stateStuck, refs[0])
		if p == nil || p.GetNode() != "n1" || p.GetSince() == nil || !strings.Contains(p.GetMessage(), "move 1-90") ||
			!strings.Contains(p.GetMessage(), "asked to close") || !strings.Contains(p.GetMessage(), "spanward node evict n1") {
			t.Errorf("problem %v", p)
		}
		// It answers after all, and nothing is left of it.
		n1.obey()
		w.outcome("ks", "1-90", time.Minute)
		w.outcome("ks", "1-91", time.Minute)
		w.eventually("no longer stuck", time.Second, func() string {
			if p := w.problem(stateStuck, refs[0]); p != nil {
				return p.String()
			}
			return ""
		})
	})
}

// A node that is alive and has no stream cannot even be asked. Its operator is as stuck as one that was asked in vain.
func TestAnOperatorOfANodeThatIsNotThereIsStuck(t *testing.T) {
	inWorld(t, func(w *world) {
		w.led("n1")
		refs := w.keyspace("ks", 1)
		w.owned("ks", 1, 10*time.Second)
		w.node("n2")
		n1 := w.nodes[0]
		n1.silence(true)
		w.accept(refs[0], record.Intent{Operator: "1-90", Kind: record.KindMove, To: "n2"})
		w.eventually("stuck", 10*time.Second, func() string {
			p := w.problem(stateStuck, refs[0])
			if p == nil || p.GetNode() != "n1" || !strings.Contains(p.GetMessage(), "move 1-90") {
				return fmt.Sprint(p)
			}
			return ""
		})
		if s := w.shown(refs[0]); s.GetState() != stateStuck {
			t.Errorf("shown as %s", s.GetState())
		}
		n1.silence(false)
		w.outcome("ks", "1-90", time.Minute)
	})
}

// A span that was handed off is nobody's: if its target cannot be asked, another node opens it.
func TestAHandedOffSpanDoesNotWaitForATargetThatIsNotThere(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		refs := w.keyspace("ks", 1)
		w.owned("ks", 1, 10*time.Second)
		n2 := w.node("n2")
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		n2.silence(true)
		w.accept(refs[0], record.Intent{Operator: "1-90", Kind: record.KindMove, To: "n2"})
		h := w.outcome("ks", "1-90", time.Minute)
		if h.Outcome != record.OutcomeFailed || !strings.Contains(h.Error, "n2") || w.owner(refs[0]).name != "n1" {
			t.Errorf("%v %q, at %s", h.Outcome, h.Error, w.owner(refs[0]).name)
		}
	})
}

// An initial copy takes as long as it takes while it gets further; once it stops to, its time begins.
func TestACopyThatGetsFurtherIsNotLate(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.led("n1")
		n := w.nodes[0]
		n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if a.GetAction() == sessionv1.Ask_ACTION_OPEN {
				return n.claimOnly(a)
			}
			return sessionv1.StageResult_RESULT_UNSPECIFIED
		})
		r := w.keyspace("ks", 1)[0]
		w.claimed(r)
		report := func(copied int64) {
			s := status(r, sessionv1.SpanStatus_STATE_OPENING, 1)
			s.Copied = proto.Int64(copied)
			n.say(&sessionv1.Report{Spans: []*sessionv1.SpanStatus{s}})
		}
		for i := range 20 {
			report(int64(i + 1))
			time.Sleep(time.Second)
		}
		if s := m.Stats(); s.Late != 0 || s.Aborts != 0 {
			t.Fatalf("late: %+v", s)
		}
		for range 5 {
			report(20)
			time.Sleep(time.Second)
		}
		if s := m.Stats(); s.Late != 1 || s.Aborts == 0 {
			t.Errorf("%d late, %d aborts of a copy that stands still", s.Late, s.Aborts)
		}
	})
}

// A keyspace may have its own patience, of which its workload hears nothing.
func TestAKeyspaceHasItsOwnTimeouts(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", func(c *Config) {
			c.Validators = map[string]Validator{"gate": strict}
		})
		w.leads(m, 5*time.Second)
		n := w.node("n1")
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if a.GetAction() == sessionv1.Ask_ACTION_OPEN {
				return n.claimOnly(a)
			}
			return sessionv1.StageResult_RESULT_CLAIMED
		})
		api := w.ask("m1")
		create := func(set map[string]string) error {
			_, err := api.CreateKeyspace(w.t.Context(), &controlv1.CreateKeyspaceRequest{
				Cluster: "test", Name: "ks", Workload: "gate", Set: set,
			})
			return err
		}
		for _, bad := range []string{"", "soon", "0s", "-1s", "25h"} {
			if err := create(map[string]string{"open-timeout": bad}); err == nil || !strings.Contains(err.Error(), "duration") {
				t.Errorf("%q: %v", bad, err)
			}
		}
		if err := create(map[string]string{"open-timeout": "1s", "color": "red"}); err != nil {
			t.Fatal(err)
		}
		w.eventually("given up", 3*time.Second, func() string {
			if m.Stats().Aborts == 0 {
				return "not"
			}
			return ""
		})
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, asks := range n.openings {
			for _, a := range asks {
				if _, told := a.GetSettings()["open-timeout"]; told || a.GetAction() == sessionv1.Ask_ACTION_OPEN && a.GetSettings()["color"] != "red" {
					t.Errorf("settings %v", a.GetSettings())
				}
			}
		}
	})
}

// strict takes one setting.
func strict(set map[string]string, _ []span.Range) error {
	for name := range set {
		if name != "color" {
			return fmt.Errorf("no setting %s", name)
		}
	}
	return nil
}
