package dispatcher_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// merging is a node that runs three adjacent spans, and a merge of them that was accepted.
type merging struct {
	*world
	p     *process
	spans []operator.Span
}

var sources = []span.ID{"a", "b", "c"}

// newMerging takes what changes the sink before anything opens.
func newMerging(t *testing.T, prepare func(*sink), change ...func(*dispatcher.Config)) *merging {
	t.Helper()
	w := newWorld(t)
	m := &merging{world: w, p: w.ready("n1", change...)}
	prepare(m.p.sink)
	w.tile(sources...)
	for n, id := range sources {
		w.open("n1", id)
		m.p.sink.set(func() { m.p.sink.at[string(id)] = record.At(uint64(10 * (n + 1))) })
	}
	m.spans = w.acceptAll(mergeOf("9-m", "a", "b", "c"), sources...)
	return m
}

func mergeOf(op string, spans ...string) record.Intent {
	return record.Intent{Operator: op, Kind: record.KindMerge, By: record.ByUser, Results: []string{op + ".0"}, Spans: spans}
}

func canCloseAt(s *sink)  { s.exact = true }
func closesWhere(s *sink) { s.exact = false }

func (m *merging) ask() {
	m.t.Helper()
	m.sendAsk("n1", m.askTogether(sessionv1.Ask_ACTION_CLOSE, m.spans...))
}

// merged waits for the merged span.
func (m *merging) merged(from uint64) operator.Span {
	m.t.Helper()
	s := m.swapped("n1", sources, []span.ID{"9-m.0"})[0]
	at := m.get(m.layout.History("ks", "9-m")).Kvs[0].ModRevision
	task := m.p.sink.taskOf("9-m.0")
	if s.Range != (span.Range{Start: "a"}) || s.Owner.Token != uint64(at) || task.Token != uint64(at) || task.From != record.At(from) || task.Settings["a"] != "b" {
		m.t.Errorf("record %+v, task %+v, swap at %d", s, task, at)
	}
	if h, ok := m.history("9-m"); !ok || h.Outcome != record.OutcomeDone {
		m.t.Errorf("history %+v, %v", h, ok)
	}
	return s
}

func (m *merging) traces(want ...string) {
	m.t.Helper()
	for _, id := range sources {
		equal(m.t, string(id), append([]string{"open", "opened"}, want...), m.p.sink.trace(string(id)))
	}
}

// All sources of a merge close at the highest of the positions that they can all reach.
func TestMergeAtOnePosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMerging(t, canCloseAt)
		m.ask()
		m.merged(30)
		m.traces("hold", "close at 30", "closed")
		m.eventually("told", func() bool {
			return m.leader.state("n1", "b") == sessionv1.SpanStatus_STATE_GONE && m.leader.lastResult("n1", "b").GetResult() == done &&
				m.leader.state("n1", "9-m.0") == sessionv1.SpanStatus_STATE_RUNNING
		})
		st := m.p.Stats()
		if st.Running != 1 || st.Opening != 0 || st.Closing != 0 {
			t.Errorf("stats %+v", st)
		}
		m.ask()
		m.eventually("a late ask is refused", func() bool { return m.leader.lastResult("n1", "a").GetResult() == refused })
		if m.claim("a") != nil || m.claim("b") != nil {
			t.Error("a late ask left a claim")
		}
	})
}

// Where a source cannot choose its end all close where they are, and the merged span starts at the lowest position.
func TestMergeAtTheLowestPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMerging(t, closesWhere)
		m.ask()
		m.merged(10)
		m.traces("close", "closed")
	})
}

// A hold or a close that fails is tried again, one call at a time; until then nothing is swapped.
func TestMergeFailsAndSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMerging(t, canCloseAt)
		m.p.sink.set(func() {
			m.p.sink.holdErr["b"] = errors.New("not yet")
			m.p.sink.closeErr["c"] = errors.New("flush")
		})
		m.ask()
		time.Sleep(time.Second)
		equal(t, "a", []string{"open", "opened", "hold"}, m.p.sink.trace("a"))
		m.p.sink.set(func() { delete(m.p.sink.holdErr, "b") })
		m.eventually("told", func() bool { return m.leader.lastResult("n1", "c").GetResult() == closeFailed })
		if m.record("a").Mod != m.spans[0].Mod || m.claim("a") == nil {
			t.Error("swapped before all were closed")
		}
		if s := m.leader.state("n1", "a"); s != sessionv1.SpanStatus_STATE_CLOSING {
			t.Errorf("reported as %v", s)
		}
		m.p.sink.set(func() { delete(m.p.sink.closeErr, "c") })
		m.merged(30)
	})
}

