package dispatcher_test

import (
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

// acceptSplit cuts a span's range into n parts.
func (w *world) acceptSplit(id span.ID, n int) operator.Span {
	w.t.Helper()
	i := record.Intent{Operator: "9-" + string(id), Kind: record.KindSplit, By: record.ByUser, CreatedAt: time.Now()}
	for k := range n {
		if k > 0 {
			i.At = append(i.At, fmt.Sprintf("%s%02d", id, k))
		}
		i.Results = append(i.Results, fmt.Sprintf("9-%s.%d", id, k))
	}
	return w.acceptAll(i, id)[0]
}

func childrenOf(s operator.Span) (ids []span.ID) {
	for _, id := range s.Intent.Results {
		ids = append(ids, span.ID(id))
	}
	return ids
}

func (w *world) created(id span.ID) int64 {
	return w.get(w.layout.Span("ks", id)).Kvs[0].CreateRevision
}

// swapped waits until nothing is left of the parents and all children run at the node, and returns their records.
func (w *world) swapped(node string, parents []span.ID, children []span.ID) (made []operator.Span) {
	w.t.Helper()
	w.eventually("the children run", func() bool {
		made = nil
		for _, id := range children {
			s := w.record(id)
			if s.Owner.Node != node {
				return false
			}
			made = append(made, s)
		}
		return true
	})
	for _, id := range parents {
		if w.record(id).Mod != 0 || w.claim(id) != nil {
			w.t.Errorf("%s is still there", id)
		}
	}
	for _, id := range children {
		if c := w.claim(id); c != nil {
			w.t.Errorf("claim of %s left: %+v", id, c)
		}
	}
	return made
}

// A span is closed and its children open at once, where it ran: with the revision of the one transaction as their token,
// from the final position, with what the leader said about the parent, and without another word of his.
func TestSplit(t *testing.T) {
	for _, n := range []int{2, 60} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				p := w.ready("n1")
				w.tile("a")
				parent := w.open("n1", "a")
				p.sink.position = record.At(41)
				s := w.acceptSplit("a", n)
				asks := len(w.leader.node("n1").results)
				w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, s)
				made := w.swapped("n1", []span.ID{"a"}, childrenOf(s))

				h, ok := w.history("9-a")
				at := w.get(w.layout.History("ks", "9-a")).Kvs[0].ModRevision
				if !ok || h.Outcome != record.OutcomeDone || uint64(at) <= parent.Owner.Token {
					t.Errorf("history %+v, %v", h, ok)
				}
				for k, c := range made {
					start := append([]string{"a"}, s.Intent.At...)[k]
					if c.Owner.Token != uint64(at) || c.Range.Start != start || c.Intent != nil || w.created(c.ID) != at {
						t.Errorf("child %d: %+v; the swap is at %d", k, c, at)
					}
				}
				for _, c := range made {
					task := p.sink.taskOf(string(c.ID))
					if task.From != record.At(41) || task.Token != uint64(at) || task.Settings["a"] != "b" || task.Parents[0] != "a" {
						t.Errorf("task %+v", task)
					}
				}
				equal(t, "events", []string{"open", "opened", "close", "closed"}, p.sink.trace("a"))
				w.eventually("told", func() bool {
					return w.leader.state("n1", "a") == sessionv1.SpanStatus_STATE_GONE &&
						w.leader.state("n1", s.Intent.Results[n-1]) == sessionv1.SpanStatus_STATE_RUNNING
				})
				if last := w.leader.lastResult("n1", "a"); last.GetResult() != done || last.GetOperator() != "9-a" {
					t.Errorf("results after %d: %v", asks, w.leader.node("n1").results[asks:])
				}
				w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, s)
				w.eventually("a late ask is refused", func() bool { return w.leader.lastResult("n1", "a").GetResult() == refused })
			})
		})
	}
}

