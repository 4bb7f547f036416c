package dispatcher_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/failpoint"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

const revoked = sessionv1.StageResult_RESULT_REVOKED

var (
	byUser    = record.Cause{By: record.ByUser, Reason: "changed my mind", RequestID: "r1", Body: []byte("body")}
	bySuccess = record.Cause{By: record.ByUser, RequestID: "r2", Body: []byte("body"), Operator: "9-gone"}
)

// cancel asks a node to end the operator that it has claimed on these spans.
func (w *world) cancel(spans ...operator.Span) {
	w.t.Helper()
	ask := w.askTogether(sessionv1.Ask_ACTION_CANCEL, spans...)
	ask.Cause = record.EncodeCause(byUser)
	w.sendAsk("n1", ask)
}

// supersede asks a node to remove the first span in place of what it has claimed.
func (w *world) supersede(spans ...operator.Span) {
	w.t.Helper()
	ask := w.askTogether(sessionv1.Ask_ACTION_SUPERSEDE, spans...)
	ask.Cause = record.EncodeCause(bySuccess)
	i := record.Intent{Operator: "9-gone", Kind: record.KindRemove, By: record.ByUser, RequestID: "r2", Body: []byte("body"), CreatedAt: time.Now()}
	ask.Successor = record.EncodeIntent(i)
	w.sendAsk("n1", ask)
}

// wasRevoked: the leader was told that an operator of the span ended early.
func (w *world) wasRevoked(id string) bool {
	return slices.ContainsFunc(w.leader.node("n1").results, func(r *sessionv1.StageResult) bool {
		return r.GetSpan() == id && r.GetResult() == revoked
	})
}

// ended checks how an operator came to its early end, and returns at which revision.
func (w *world) ended(op string, cause record.Cause) int64 {
	w.t.Helper()
	h, ok := w.history(op)
	if !ok || h.Outcome != record.OutcomeCancelled {
		w.t.Fatalf("history of %s: %+v, %v", op, h, ok)
	}
	if d := cmp.Diff(&cause, h.Cause); d != "" {
		w.t.Errorf("cause of the end of %s (-want +got):\n%s", op, d)
	}
	return w.get(w.layout.History("ks", op)).Kvs[0].ModRevision
}

// again checks that a span runs again under the claim that its closing was turned into.
func (w *world) again(id span.ID, token int64) {
	w.t.Helper()
	w.eventually(string(id)+" runs again", func() bool { return w.record(id).Owner.Token == uint64(token) })
	if s := w.record(id); s.Owner.Node != "n1" || s.Intent != nil || w.claim(id) != nil {
		w.t.Errorf("%s: %+v, claim %v", id, s, w.claim(id))
	}
}

// closing asks for an operator and waits until its Close is called.
func (w *world) closing(p *process, s operator.Span) {
	w.t.Helper()
	w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, s)
	w.eventually("closing", func() bool { return len(p.sink.trace(string(s.ID))) > 2 })
}

// A closing that hangs is cut off, and the span opens again: with a new token, from what it had reported.
func TestCancelOfAHangingClose(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			p := w.ready("n1")
			w.tile("a")
			first := w.open("n1", "a")
			p.sink.reporter("a").Report(dispatcher.Status{Checkpoint: dispatcher.At(17), Error: "slow"})
			p.sink.set(func() { p.sink.deaf["a"] = deaf })
			release := p.sink.hold(p.sink.holdClose, "a")
			s := w.acceptSplit("a", 2)
			w.closing(p, s)
			w.cancel(s)
			w.eventually("told", func() bool { return w.wasRevoked("a") })
			at := w.ended("9-a", byUser)
			w.again("a", at)
			task := p.sink.taskOf("a")
			if uint64(at) <= first.Owner.Token || task.Token != uint64(at) || task.From != record.At(17) || task.Settings["a"] != "b" {
				t.Errorf("task %+v; cancelled at %d", task, at)
			}
			w.eventually("told", func() bool { return w.leader.state("n1", "a") == sessionv1.SpanStatus_STATE_RUNNING })
			if st := w.leader.node("n1").spans["a"]; st.GetError() != "" || st.GetToken() != uint64(at) {
				t.Errorf("reported as %v", st)
			}
			release()
			time.Sleep(time.Second)
			equal(t, "events", []string{"open", "opened", "close", "aborted", "open", "opened"}, p.sink.trace("a"))
			w.cancel(s)
			w.eventually("a late cancel is refused", func() bool { return w.leader.lastResult("n1", "a").GetResult() == refused })
		})
	}
}

