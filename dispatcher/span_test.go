package dispatcher_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

const (
	claimed     = sessionv1.StageResult_RESULT_CLAIMED
	done        = sessionv1.StageResult_RESULT_DONE
	refused     = sessionv1.StageResult_RESULT_REFUSED
	openFailed  = sessionv1.StageResult_RESULT_OPEN_FAILED
	closeFailed = sessionv1.StageResult_RESULT_CLOSE_FAILED
	aborted     = sessionv1.StageResult_RESULT_ABORTED
)

func equal[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestPlacement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(w.layout.Cluster(), record.EncodeCluster(record.Cluster{Generation: 3}))
		p := w.ready("n1")
		s := w.span("a")
		s.Checkpoint = record.At(7)
		s.Mod = w.put(w.layout.Span("ks", "a"), record.EncodeSpan(s.Span))
		got := w.open("n1", "a")

		want := s.Span
		want.Owner = record.Owner{Node: "n1", Session: w.session("n1"), Token: got.Owner.Token}
		want.LastNode = "n1"
		equal(t, "record", want, got.Span)
		if gen := got.Owner.Token >> 48; gen != 3 {
			t.Errorf("token of generation %d", gen)
		}
		if c := w.claim("a"); c != nil {
			t.Errorf("claim left: %+v", c)
		}
		task := p.sink.tasks[0]
		if task.Token != got.Owner.Token || task.From != record.At(7) || task.Range != s.Range || task.Settings["a"] != "b" {
			t.Errorf("task %+v does not match the record %+v", task, got)
		}
		w.eventually("told", func() bool { return w.leader.state("n1", "a") == sessionv1.SpanStatus_STATE_RUNNING })
		if last := w.leader.lastResult("n1", "a"); last.GetResult() != done {
			t.Errorf("result %v", last)
		}
	})
}

func TestMoveHandsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.ready("n1"), w.ready("n2")
		w.span("a")
		first := w.open("n1", "a").Owner
		a.sink.position = record.At(41)
		w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, w.accept("a", record.KindMove, "n2"))
		w.eventually("handed off", func() bool { return w.record("a").Intent.HandedOff })
		s := w.record("a")
		if !s.Owner.Nobody() || s.Checkpoint != record.At(41) || w.claim("a") != nil {
			t.Fatalf("after the hand-off: %+v, claim %v", s, w.claim("a"))
		}
		w.eventually("told", func() bool { return w.leader.state("n1", "a") == sessionv1.SpanStatus_STATE_GONE })

		got := w.open("n2", "a")
		if got.Owner.Token <= first.Token || got.Intent != nil {
			t.Errorf("after the move: %+v", got)
		}
		if from := b.sink.tasks[0].From; from != record.At(41) {
			t.Errorf("opened at %v", from)
		}
		if h, ok := w.history("9-a"); !ok || h.Outcome != record.OutcomeDone {
			t.Errorf("history %+v, %v", h, ok)
		}
		equal(t, "events", []string{"open", "opened", "close", "closed"}, a.sink.trace("a"))
	})
}

func TestRemoveDeletesRecordAndClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.span("a")
		w.open("n1", "a")
		w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, w.accept("a", record.KindRemove, ""))
		w.eventually("removed", func() bool { return w.record("a").Mod == 0 })
		if h, ok := w.history("9-a"); !ok || h.Outcome != record.OutcomeDone || w.claim("a") != nil {
			t.Errorf("history %+v, %v; claim %v", h, ok, w.claim("a"))
		}
		equal(t, "events", []string{"open", "opened", "close", "closed"}, p.sink.trace("a"))
		w.eventually("told", func() bool { return w.leader.lastResult("n1", "a").GetOperator() == "9-a" })
	})
}

// An ask that comes again is answered with the stage and does nothing; another operator is told who holds the span.
func TestRepeatedAndCompetingAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.span("a")
		w.open("n1", "a")
		release := p.sink.hold(p.sink.holdClose, "a")
		s := w.accept("a", record.KindRemove, "")
		for range 3 {
			w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, s)
		}
		w.eventually("claimed", func() bool { return w.claim("a") != nil })
		w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, s)
		w.eventually("answered", func() bool { return w.leader.lastResult("n1", "a").GetResult() == claimed })

		other := s
		other.Intent = &record.Intent{Operator: "9-other", Kind: record.KindMove, By: record.ByUser}
		w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, other)
		w.eventually("refused", func() bool { return w.leader.lastResult("n1", "a").GetResult() == refused })
		if last := w.leader.lastResult("n1", "a"); last.GetHolder() != "9-a" || last.GetOperator() != "9-other" {
			t.Errorf("refused with %v", last)
		}
		release()
		w.eventually("removed", func() bool { return w.record("a").Mod == 0 })
		w.eventually("told", func() bool { return w.leader.lastResult("n1", "a").GetResult() == done })
		equal(t, "events", []string{"open", "opened", "close", "closed"}, p.sink.trace("a"))
		w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, s)
		w.eventually("a late ask does nothing", func() bool { return w.leader.lastResult("n1", "a").GetResult() == sessionv1.StageResult_RESULT_MISSING })
	})
}