// The same merge asked again is answered with its stage; another operator is told who holds the span.
func TestMergeAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMerging(t, canCloseAt)
		release := m.p.sink.hold(m.p.sink.holdClose, "b")
		for range 3 {
			m.ask()
		}
		m.eventually("closing", func() bool { return len(m.p.sink.trace("b")) == 4 })
		m.ask()
		m.eventually("answered", func() bool { return m.leader.lastResult("n1", "a").GetResult() == claimed })
		other := m.spans[2]
		other.Intent = &record.Intent{Operator: "9-other", Kind: record.KindMove, By: record.ByUser}
		m.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, other)
		m.eventually("refused", func() bool { return m.leader.lastResult("n1", "c").GetHolder() == "9-m" })
		release()
		m.merged(30)
		m.traces("hold", "close at 30", "closed")
	})
}

// A merge that was planned on an older record claims none of its sources, and all go on.
func TestMergeRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMerging(t, canCloseAt)
		m.put(m.layout.Span("ks", "b"), record.EncodeSpan(m.spans[1].Span))
		m.ask()
		m.eventually("refused", func() bool { return m.leader.lastResult("n1", "a").GetResult() == refused })
		m.traces()
		for _, id := range sources {
			if m.claim(id) != nil {
				t.Errorf("%s is claimed", id)
			}
		}
		for n, id := range sources {
			m.spans[n] = m.record(id)
		}
		older := m.term
		m.lead()
		m.eventually("the stream is back", func() bool { return m.leader.node("n1").fulls == 2 })
		time.Sleep(time.Second) // what the last stream may have lost is repeated
		before := len(m.leader.node("n1").results)
		ask := m.askTogether(sessionv1.Ask_ACTION_CLOSE, m.spans...)
		m.leader.send("n1", &sessionv1.DispatchResponse{Term: older, Asks: []*sessionv1.Ask{ask}})
		m.eventually("refused by its term", func() bool {
			got := m.leader.node("n1").results
			return len(got) > before && got[len(got)-1].GetResult() == refused
		})
		m.traces()
		m.ask()
		m.merged(30)
	})
}

// The answer of each transaction of a merge is lost in turn.
func TestMergeWithLostAnswers(t *testing.T) {
	for _, step := range []string{"claim", "swap"} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMerging(t, canCloseAt)
				release := m.p.sink.hold(m.p.sink.holdClose, "b")
				if step == "claim" {
					loseNext(m.p)
				}
				m.ask()
				m.eventually("closing", func() bool { return len(m.p.sink.trace("b")) == 4 })
				if step == "swap" {
					loseNext(m.p)
				}
				release()
				m.merged(30)
				m.traces("hold", "close at 30", "closed")
				equal(t, "merged", []string{"open", "opened"}, m.p.sink.trace("9-m.0"))
			})
		})
	}
}

// A source that is gathered elsewhere first: closed and handed off, with the merge still in its record.
func TestMergeGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMerging(t, canCloseAt)
		b := m.ready("n2")
		m.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, m.spans[0])
		m.eventually("handed off", func() bool { return m.record("a").Owner.Nobody() })
		s := m.record("a")
		if s.Intent == nil || s.Intent.HandedOff || s.Checkpoint != record.At(10) || m.claim("a") != nil {
			t.Errorf("handed off as %+v", s)
		}
		s = m.open("n2", "a")
		if s.Intent == nil || b.sink.taskOf("a").From != record.At(10) {
			t.Errorf("gathered as %+v", s)
		}
	})
}

// A stop in the middle of a merge waits for what is being closed, swaps, and hands the merged span back.
func TestStopAmidMerge(t *testing.T) {
	for _, in := range []string{"hold", "close"} {
		t.Run(in, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMerging(t, canCloseAt)
				held := map[string]map[string]chan struct{}{"hold": m.p.sink.holdHold, "close": m.p.sink.holdClose}[in]
				release := m.p.sink.hold(held, "b")
				m.ask()
				m.eventually("waits", func() bool { return len(m.p.sink.trace("b")) > 2 })
				m.p.stop()
				time.Sleep(time.Second)
				release()
				<-m.p.done
				if m.p.err != nil {
					t.Fatal(m.p.err)
				}
				s := m.record("9-m.0")
				if s.Mod == 0 || !s.Owner.Nobody() || s.Checkpoint != record.At(30) || m.claim("9-m.0") != nil {
					t.Errorf("merged span %+v, claim %v", s, m.claim("9-m.0"))
				}
			})
		})
	}
}