// A close that fails is waiting for its next try when the cancel comes: there is no next try.
func TestCancelBetweenTwoTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.tile("a")
		w.open("n1", "a")
		p.sink.set(func() { p.sink.closeErr["a"] = errors.New("flush") })
		s := w.accept("a", record.KindMove, "n2")
		w.closing(p, s)
		time.Sleep(10 * time.Second)
		tries := len(p.sink.trace("a"))
		w.cancel(s)
		w.eventually("told", func() bool { return w.wasRevoked("a") })
		w.again("a", w.ended("9-a", byUser))
		time.Sleep(time.Minute)
		equal(t, "events", []string{"aborted", "open", "opened"}, p.sink.trace("a")[tries:])
	})
}

// The answer of the transaction that ends the operator is lost.
func TestCancelWithALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.tile("a")
		w.open("n1", "a")
		p.sink.hold(p.sink.holdClose, "a")
		s := w.accept("a", record.KindMove, "n2")
		w.closing(p, s)
		loseNext(p)
		w.cancel(s)
		w.eventually("told", func() bool { return w.wasRevoked("a") })
		w.again("a", w.ended("9-a", byUser))
		equal(t, "events", []string{"open", "opened", "close", "aborted", "open", "opened"}, p.sink.trace("a"))
	})
}

// What cannot be cancelled says so and goes on: another claim, another operator, a former leader's wish, a move that was
// handed off.
func TestCancelRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.ready("n2")
		w.tile("a", "b")
		w.open("n1", "a")
		release := p.sink.hold(p.sink.holdClose, "a")
		s := w.accept("a", record.KindMove, "n1")
		w.closing(p, s)
		isRefused := func(what string, send func()) {
			t.Helper()
			before := len(w.leader.node("n1").results)
			send()
			w.eventually(what, func() bool {
				got := w.leader.node("n1").results
				return len(got) > before && got[len(got)-1].GetResult() == refused
			})
		}
		ask := w.askTogether(sessionv1.Ask_ACTION_CANCEL, s)
		ask.Cause = record.EncodeCause(byUser)
		ask.Members[0].Claim--
		isRefused("another claim", func() { w.sendAsk("n1", ask) })
		ask.Members[0].Claim++
		ask.Operator = "9-other"
		isRefused("another operator", func() { w.sendAsk("n1", ask) })
		ask.Members[0].Claim = 0
		isRefused("no claim", func() { w.sendAsk("n1", ask) })
		if p.sink.running() != 1 || len(p.sink.trace("a")) != 3 {
			t.Errorf("events %v", p.sink.trace("a"))
		}
		release()
		w.eventually("handed off", func() bool { return w.record("a").Intent.HandedOff })
		releaseOpen := p.sink.hold(p.sink.holdOpen, "a")
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, w.record("a"))
		w.eventually("opening", func() bool { return len(p.sink.trace("a")) == 5 })
		isRefused("past the commit point", func() { w.cancel(w.record("a")) })
		releaseOpen()
		w.eventually("moved", func() bool { return w.record("a").Owner.Node == "n1" && w.record("a").Intent == nil })
	})
}

// The leader that asked for the cancel is replaced before it is in etcd: it is not carried out, and the claim is given up,
// since what was interrupted is not closed.
func TestCancelOfAFormerLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.tile("a")
		before := w.open("n1", "a").Owner
		p.sink.hold(p.sink.holdClose, "a")
		release := p.sink.hold(p.sink.holdAbort, "a")
		s := w.accept("a", record.KindMove, "n2")
		w.closing(p, s)
		w.cancel(s)
		time.Sleep(time.Second)
		w.lead()
		release()
		w.eventually("given up", func() bool { return w.claim("a") == nil })
		if got := w.record("a"); got.Intent == nil || got.Owner != before {
			t.Errorf("record %+v", got)
		}
		if _, ok := w.history("9-a"); ok {
			t.Error("a former leader's cancel was carried out")
		}
		w.eventually("back", func() bool { return w.leader.node("n1").fulls == 2 })
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, w.record("a"))
		w.eventually("runs", func() bool { return p.sink.taskOf("a").Token > before.Token })
	})
}

