package maintainer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/audit"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

// past puts n finished operators, that many hours ago and a second apart, the oldest first.
func (w *world) past(keyspace string, term, n int, ago time.Duration) (ids []string) {
	w.t.Helper()
	var ops []clientv3.Op
	for i := range n {
		id := fmt.Sprintf("%d-%d", term, i+1)
		at := time.Now().Add(-ago + time.Duration(i)*time.Second)
		ids = append(ids, id)
		ops = append(ops, clientv3.OpPut(w.layout.History(keyspace, id), string(record.EncodeHistory(record.History{
			Intent: record.Intent{
				Operator: id, Kind: record.KindAdd, By: record.ByUser, RequestID: "request " + id, CreatedAt: at.Add(-time.Second),
			},
			Outcome: record.OutcomeDone, FinishedAt: at,
		}))))
	}
	for some := range slices.Chunk(ops, 100) {
		if _, err := w.etcd.Client().Txn(context.Background()).Then(some...).Commit(); err != nil {
			w.t.Fatal(err)
		}
	}
	return ids
}

// remembered are the finished operators of a keyspace in etcd.
func (w *world) remembered(keyspace string) (ids []string) {
	w.t.Helper()
	prefix := w.layout.AllHistory() + keyspace + "/"
	r, err := w.etcd.Client().Get(context.Background(), prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, kv := range r.Kvs {
		ids = append(ids, strings.TrimPrefix(string(kv.Key), prefix))
	}
	return ids
}

// The leader dies in the middle of a long history that has become too old at once, and the next goes on. What is young, what
// is in flight, and what every other key says stays as it was.
func TestTrimmingGoesOnAtTheNextLeader(t *testing.T) {
	inWorld(t, func(w *world) {
		keep := func(c *Config) { c.HistoryAge, c.HistoryCount = time.Hour, 50 }
		m1 := w.maintainer("m1", keep)
		w.leads(m1, 5*time.Second)
		m2 := w.maintainer("m2", keep)
		w.node("n1", func(n *node) {
			n.answer = func(a *sessionv1.Ask) sessionv1.StageResult_Result {
				if a.GetAction() == sessionv1.Ask_ACTION_CLOSE {
					return sessionv1.StageResult_RESULT_REFUSED
				}
				return sessionv1.StageResult_RESULT_CLAIMED // it carries it out
			}
		})
		w.eventually("registered", 5*time.Second, func() string { return w.unregistered(m1) })
		api := w.ask("m2")
		made := w.create(api, "ks", keyRange("a", "b"))
		moved := spanID(made.GetOperator().GetId(), 0)
		w.owned("ks", 1, 5*time.Second)
		removed, err := api.RemoveSpan(w.t.Context(), &controlv1.RemoveSpanRequest{Cluster: "test", RequestId: "rm", Keyspace: "ks", Span: string(moved)})
		if err != nil {
			t.Fatal(err)
		}

		old := w.past("ks", 1, 250, 24*time.Hour)
		gone := w.past("gone", 2, 20, 2*time.Hour)    // of a keyspace that exists no more
		many := w.past("gone", 3, 70, 30*time.Minute) // too many, not too old
		fresh := w.past("ks", 40, 70, 90*time.Second) // too many, but somebody may still wait for them
		kept := w.everything()
		var written atomic.Int64
		m1.at(func(name string) error {
			if name != "maintainer/any/trim/after" {
				return nil
			}
			if written.Add(1) == 2 {
				m1.kill(true)
				return errKilled
			}
			return nil
		})
		w.eventually("m1 is killed while it trims", time.Minute, func() string {
			if m1.current() == nil {
				return ""
			}
			return fmt.Sprint("after ", written.Load(), " batches")
		})
		left := w.remembered("ks")
		if len(left) <= len(fresh) || slices.Contains(left, old[0]) || !slices.Contains(left, old[249]) {
			t.Fatalf("%d are left when the leader is killed: trimmed at once, or not the oldest first", len(left))
		}
		w.leads(m2, 10*time.Second)
		w.eventually("trimmed", time.Minute, func() string {
			if ids := append(w.remembered("ks"), w.remembered("gone")...); slices.Contains(ids, old[249]) || slices.Contains(ids, gone[19]) || slices.Contains(ids, many[19]) {
				return fmt.Sprint(len(ids), " are left")
			}
			return ""
		})
		if got := w.remembered("gone"); len(got) != 50 || slices.Contains(got, many[19]) || !slices.Contains(got, many[20]) {
			t.Errorf("of a keyspace that is no more: %d entries, the last %d of these wanted: %v", len(got), 50, got)
		}
		// The creation and those that ended a moment ago.
		if got := w.remembered("ks"); len(got) != len(fresh)+1 || !slices.Contains(got, made.GetOperator().GetId()) {
			t.Errorf("%d are remembered, not %d: %v", len(got), len(fresh)+1, got)
		}
		for key, mod := range w.everything() {
			if strings.HasPrefix(key, w.layout.AllHistory()) && kept[key] != mod {
				t.Errorf("%s was written again", key)
			}
		}
		op, err := w.ask("m2").ListOperators(w.t.Context(), &controlv1.ListOperatorsRequest{Cluster: "test", Id: removed.GetOperator().GetId()})
		if err != nil || op.GetOperators()[0].GetOutcome() != "" {
			t.Errorf("the operator in flight: %v, %v", op, err)
		}
		time.Sleep(3 * time.Minute)
		if got := w.remembered("ks"); len(got) != 50 || slices.Contains(got, fresh[19]) {
			t.Errorf("%d are remembered when all are old enough", len(got))
		}
		_, err = w.ask("m2").ListOperators(w.t.Context(), &controlv1.ListOperatorsRequest{Cluster: "test", Id: old[0]})
		if !fault.Is(err, fault.UnknownOperator) {
			t.Errorf("an operator that was forgotten: %v", err)
		}
	})
}

// Nothing is deleted that is not what was looked at, and a lost answer is no harm.
func TestTrimmingComparesTheEntry(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", func(c *Config) { c.HistoryAge = time.Hour })
		w.leads(m, 5*time.Second)
		lost := 0
		m.etcd.Inject(func(c etcdtest.Call) etcdtest.Fault {
			if c.Method == "Txn" && lost < 1 && len(w.remembered("ks")) > 0 {
				lost++
				return etcdtest.Fault{Lose: true}
			}
			return etcdtest.Fault{}
		})
		ids := w.past("ks", 1, 3, 2*time.Hour)
		w.eventually("trimmed", time.Minute, func() string { return strings.Join(w.remembered("ks"), " ") })
		part := operator.Trim(w.layout, "ks", ids[0], 1)
		w.past("ks", 1, 1, 0)
		if res, err := m.current().write(w.t.Context(), []txn.Part{part}); err != nil || len(w.remembered("ks")) != 1 {
			t.Errorf("deleted what was put later: %v, %v", res, err)
		}
	})
}