// A merge that does not get on is cut off by the bound of a clean stop, and the sources stay as they are.
func TestStopAmidMergeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMerging(t, canCloseAt, func(c *dispatcher.Config) { c.StopTimeout = 3 * time.Second })
		m.p.sink.hold(m.p.sink.holdHold, "b")
		m.ask()
		m.eventually("waits", func() bool { return len(m.p.sink.trace("b")) > 2 })
		start := time.Now()
		m.p.stop()
		<-m.p.done
		if d := time.Since(start); m.p.err == nil || d > 3500*time.Millisecond {
			t.Errorf("after %v: %v", d, m.p.err)
		}
		m.traces("hold", "aborted")
		for _, id := range sources {
			if s := m.record(id); s.Intent == nil {
				t.Errorf("the merge is lost: %+v", s)
			}
		}
	})
}

// The session is lost in the middle of a merge: all that runs is aborted, the new session can take the merge up.
func TestSessionLostAmidMerge(t *testing.T) {
	for _, in := range []string{"hold", "close"} {
		t.Run(in, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMerging(t, canCloseAt)
				held := map[string]map[string]chan struct{}{"hold": m.p.sink.holdHold, "close": m.p.sink.holdClose}[in]
				release := m.p.sink.hold(held, "b")
				m.ask()
				m.eventually("waits", func() bool { return len(m.p.sink.trace("b")) > 2 })
				before := m.session("n1")
				if _, err := m.etcd.Client().Delete(t.Context(), m.layout.Node("n1")); err != nil {
					t.Fatal(err)
				}
				m.eventually("a new session", func() bool { s := m.session("n1"); return s != 0 && s != before })
				release()
				trace := m.p.sink.trace("b")
				if last := trace[len(trace)-1]; last != "aborted" || m.p.sink.running() != 0 {
					t.Errorf("b: %v, %d run", trace, m.p.sink.running())
				}
				for _, id := range sources {
					if c, s := m.claim(id), m.record(id); c != nil || s.Intent == nil {
						t.Errorf("%s: claim %v, record %+v", id, c, s)
					}
				}
				m.eventually("reported", func() bool { return m.leader.node("n1").session == m.session("n1") })
				for n, id := range sources {
					m.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, m.record(id))
					m.eventually(fmt.Sprint(id, " runs"), func() bool { return m.record(id).Owner.Session == m.session("n1") })
					m.spans[n] = m.record(id)
				}
				m.ask()
				m.merged(30)
			})
		})
	}
}

// A source that fails by itself gets to no common position any more. It is closed where it is.
func TestMergeOfABrokenSource(t *testing.T) {
	for _, in := range []string{"hold", "close"} {
		t.Run(in, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMerging(t, canCloseAt)
				m.p.sink.set(func() {
					errs := map[string]map[string]error{"hold": m.p.sink.holdErr, "close": m.p.sink.closeErr}[in]
					errs["b"] = errors.New("not now")
				})
				m.ask()
				time.Sleep(time.Minute)
				tries := len(m.p.sink.trace("b"))
				m.p.sink.reporter("b").Fail(errors.New("sink is gone"))
				time.Sleep(15 * time.Second) // the next try was decided on before
				m.p.sink.set(func() { clear(m.p.sink.closeErr) })
				low := uint64(20)
				if in == "hold" {
					low = 10
				}
				m.merged(low)
				trace := m.p.sink.trace("b")
				if len(trace) < tries+2 || trace[len(trace)-1] != "closed" || trace[len(trace)-2] != "close" {
					t.Errorf("b: %v", trace)
				}
			})
		})
	}
}

// What the leader knows to be durable counts, also where the workload does not know its own position.
func TestMergeFromWhatTheLeaderKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMerging(t, closesWhere)
		m.p.sink.set(func() { clear(m.p.sink.at) })
		ask := m.askTogether(sessionv1.Ask_ACTION_CLOSE, m.spans...)
		for n := range ask.Members {
			at := uint64(70 + n)
			ask.Members[n].Checkpoint = &at
		}
		m.sendAsk("n1", ask)
		m.merged(70)
	})
}

// A merge of spans that this session does not own is refused, and nothing is kept of it.
func TestMergeOfForeignSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.tile("a", "b")
		spans := w.acceptAll(mergeOf("9-m", "a", "b"), "a", "b")
		w.sendAsk("n1", w.askTogether(sessionv1.Ask_ACTION_CLOSE, spans...))
		w.eventually("refused", func() bool { return w.leader.lastResult("n1", "a").GetResult() == refused })
		w.leader.cut("n1")
		w.eventually("reported", func() bool { return w.leader.node("n1").fulls == 2 })
		if s := w.leader.node("n1").spans; len(s) > 0 || p.Stats().Closing > 0 {
			t.Errorf("reported %v, stats %+v", s, p.Stats())
		}
	})
}
