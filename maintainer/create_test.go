package maintainer

import (
	"context"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// manyRanges are written in three parts, between the record of the keyspace and the end.
const manyRanges = 2*partsPerWrite + partsPerWrite/4

func createMany(request string) *controlv1.CreateKeyspaceRequest {
	q := &controlv1.CreateKeyspaceRequest{Cluster: "test", RequestId: request, Name: "big", Workload: "gate"}
	for i := range manyRanges {
		q.Ranges = append(q.Ranges, keyRange(fmt.Sprintf("%06d", i), fmt.Sprintf("%06d", i+1)))
	}
	return q
}

// dies has a new leader die over a request, and gives how many spans are there afterwards.
func (w *world) dies(name, point string, n int, q *controlv1.CreateKeyspaceRequest) int {
	w.t.Helper()
	m := w.maintainer(name)
	w.leads(m, time.Minute)
	w.eventually("registered", 5*time.Second, func() string { return w.unregistered(m) })
	m.diesAt("maintainer/keyspace/accept/"+point, n)
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	if _, err := w.ask(name).CreateKeyspace(ctx, q); err == nil || !m.dead {
		w.t.Fatalf("%s was to die %s write %d, and it answers: %v", name, point, n, err)
	}
	return len(w.ranges("big"))
}

// untouched fails if anything of a keyspace that is being created is owned or claimed.
func (w *world) untouched() {
	w.t.Helper()
	claims, err := w.etcd.Client().Get(w.t.Context(), w.layout.Operators("big"), clientv3.WithPrefix())
	if owners := w.owners("big"); err != nil || len(claims.Kvs) > 0 || len(owners) > 1 || owners["n1"] > 0 {
		w.t.Errorf("placed before it is complete: %v, %d claims, %v", owners, len(claims.Kvs), err)
	}
}

// One leader after the other dies over the creation of a large keyspace, around each of its writes. Each goes on where the
// one before has stopped, none does anything twice, and no node is given anything before all of it is there.
func TestALargeKeyspaceIsMadeAcrossLeaders(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("n1")
		q := createMany("r")
		operatorID := ""
		for i, death := range []struct {
			point string
			n     int
			spans int
		}{
			{"before", 1, 0}, // the record of the keyspace
			{"after", 1, 0},
			{"before", 1, 0}, // the first spans
			{"after", 1, partsPerWrite},
			{"before", 1, partsPerWrite},
			{"before", 2, 2 * partsPerWrite},
			{"after", 1, manyRanges},
			{"before", 1, manyRanges}, // the end
		} {
			name := fmt.Sprintf("m%d", i+1)
			if spans := w.dies(name, death.point, death.n, q); spans != death.spans {
				t.Fatalf("%d spans after the death of %s, want %d", spans, name, death.spans)
			}
			w.untouched()
			if i == 0 {
				continue
			}
			ks := w.keyspaceRecord("big")
			if operatorID == "" {
				operatorID = ks.CreatedBy
			}
			if ks.State != record.KeyspaceCreating || ks.CreatedBy != operatorID || ks.ExpectedSpans != manyRanges {
				t.Errorf("after the death of %s: %+v", name, ks)
			}
		}
		m := w.maintainer("m9")
		w.leads(m, time.Minute)
		time.Sleep(10 * time.Second) // placement has had its chance
		w.untouched()
		api := w.ask("m9")
		list, err := api.ListKeyspaces(w.t.Context(), &controlv1.ListKeyspacesRequest{Cluster: "test", Name: "big"})
		if err != nil || list.GetKeyspaces()[0].GetExpectedSpans() != manyRanges || list.GetKeyspaces()[0].GetSpans()["total"] != manyRanges {
			t.Errorf("%v: %v", err, list.GetKeyspaces()[0].GetSpans())
		}
		flying, err := api.ListOperators(w.t.Context(), &controlv1.ListOperatorsRequest{Cluster: "test"})
		if err != nil || len(flying.GetOperators()) != 1 || flying.GetOperators()[0].GetRequestId() != "r" {
			t.Errorf("in flight: %v, %v", flying, err)
		}
		m.quit()
		if spans := w.dies("m10", "after", 1, q); spans != manyRanges { // the end is written, and nobody is told
			t.Errorf("%d spans", spans)
		}
		m = w.maintainer("m11")
		w.leads(m, time.Minute)
		resp, err := w.ask("m11").CreateKeyspace(w.t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if o := resp.GetOperator(); o.GetId() != operatorID || o.GetOutcome() != "done" || resp.GetKeyspace().GetState() != "running" || resp.GetKeyspace().ExpectedSpans != nil {
			t.Errorf("%v", o)
		}
		all := w.ranges("big")
		if _, _, overlap := span.Overlapping(all); overlap || len(all) != manyRanges || len(span.Union(all)) != 1 {
			t.Errorf("%d spans, overlap %v", len(all), overlap)
		}
		w.owned("big", manyRanges, time.Minute)
	})
}