// Real operators end, are forgotten, and their request ids with them: the same request is another operator after that. To
// whoever audits etcd's history nothing is lost.
func TestARequestIsRememberedAsLongAsItsOperator(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", func(c *Config) { c.HistoryAge = settings.ShortestHistoryAge })
		w.leads(m, 5*time.Second)
		w.node("n1")
		w.eventually("registered", 5*time.Second, func() string { return w.unregistered(m) })
		api := w.ask("m1")
		w.create(api, "ks", keyRange("a", "b"))
		add := func() string {
			resp, err := api.AddSpan(w.t.Context(), &controlv1.AddSpanRequest{Cluster: "test", RequestId: "add", Keyspace: "ks", Range: keyRange("b", "c")})
			if err != nil {
				t.Fatal(err)
			}
			return resp.GetOperator().GetId()
		}
		first := add()
		w.owned("ks", 2, 5*time.Second)
		time.Sleep(settings.ShortestHistoryAge - 10*time.Second)
		if again := add(); again != first {
			t.Errorf("operator %s, and then %s", first, again)
		}
		time.Sleep(30 * time.Second)
		if ids := w.remembered("ks"); len(ids) != 0 {
			t.Errorf("still remembered: %v", ids)
		}
		_, err := api.AddSpan(w.t.Context(), &controlv1.AddSpanRequest{Cluster: "test", RequestId: "add", Keyspace: "ks", Range: keyRange("c", "d")})
		if err != nil {
			t.Errorf("the request id is free again: %v", err)
		}
		w.owned("ks", 3, 5*time.Second)
		audit.CheckMoving(t, w.etcd.Client(), w.layout)
	})
}

func TestTrimTimes(t *testing.T) {
	for _, tc := range []struct {
		name  string
		keep  retention
		ages  []time.Duration // the oldest first
		limit int
		want  int
	}{
		{"all young", retention{time.Hour, 10}, []time.Duration{50 * time.Minute, time.Minute}, 9, 0},
		{"one too old", retention{time.Hour, 10}, []time.Duration{time.Hour + 1, time.Hour}, 9, 1},
		{"one too many", retention{time.Hour, 2}, []time.Duration{50 * time.Minute, 40 * time.Minute, time.Minute}, 9, 1},
		{"too many, but too young", retention{time.Hour, 1}, []time.Duration{3 * time.Minute, keptAtLeast, time.Minute}, 9, 1},
		{"some at a time", retention{time.Hour, 1}, []time.Duration{5 * time.Hour, 4 * time.Hour, 3 * time.Hour}, 2, 2},
		{"a clock that is ahead", retention{time.Hour, 1}, []time.Duration{2 * time.Hour, -time.Hour}, 9, 1},
	} {
		sc := newScene(t)
		for i, age := range tc.ages {
			sc.put(sc.l.History("ks", fmt.Sprintf("1-%d", i+1)), record.EncodeHistory(record.History{
				Intent:  record.Intent{Operator: fmt.Sprintf("1-%d", i+1), Kind: record.KindAdd, By: record.ByUser},
				Outcome: record.OutcomeDone, FinishedAt: sc.now.Add(-age),
			}))
		}
		got := tc.keep.expired(sc.s, sc.now, tc.limit)
		if len(got) != tc.want {
			t.Errorf("%s: %d go, want %d", tc.name, len(got), tc.want)
		}
		for i, h := range got {
			if want := fmt.Sprintf("1-%d", i+1); h.Intent.Operator != want {
				t.Errorf("%s: %s goes before %s", tc.name, h.Intent.Operator, want)
			}
		}
	}
}
