package world

import (
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
)

func askPause(w *World, _ []string) error  { return w.change("pause", "pause") }
func askResume(w *World, _ []string) error { return w.change("resume", "resume") }
func askDelete(w *World, _ []string) error { return w.change("delete", "delete") }

// change asks for another state of the keyspace until there is an answer, and waits until the operator has ended.
func (w *World) change(verb, request string) error {
	err := w.repeat(func() error {
		ctx, cancel := w.ctx()
		defer cancel()
		_, err := w.Control().ChangeKeyspaceState(ctx, &controlv1.ChangeKeyspaceStateRequest{RequestId: request, Name: ks, Verb: verb})
		return err
	})
	if err != nil {
		return err
	}
	if err := w.ended(request); err != nil {
		return err
	}
	if h := w.outcomes(ks)[request]; h.Outcome != record.OutcomeDone || h.Intent.Kind != record.KindKeyspace {
		return fmt.Errorf("%s ended as %+v", verb, h)
	}
	return nil
}

// notPaused says what still runs in a paused keyspace, or is missing from it.
func (w *World) notPaused() string {
	ctx, cancel := w.ctx()
	defer cancel()
	list, err := w.cli.ListSpans(ctx, &controlv1.ListSpansRequest{Keyspace: ks})
	if err != nil {
		return err.Error()
	}
	if len(list) != 2 {
		return fmt.Sprintf("%d spans", len(list))
	}
	for _, s := range list {
		if s.GetState() != "paused" {
			return s.GetId() + " is " + s.GetState()
		}
	}
	if now := w.sink.running(); len(now) > 0 {
		return fmt.Sprintf("instances run: %v", now)
	}
	return ""
}

// notDeleted says what is left of a keyspace beside its history.
func (w *World) notDeleted() string {
	ctx, cancel := w.ctx()
	defer cancel()
	all, err := w.etcd.Client().Get(ctx, w.layout.Root(), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return err.Error()
	}
	for _, kv := range all.Kvs {
		if k, err := w.layout.Parse(string(kv.Key)); err != nil || k.Keyspace == ks && !strings.HasPrefix(string(kv.Key), w.layout.HistoryOf(ks)) {
			return string(kv.Key) + " is left"
		}
	}
	if now := w.sink.running(); len(now) > 0 {
		return fmt.Sprintf("instances run: %v", now)
	}
	return ""
}

// What is paused starts again where it stopped, a pause that a delete overtakes ends as cancelled, and a keyspace can be
// made again under the name of one that was deleted.
func TestAKeyspaceThroughAllItsStates(t *testing.T) {
	inBubble(t, func(w *World, spans []string) {
		for _, verb := range []string{"pause", "resume"} {
			if err := w.change(verb, verb); err != nil {
				t.Fatal(err)
			}
		}
		w.Until("two spans running again", func() string { return w.unsettled(ks, 2) })
		w.Proc(w.owner(spans[0])).load.closeFor = restartAfter // the pause is not over when the delete comes
		ctx, cancel := w.ctx()
		defer cancel()
		_, err := w.Control().ChangeKeyspaceState(ctx, &controlv1.ChangeKeyspaceStateRequest{RequestId: "late", Name: ks, Verb: "pause"})
		if err != nil {
			t.Fatal(err)
		}
		list, err := w.Control().ListOperators(ctx, &controlv1.ListOperatorsRequest{})
		if err != nil || len(list.GetOperators()) != 1 || list.GetOperators()[0].GetStage() != "closing" || list.GetOperators()[0].GetType() != "keyspace" {
			t.Fatalf("in flight: %v %v", list, err)
		}
		if _, err := w.Control().ChangeKeyspaceState(ctx, &controlv1.ChangeKeyspaceStateRequest{RequestId: "early", Name: ks, Verb: "resume"}); err == nil ||
			!strings.Contains(err.Error(), list.GetOperators()[0].GetId()) {
			t.Errorf("resumed while it was being paused, or refused without naming the operator: %v", err)
		}
		if err := w.change("delete", "delete"); err != nil {
			t.Fatal(err)
		}
		if left := w.notDeleted(); left != "" {
			t.Error(left)
		}
		if h := w.outcomes(ks)["late"]; h == nil || h.Outcome != record.OutcomeCancelled {
			t.Errorf("the pause that was overtaken: %+v", h)
		}
		if err := w.change("delete", "delete"); err != nil {
			t.Errorf("the same request again: %v", err)
		}
		// Every request id of the first life is in the history, which stays: the second one needs its own.
		again := &controlv1.CreateKeyspaceRequest{RequestId: "again", Name: ks, Workload: sinkName}
		if _, err := w.Control().CreateKeyspace(ctx, again); err != nil {
			t.Fatal(err)
		}
		w.Until("the new one runs", func() string { return w.unsettled(ks, 1) })
		w.audit()
	})
}