// A hundred spans go in one transaction.
func TestALargeKeyspaceTakesFewTransactions(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		n := w.node("n1", func(n *node) { n.mute = true }) // so that nothing is placed
		defer n.kill()
		time.Sleep(time.Second)
		before := m.Stats()
		if _, err := w.ask("m1").CreateKeyspace(w.t.Context(), createMany("r")); err != nil {
			t.Fatal(err)
		}
		if txns := m.Stats().Txns - before.Txns; txns > manyRanges/100+5 {
			t.Errorf("%d transactions for %d spans", txns, manyRanges)
		}
	})
}

// A creation that nobody goes on with is given up by a delete, which ends it as cancelled: once, whoever repeats it, and
// whatever of it lands late.
func TestACreationIsGivenUpByADelete(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("n1")
		q := createMany("r")
		if spans := w.dies("m1", "after", 2, q); spans != partsPerWrite {
			t.Fatalf("%d spans", spans)
		}
		m := w.maintainer("m2")
		w.leads(m, time.Minute)
		api := w.ask("m2")
		half := w.keyspaceRecord("big")
		read := operator.Keyspace{Name: "big", Keyspace: half, Mod: w.get(w.layout.Keyspace("big")).Kvs[0].ModRevision}
		_, err := api.CreateKeyspace(w.t.Context(), createMany("other"))
		if f, ok := fault.As(err); !ok || f.Reason != fault.AlreadyExists {
			t.Errorf("asked for again, as another request: %v", err)
		} else if want := "--request-id r, or give it up with `spanward keyspace delete big`"; len(f.Remedy) < len(want) || f.Remedy[len(f.Remedy)-len(want):] != want {
			t.Errorf("the remedy is %q", f.Remedy)
		}
		gone, err := api.ChangeKeyspaceState(w.t.Context(), &controlv1.ChangeKeyspaceStateRequest{Cluster: "test", RequestId: "d", Name: "big", Verb: "delete"})
		if err != nil {
			t.Fatal(err)
		}
		late := operator.Span{Ref: operator.Ref{Keyspace: "big", ID: spanID(half.CreatedBy, manyRanges-1)}}
		res, err := m.settle(w.t.Context(), m.current(), []txn.Part{operator.PutNewSpan(w.layout, read, late)})
		if err != nil || res[0].Outcome == txn.Done || w.span(late.Ref).Mod != 0 {
			t.Errorf("a span of the creation lands in what is being deleted: %+v, %v", res, err)
		}
		w.outcome("big", gone.GetOperator().GetId(), time.Minute)
		h := w.outcome("big", half.CreatedBy, time.Second)
		if h.Outcome != record.OutcomeCancelled || h.Cause == nil || h.Cause.Operator != gone.GetOperator().GetId() || h.Intent.RequestID != "r" {
			t.Errorf("the creation ended as %+v", h)
		}
		again, err := api.CreateKeyspace(w.t.Context(), q)
		if err != nil || again.GetOperator().GetOutcome() != "cancelled" || again.GetKeyspace().GetState() != "" {
			t.Errorf("the creation again: %v, %v", again, err)
		}
		for key := range w.everything() {
			if k, err := w.layout.Parse(key); err != nil || k.Keyspace == "big" && k.Kind != keys.History {
				t.Errorf("%s is left", key)
			}
		}
	})
}

// What is being deleted may have to be opened once more. If its settings do not let it be, they can still be set right.
func TestSettingsCanBeSetWhileAKeyspaceIsDeleted(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(1, "n1")
		w.owner(refs[0]).answers(func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_REFUSED })
		api := w.ask("m1")
		id, err := w.change(api, "delete", "d")
		if err != nil {
			t.Fatal(err)
		}
		_, err = api.SetKeyspace(w.t.Context(), &controlv1.SetKeyspaceRequest{Cluster: "test", RequestId: "s", Name: "ks", Set: map[string]string{"a": "c"}})
		if ks := w.keyspaceRecord("ks"); err != nil || ks.Settings["a"] != "c" || ks.State != record.KeyspaceDeleting || ks.Pending.Operator != id {
			t.Errorf("%v: %+v", err, ks)
		}
		w.owner(refs[0]).answers(nil)
		w.outcome("ks", id, time.Minute)
	})
}