// A remove takes the place of a move that is being closed for: the closing goes on, and ends in a removal.
func TestRemoveSupersedesAMove(t *testing.T) {
	for _, lost := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			p := w.ready("n1")
			w.tile("a")
			w.open("n1", "a")
			release := p.sink.hold(p.sink.holdClose, "a")
			s := w.accept("a", record.KindMove, "n2")
			w.closing(p, s)
			if lost {
				loseNext(p)
			}
			w.supersede(s)
			w.eventually("told", func() bool { return w.wasRevoked("a") })
			w.ended("9-a", bySuccess)
			if c, r := w.claim("a"), w.record("a"); c.Operator != "9-gone" || r.Intent.Operator != "9-gone" || r.Owner.Node != "n1" {
				t.Errorf("claim %+v, record %+v", c, r)
			}
			release()
			w.eventually("removed", func() bool { return w.record("a").Mod == 0 })
			if h, ok := w.history("9-gone"); !ok || h.Outcome != record.OutcomeDone || w.claim("a") != nil {
				t.Errorf("history %+v, %v; claim %v", h, ok, w.claim("a"))
			}
			equal(t, "events", []string{"open", "opened", "close", "closed"}, p.sink.trace("a"))
		})
	}
}

// An opening is superseded after its Open has returned, in whatever way: nothing runs, nobody owns the span, and the
// remove is in its record.
func TestRemoveSupersedesAnOpening(t *testing.T) {
	for name, want := range map[string][]string{"gives up": {"open", "gave up"}, "deaf": {"open", "opened", "aborted"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				p := w.ready("n1")
				p.sink.deaf["a"] = name == "deaf"
				release := p.sink.hold(p.sink.holdOpen, "a")
				w.tile("a")
				w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, w.record("a"))
				w.eventually("opening", func() bool { return len(p.sink.trace("a")) > 0 })
				w.supersede(w.record("a"))
				time.Sleep(time.Second)
				if name == "deaf" && w.record("a").Intent != nil {
					t.Error("superseded while Open was under way")
				}
				release()
				w.eventually("told", func() bool { return w.wasRevoked("a") })
				if s := w.record("a"); s.Intent == nil || s.Intent.Operator != "9-gone" || !s.Owner.Nobody() || w.claim("a") != nil {
					t.Errorf("record %+v, claim %v", s, w.claim("a"))
				}
				equal(t, "events", want, p.sink.trace("a"))
				p.sink.set(func() { delete(p.sink.deaf, "a") })
				w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, w.record("a"))
				w.eventually("fenced", func() bool { return w.record("a").Owner.Node == "n1" })
				w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, w.record("a"))
				w.eventually("removed", func() bool { return w.record("a").Mod == 0 })
			})
		})
	}
}

// A merge is cancelled while its sources are held, or closed: all of them run again.
func TestCancelOfAMerge(t *testing.T) {
	for _, in := range []string{"hold", "close"} {
		for _, lost := range []bool{false, true} {
			t.Run(in, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newMerging(t, canCloseAt)
					held := map[string]map[string]chan struct{}{"hold": m.p.sink.holdHold, "close": m.p.sink.holdClose}[in]
					release := m.p.sink.hold(held, "b")
					m.ask()
					m.eventually("waits", func() bool {
						return slices.Contains(m.p.sink.trace("b"), map[string]string{"hold": "hold", "close": "close at 30"}[in])
					})
					time.Sleep(time.Second)
					if lost {
						loseNext(m.p)
					}
					m.cancel(m.spans...)
					m.eventually("told", func() bool { return m.wasRevoked("c") })
					at := m.ended("9-m", byUser)
					for _, id := range sources {
						m.again(id, at)
					}
					release()
					time.Sleep(time.Second)
					end := map[string][]string{"hold": {"hold", "aborted"}, "close": {"hold", "close at 30", "closed"}}[in]
					equal(t, "a", append(append([]string{"open", "opened"}, end...), "open", "opened"), m.p.sink.trace("a"))
					if st := m.p.Stats(); st.Running != 3 || st.Closing != 0 || st.Opening != 0 {
						t.Errorf("stats %+v", st)
					}
					// What a source has reached when it closed is where it goes on.
					if from := m.p.sink.taskOf("a").From; in == "close" && from != record.At(30) {
						t.Errorf("a opened again at %v", from)
					}
				})
			})
		}
	}
}