// The answer of the swap, or of the claim before it, is lost: the children run all the same, with the same token.
func TestSplitWithLostAnswers(t *testing.T) {
	for _, step := range []string{"claim", "swap"} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				p := w.ready("n1")
				w.tile("a")
				w.open("n1", "a")
				release := p.sink.hold(p.sink.holdClose, "a")
				s := w.acceptSplit("a", 3)
				if step == "claim" {
					loseNext(p)
				}
				w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, s)
				w.eventually("closing", func() bool { return len(p.sink.trace("a")) == 3 })
				if step == "swap" {
					loseNext(p)
				}
				release()
				made := w.swapped("n1", []span.ID{"a"}, childrenOf(s))
				at := w.get(w.layout.History("ks", "9-a")).Kvs[0].ModRevision
				for _, c := range made {
					equal(t, "events", []string{"open", "opened"}, p.sink.trace(string(c.ID)))
					if c.Owner.Token != uint64(at) {
						t.Errorf("token %d of %s, the swap is at %d", c.Owner.Token, c.ID, at)
					}
				}
			})
		})
	}
}

// A stop in the middle of a split: the span is closed and swapped, the children are handed back.
func TestStopAmidSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1", func(c *dispatcher.Config) { c.StopTimeout = 3 * time.Second })
		w.tile("a")
		w.open("n1", "a")
		release := p.sink.hold(p.sink.holdClose, "a")
		s := w.acceptSplit("a", 3)
		w.leader.ask("n1", sessionv1.Ask_ACTION_CLOSE, s)
		w.eventually("closing", func() bool { return len(p.sink.trace("a")) == 3 })
		for _, id := range s.Intent.Results {
			p.sink.hold(p.sink.holdOpen, id)
		}
		p.stop()
		time.Sleep(time.Second)
		release()
		<-p.done
		if p.err != nil {
			t.Fatal(p.err)
		}
		for _, id := range childrenOf(s) {
			if c := w.record(id); c.Mod == 0 || !c.Owner.Nobody() || w.claim(id) != nil {
				t.Errorf("%s: %+v, claim %v", id, c, w.claim(id))
			}
		}
	})
}

// What the leader knows to be durable counts, also where the workload does not know its own position.
func TestSplitFromWhatTheLeaderKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.tile("a")
		w.open("n1", "a")
		s := w.acceptSplit("a", 2)
		ask, at := askFor(sessionv1.Ask_ACTION_CLOSE, s), uint64(99)
		ask.Members[0].Checkpoint = &at
		w.sendAsk("n1", ask)
		for _, c := range w.swapped("n1", []span.ID{"a"}, childrenOf(s)) {
			if c.Checkpoint != record.At(99) || p.sink.taskOf(string(c.ID)).From != record.At(99) {
				t.Errorf("child %+v, task %+v", c, p.sink.taskOf(string(c.ID)))
			}
		}
	})
}

// The session is lost while the span is closed for a split, or just as the swap lands: nothing is left half done, and the
// next session finds either the parent with its operator or the children.
func TestSessionLostAmidSplit(t *testing.T) {
	for _, in := range []string{"close", "swap"} {
		t.Run(in, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				p := w.ready("n1")
				w.tile("a")
				w.open("n1", "a")
				release := p.sink.hold(p.sink.holdClose, "a")
				s := w.acceptSplit("a", 3)
				w.closing(p, s)
				before := w.session("n1")
				if in == "swap" {
					loseNext(p)
					release()
					w.eventually("swapped", func() bool { return w.record("a").Mod == 0 })
				}
				if _, err := w.etcd.Client().Delete(t.Context(), w.layout.Node("n1")); err != nil {
					t.Fatal(err)
				}
				w.eventually("a new session", func() bool { s := w.session("n1"); return s != 0 && s != before })
				if n := p.sink.running(); n != 0 {
					t.Errorf("%d instances run", n)
				}
				left := []span.ID{"a"}
				if in == "swap" {
					left = childrenOf(s)
				} else if got := w.record("a"); got.Mod != s.Mod {
					t.Errorf("record %+v", got)
				}
				w.eventually("reported", func() bool { return w.leader.node("n1").session == w.session("n1") })
				for _, id := range left {
					if c := w.claim(id); c != nil || w.record(id).Mod == 0 {
						t.Errorf("%s: claim %v, record %+v", id, c, w.record(id))
					}
					w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, w.record(id))
					w.eventually(string(id)+" runs", func() bool { return w.record(id).Owner.Session == w.session("n1") })
				}
			})
		})
	}
}