// A plan made on an older record, or by an older leader, changes nothing.
func TestStaleAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		stale := w.span("a")
		w.put(w.layout.Span("ks", "a"), record.EncodeSpan(stale.Span))
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, stale)
		w.eventually("refused", func() bool { return w.leader.lastResult("n1", "a").GetResult() == refused })

		older := w.term
		w.lead()
		b := w.span("b")
		m := &sessionv1.DispatchResponse{Term: older, Asks: []*sessionv1.Ask{askFor(sessionv1.Ask_ACTION_OPEN, b)}}
		w.eventually("the stream is back", func() bool { return w.leader.node("n1").fulls == 2 })
		w.leader.send("n1", m) // nobody newer has asked yet: etcd refuses it
		w.eventually("refused", func() bool { return w.leader.lastResult("n1", "b").GetResult() == refused })
		w.span("c")
		w.open("n1", "c")
		w.leader.send("n1", m)
		w.eventually("dropped", func() bool { return p.said("message of a former leader dropped") == 1 })
		if w.claim("a") != nil || w.claim("b") != nil || p.sink.trace("a") != nil || p.sink.trace("b") != nil {
			t.Errorf("a stale ask had an effect")
		}
	})
}

func TestOpenFailureReleasesTheClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		p.sink.openErr["a"] = errors.New("no disk")
		s := w.span("a")
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, s)
		w.eventually("told", func() bool { return w.leader.lastResult("n1", "a").GetResult() == openFailed })
		if last := w.leader.lastResult("n1", "a"); last.GetError() != "no disk" || w.claim("a") != nil {
			t.Errorf("result %v, claim %v", last, w.claim("a"))
		}
		// Written again as it was: a second copy of the claim that is still on its way must not find it as planned.
		if got := w.record("a"); got.Mod == s.Mod || got.Owner != s.Owner || got.Checkpoint != s.Checkpoint {
			t.Errorf("the record is %+v, was %+v", got, s)
		}
		p.sink.set(func() { delete(p.sink.openErr, "a") })
		w.open("n1", "a")
	})
}

func TestUnknownWorkload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.ready("n1")
		ask := askFor(sessionv1.Ask_ACTION_OPEN, w.span("a"))
		ask.Workload = "mirror"
		w.leader.send("n1", &sessionv1.DispatchResponse{Asks: []*sessionv1.Ask{ask}})
		w.eventually("told", func() bool { return w.leader.lastResult("n1", "a").GetResult() == openFailed })
		equal(t, "error", `node n1 does not run workload "mirror"; it offers test`, w.leader.lastResult("n1", "a").GetError())
	})
}

// An opening that hangs holds up nothing else, and can be given up.
func TestOpenHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		p.sink.hold(p.sink.holdOpen, "a")
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, w.span("a"))
		w.eventually("opening", func() bool { return w.leader.state("n1", "a") == sessionv1.SpanStatus_STATE_OPENING })
		w.span("b")
		start := time.Now()
		w.open("n1", "b")
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("b took %v", d)
		}
		late := askFor(sessionv1.Ask_ACTION_ABORT, w.record("a"))
		w.leader.send("n1", &sessionv1.DispatchResponse{Asks: []*sessionv1.Ask{late}}) // names no claim
		w.eventually("refused", func() bool { return w.leader.lastResult("n1", "a").GetResult() == refused })
		late.Members[0].Claim = w.claim("a").Mod
		w.leader.send("n1", &sessionv1.DispatchResponse{Asks: []*sessionv1.Ask{late}})
		w.eventually("aborted", func() bool { return w.leader.lastResult("n1", "a").GetResult() == aborted })
		if w.claim("a") != nil || w.leader.state("n1", "a") != sessionv1.SpanStatus_STATE_GONE {
			t.Errorf("claim %v, state %v", w.claim("a"), w.leader.state("n1", "a"))
		}
		equal(t, "events", []string{"open", "gave up"}, p.sink.trace("a"))
	})
}

// A closing that fails is said and tried again; nothing is handed off before it has succeeded.
func TestCloseFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.span("a")
		w.open("n1", "a")
		p.sink.set(func() { p.sink.closeErr["a"] = errors.New("flush") })
		w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, w.accept("a", record.KindMove, "n2"))
		w.eventually("told", func() bool { return w.leader.lastResult("n1", "a").GetResult() == closeFailed })
		time.Sleep(time.Second)
		if s := w.record("a"); s.Owner.Node != "n1" || w.claim("a") == nil {
			t.Fatalf("released while it runs: %+v", s)
		}
		p.sink.set(func() { delete(p.sink.closeErr, "a") })
		w.eventually("handed off", func() bool { return w.record("a").Intent.HandedOff })
	})
}

