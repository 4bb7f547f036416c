package maintainer

import (
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
)

func (w *world) pause(at, name string, paused bool) *controlv1.Scheduler {
	w.t.Helper()
	resp, err := w.ask(at).SetScheduler(w.t.Context(), &controlv1.SetSchedulerRequest{Cluster: "test", Name: name, Paused: paused})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetScheduler()
}

func (w *world) schedulers(at string) map[string]*controlv1.Scheduler {
	w.t.Helper()
	resp, err := w.ask(at).ListSchedulers(w.t.Context(), &controlv1.ListSchedulersRequest{Cluster: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]*controlv1.Scheduler{}
	for _, s := range resp.GetSchedulers() {
		out[s.GetName()] = s
	}
	return out
}

func (w *world) status(at string) *controlv1.GetStatusResponse {
	w.t.Helper()
	resp, err := w.ask(at).GetStatus(w.t.Context(), &controlv1.GetStatusRequest{Cluster: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

// A pause is a setting: it is seen in all places, outlives the leader, and is over when it is taken back.
func TestAPlannerIsPausedWhoeverLeads(t *testing.T) {
	inWorld(t, func(w *world) {
		m1, _ := w.settled(2, "n1", "n2")
		m2 := w.maintainer("m2")
		if got := w.pause("m1", "balance", true); got.GetName() != "balance" || got.GetState() != "paused" || got.GetHelp() == "" {
			t.Errorf("%v", got)
		}
		w.pause("m1", "placement", true)
		paused := func(at string, want ...string) {
			t.Helper()
			var got []string
			for _, p := range settings.Planners {
				if w.schedulers(at)[p.Name].GetState() == "paused" {
					got = append(got, p.Name)
				}
			}
			status := w.status(at)
			if !slices.Equal(got, want) || !slices.Equal(status.GetPaused(), want) {
				t.Errorf("at %s: %v, status %v, want %v", at, got, status.GetPaused(), want)
			}
			n := 0
			for _, p := range status.GetProblems() {
				if p.GetKind() != problemPaused {
					continue
				}
				n++
				if !strings.Contains(p.GetMessage(), " is paused: nothing ") || !strings.Contains(p.GetMessage(), "`spanward scheduler resume ") {
					t.Errorf("%v", p)
				}
			}
			if n != len(want) {
				t.Errorf("%d problems of %d pauses", n, len(want))
			}
		}
		paused("m1", "placement", "balance")
		w.expect("m1", "", "scheduler.balance", "paused cluster")
		time.Sleep(2 * time.Second)
		m1.kill(false)
		w.leads(m2, 10*time.Second)
		paused("m2", "placement", "balance")
		if got := w.pause("m2", "placement", false); got.GetState() != "on" {
			t.Errorf("%v", got)
		}
		w.pause("m2", "balance", false)
		paused("m2")
		w.expect("m2", "", "scheduler.balance", "on default")
	})
}

// A planner that does not exist is refused with the names of those that do, and nothing is written.
func TestAnUnknownPlannerIsRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(1, "n1")
		before := w.everything()
		for _, name := range []string{"", "warp", "scheduler.balance"} {
			_, err := w.invoke("m1", &controlv1.SetSchedulerRequest{Name: name, Paused: true})
			if !fault.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), "placement, drain, balance, split, merge") {
				t.Errorf("%q: %v", name, err)
			}
		}
		for key, mod := range w.everything() {
			if before[key] != mod {
				t.Errorf("%s was written", key)
			}
		}
	})
}

// What each planner has in flight is counted from the records: an operator of several spans once, and a user's for none.
func TestPlannersTellWhatTheyHaveInFlight(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(10, "n1", "n2")
		for _, n := range w.nodes {
			n.answers(func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_UNSPECIFIED })
		}
		put := func(kind record.Kind, by record.By, id string, spans ...int) {
			t.Helper()
			i := &record.Intent{Operator: id, Kind: kind, By: by, CreatedAt: time.Now()}
			for _, n := range spans {
				i.Spans = append(i.Spans, string(refs[n].ID))
			}
			if kind == record.KindSplit {
				i.At, i.Results = []string{w.span(refs[spans[0]]).Range.Start + "5"}, []string{id + ".0", id + ".1"}
			}
			if kind == record.KindMerge {
				i.Results = []string{id + ".0"}
			}
			if kind == record.KindMove {
				i.From = w.span(refs[spans[0]]).Owner.Node
				i.To = map[string]string{"n1": "n2", "n2": "n1"}[i.From]
			}
			var ops []clientv3.Op
			for _, n := range spans {
				s := w.span(refs[n]).Span
				s.Intent = i
				ops = append(ops, clientv3.OpPut(w.layout.Span("ks", refs[n].ID), string(record.EncodeSpan(s))))
			}
			if _, err := w.etcd.Client().Txn(w.t.Context()).Then(ops...).Commit(); err != nil {
				t.Fatal(err)
			}
		}
		put(record.KindMove, record.ByDrain, "1-100", 0)
		put(record.KindMove, record.ByBalance, "1-101", 1)
		put(record.KindMove, record.ByBalance, "1-102", 2)
		put(record.KindMove, record.ByUser, "1-103", 3)
		put(record.KindSplit, record.ByLoad, "1-104", 4)
		put(record.KindMerge, record.ByLoad, "1-105", 5, 6, 7)
		w.mustSet("m1", "", "balance.in-flight=7", "reshape.in-flight=3", "drain.in-flight=9")
		standard := w.schedulers("m1")
		for name, want := range map[string][2]int64{
			"placement": {0, 0}, "drain": {1, 9}, "balance": {2, 7}, "split": {1, 3}, "merge": {1, 3},
		} {
			if got := standard[name]; got.GetInFlight() != want[0] || got.GetLimit() != want[1] {
				t.Errorf("%s: %v, want %d of %d", name, got, want[0], want[1])
			}
		}
	})
}