// A source of a merge is removed: that one is really closed and deleted, the others run again.
func TestRemoveSupersedesAMerge(t *testing.T) {
	for _, in := range []string{"hold", "close"} {
		t.Run(in, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMerging(t, canCloseAt)
				held := map[string]map[string]chan struct{}{"hold": m.p.sink.holdHold, "close": m.p.sink.holdClose}[in]
				release := m.p.sink.hold(held, "b")
				m.ask()
				m.eventually("waits", func() bool {
					return slices.Contains(m.p.sink.trace("b"), map[string]string{"hold": "hold", "close": "close at 30"}[in])
				})
				time.Sleep(time.Second)
				m.supersede(m.spans[1], m.spans[0], m.spans[2])
				time.Sleep(time.Second)
				release()
				m.eventually("removed", func() bool { return m.record("b").Mod == 0 })
				at := m.ended("9-m", bySuccess)
				m.again("a", at)
				m.again("c", at)
				if h, ok := m.history("9-gone"); !ok || h.Outcome != record.OutcomeDone || m.claim("b") != nil {
					t.Errorf("history %+v, %v; claim %v", h, ok, m.claim("b"))
				}
				end := map[string]string{"hold": "close", "close": "close at 30"}[in]
				equal(t, "b", []string{"open", "opened", "hold", end, "closed"}, m.p.sink.trace("b"))
			})
		})
	}
}

// A source that does not run, since the session had to give it up, opens like the others when the merge is cancelled: with
// the workload and the settings that the ask has told. Without that workload it is given up.
func TestCancelOfAMergeWithASourceThatDoesNotRun(t *testing.T) {
	for _, workload := range []string{"test", "mirror"} {
		t.Run(workload, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				p := w.ready("n1")
				w.tile("a", "b")
				w.open("n1", "a")
				b := w.record("b")
				b.Owner = record.Owner{Node: "n1", Session: w.session("n1"), Token: 5}
				w.put(w.layout.Span("ks", "b"), record.EncodeSpan(b.Span))
				p.sink.hold(p.sink.holdClose, "a")
				spans := w.acceptAll(mergeOf("9-m", "a", "b"), "a", "b")
				ask := w.askTogether(sessionv1.Ask_ACTION_CLOSE, spans...)
				ask.Workload = workload
				w.sendAsk("n1", ask)
				w.eventually("closing", func() bool { return len(p.sink.trace("a")) == 3 })
				w.cancel(spans...)
				w.eventually("told", func() bool { return w.wasRevoked("b") })
				at := w.ended("9-m", byUser)
				w.again("a", at)
				if workload == "test" {
					w.again("b", at)
					return
				}
				w.eventually("given up", func() bool { return w.leader.lastResult("n1", "b").GetResult() == openFailed })
				if s := w.record("b"); !s.Owner.Nobody() || w.claim("b") != nil {
					t.Errorf("b: %+v, claim %v", s, w.claim("b"))
				}
			})
		})
	}
}

// A source that had failed by itself is well when it is opened again.
func TestCancelOfAMergeOfABrokenSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMerging(t, canCloseAt)
		m.p.sink.hold(m.p.sink.holdHold, "b")
		m.ask()
		m.eventually("held", func() bool { return slices.Contains(m.p.sink.trace("b"), "hold") })
		m.p.sink.reporter("a").Fail(errors.New("sink is gone"))
		time.Sleep(time.Second)
		m.cancel(m.spans...)
		m.eventually("told", func() bool { return m.wasRevoked("a") })
		m.again("a", m.ended("9-m", byUser))
		time.Sleep(time.Second)
		if st := m.leader.node("n1").spans["a"]; st.GetState() != sessionv1.SpanStatus_STATE_RUNNING || st.GetError() != "" {
			t.Errorf("reported as %v", st)
		}
	})
}

// The cancel comes just after the Close has returned: the instance is not touched any more, and the position that it closed
// at is where the span goes on.
func TestCancelJustAfterTheClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		returned, goOn := make(chan struct{}), make(chan struct{})
		p := w.ready("n1", func(c *dispatcher.Config) {
			c.Failpoints = failpoint.NewHook(func(_ context.Context, name string) error {
				if name == "dispatcher/move/close/after" {
					close(returned)
					<-goOn
				}
				return nil
			})
		})
		w.tile("a")
		w.open("n1", "a")
		p.sink.position = record.At(41)
		s := w.accept("a", record.KindMove, "n2")
		w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, s)
		<-returned
		w.cancel(s)
		time.Sleep(time.Second)
		close(goOn)
		w.eventually("told", func() bool { return w.wasRevoked("a") })
		w.again("a", w.ended("9-a", byUser))
		if from := p.sink.taskOf("a").From; from != record.At(41) {
			t.Errorf("opened again at %v", from)
		}
		equal(t, "events", []string{"open", "opened", "close", "closed", "open", "opened"}, p.sink.trace("a"))
	})
}

