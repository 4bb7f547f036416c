package dispatcher_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
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