// An instance that fails by itself is closed and handed back with its last checkpoint.
func TestInstanceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.span("a")
		w.open("n1", "a")
		r := p.sink.reporter("a")
		r.Report(dispatcher.Status{Checkpoint: dispatcher.At(9)})
		r.Report(dispatcher.Status{})
		r.Fail(errors.New("sink is gone"))
		w.eventually("handed back", func() bool { return w.record("a").Owner.Nobody() })
		if s := w.record("a"); s.Checkpoint != record.At(9) || w.claim("a") != nil {
			t.Errorf("handed back %+v", s)
		}
		w.eventually("told", func() bool { return w.leader.lastResult("n1", "a").GetError() == "sink is gone" })
		equal(t, "events", []string{"open", "opened", "close", "closed"}, p.sink.trace("a"))
	})
}

// What an instance says before its Open has returned is not forgotten.
func TestInstanceFailsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		p.sink.failEarly = map[string]error{"a": errors.New("too early")}
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, w.span("a"))
		w.eventually("told", func() bool { return w.leader.lastResult("n1", "a").GetError() == "too early" })
		if s := w.record("a"); !s.Owner.Nobody() || w.claim("a") != nil {
			t.Errorf("record %+v, claim %v", s, w.claim("a"))
		}
		equal(t, "events", []string{"open", "opened", "close", "closed"}, p.sink.trace("a"))
	})
}

// A span is opened again only when its former instance has ended, and what was asked meanwhile is done then.
func TestOpensAgainAfterASlowAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.span("a")
		w.open("n1", "a")
		release := p.sink.hold(p.sink.holdAbort, "a")
		s := w.record("a")
		s.Owner = record.Owner{}
		s.Mod = w.put(w.layout.Span("ks", "a"), record.EncodeSpan(s.Span))
		w.leader.send("n1", &sessionv1.DispatchResponse{Confirm: []*sessionv1.SpanRef{{Keyspace: "ks", Span: "a"}}})
		time.Sleep(time.Second)
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, s)
		time.Sleep(time.Second)
		if w.claim("a") != nil {
			t.Error("claimed beside the old instance")
		}
		w.leader.cut("n1")
		w.eventually("reported", func() bool { return w.leader.node("n1").fulls == 2 })
		if st := w.leader.state("n1", "a"); st != sessionv1.SpanStatus_STATE_CLOSING {
			t.Errorf("reported as %v while it still ends", st)
		}
		release()
		w.eventually("runs", func() bool { return w.record("a").Owner.Node == "n1" })
		equal(t, "events", []string{"open", "opened", "aborted", "open", "opened"}, p.sink.trace("a"))
	})
}

// What runs here and is nobody's in etcd ends at the leader's question; what is ours goes on.
func TestConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.span("a")
		w.span("b")
		w.open("n1", "a")
		w.open("n1", "b")
		s := w.record("a")
		s.Owner = record.Owner{}
		w.put(w.layout.Span("ks", "a"), record.EncodeSpan(s.Span))
		refs := []*sessionv1.SpanRef{{Keyspace: "ks", Span: "a"}, {Keyspace: "ks", Span: "b"}, {Keyspace: "ks", Span: "never"}}
		w.leader.send("n1", &sessionv1.DispatchResponse{Confirm: refs})
		w.eventually("gone", func() bool { return w.leader.state("n1", "a") == sessionv1.SpanStatus_STATE_GONE })
		equal(t, "a", []string{"open", "opened", "aborted"}, p.sink.trace("a"))
		equal(t, "b", []string{"open", "opened"}, p.sink.trace("b"))
		w.eventually("told", func() bool { return w.leader.state("n1", "never") == sessionv1.SpanStatus_STATE_GONE })
		w.open("n1", "a")
	})
}

// A thousand spans need few transactions.
func TestManySpansShareTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		var spans []operator.Span
		for n := range 1000 {
			spans = append(spans, w.span(span.ID(fmt.Sprintf("s%04d", n))))
		}
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, spans[:500]...)
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, spans[500:]...)
		w.eventually("all run", func() bool { return p.Stats().Running == 1000 })
		st := p.Stats()
		if st.Batches > 40 || st.Parts != 2000 || st.Mutations != 3000 {
			t.Errorf("stats %+v", st)
		}
		w.eventually("told", func() bool { return w.leader.state("n1", "s0999") == sessionv1.SpanStatus_STATE_RUNNING })
		for _, r := range w.leader.node("n1").reports {
			if !r.GetFull() && len(r.GetSpans()) > 500 {
				t.Errorf("a report of %d spans", len(r.GetSpans()))
			}
		}
		t.Logf("%+v", st)
	})
}