// A former leader's wish to remove a source of a merge that closes is not carried out. What was cut off for it is given up,
// and the merge is still there for the next leader.
func TestSupersedeOfAMergeByAFormerLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMerging(t, canCloseAt)
		m.p.sink.hold(m.p.sink.holdClose, "b")
		m.p.sink.hold(m.p.sink.holdClose, "c")
		m.ask()
		m.eventually("closing", func() bool { return len(m.p.sink.trace("b")) == 4 && len(m.p.sink.trace("a")) == 5 })
		older := m.term
		m.lead()
		m.eventually("the stream is back", func() bool { return m.leader.node("n1").fulls == 2 })
		m.leader.setTerm(older)
		m.supersede(m.spans[1], m.spans[0], m.spans[2])
		m.eventually("given up", func() bool { return m.claim("a") == nil && m.claim("b") == nil && m.claim("c") == nil })
		for n, id := range sources {
			if s := m.record(id); s.Mod != m.spans[n].Mod {
				t.Errorf("%s: %+v", id, s)
			}
		}
		m.eventually("nothing runs", func() bool { return m.p.sink.running() == 0 && len(m.leader.node("n1").spans) > 0 })
		m.leader.setTerm(m.term)
		m.ask()
		m.swapped("n1", sources, []span.ID{"9-m.0"})
	})
}

// A merge is cancelled while one of its sources is only being gathered: that opening is given up, and both are rid of it.
func TestCancelOfAGathering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.tile("a", "b")
		b := w.open("n1", "b")
		spans := w.acceptAll(mergeOf("9-m", "a", "b"), "a", "b")
		p.sink.hold(p.sink.holdOpen, "a")
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, spans[0])
		w.eventually("opening", func() bool { return len(p.sink.trace("a")) == 1 })
		w.cancel(spans[1], spans[0]) // only the second one is claimed
		w.eventually("told", func() bool { return w.wasRevoked("a") })
		w.ended("9-m", byUser)
		if s := w.record("a"); !s.Owner.Nobody() || s.Intent != nil || w.claim("a") != nil {
			t.Errorf("a: %+v, claim %v", s, w.claim("a"))
		}
		if s := w.record("b"); s.Owner != b.Owner || s.Intent != nil {
			t.Errorf("b: %+v", s)
		}
		equal(t, "a", []string{"open", "gave up"}, p.sink.trace("a"))
		equal(t, "b", []string{"open", "opened"}, p.sink.trace("b"))
	})
}

// A clean stop while a cancelled closing is being cut off: nothing opens again, the span is handed back without its operator.
func TestStopAmidCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.tile("a")
		w.open("n1", "a")
		p.sink.set(func() { p.sink.deaf["a"] = true })
		releaseClose := p.sink.hold(p.sink.holdClose, "a")
		defer releaseClose()
		release := p.sink.hold(p.sink.holdAbort, "a")
		s := w.accept("a", record.KindMove, "n2")
		w.closing(p, s)
		w.cancel(s)
		time.Sleep(time.Second)
		start := time.Now()
		p.stop()
		time.Sleep(time.Second)
		release()
		<-p.done
		// The Close that ignores everything is waited for as long as the end of a process may take.
		if d := time.Since(start); p.err != nil || d > 4*time.Second {
			t.Errorf("after %v: %v", d, p.err)
		}
		w.ended("9-a", byUser)
		if s := w.record("a"); !s.Owner.Nobody() || s.Intent != nil || w.claim("a") != nil {
			t.Errorf("record %+v, claim %v", s, w.claim("a"))
		}
		equal(t, "events", []string{"open", "opened", "close", "aborted"}, p.sink.trace("a"))
	})
}

// The session is lost while a cancelled closing is being cut off: the operator is still there for whoever comes next.
func TestSessionLostAmidCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.tile("a")
		first := w.open("n1", "a").Owner
		p.sink.hold(p.sink.holdClose, "a")
		release := p.sink.hold(p.sink.holdAbort, "a")
		s := w.accept("a", record.KindMove, "n2")
		w.closing(p, s)
		w.cancel(s)
		time.Sleep(time.Second)
		before := w.session("n1")
		if _, err := w.etcd.Client().Delete(t.Context(), w.layout.Node("n1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		release()
		w.eventually("a new session", func() bool { s := w.session("n1"); return s != 0 && s != before })
		if got := w.record("a"); got.Intent == nil || got.Mod != s.Mod || w.claim("a") != nil {
			t.Errorf("record %+v, claim %v", got, w.claim("a"))
		}
		equal(t, "events", []string{"open", "opened", "close", "aborted"}, p.sink.trace("a"))
		w.eventually("reported", func() bool { return w.leader.node("n1").session == w.session("n1") })
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, w.record("a"))
		w.eventually("runs", func() bool { return p.sink.taskOf("a").Token > first.Token })
	})
}
