package dispatcher

import (
	"fmt"
	"math"
	"strings"
	"testing"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// saying is a loop of which only the side towards the leader is used.
func saying(n int, phase operator.Phase) *loop {
	l := &loop{says: newSays(7), entries: map[operator.Ref]*entry{}}
	for i := range n {
		ref := operator.Ref{Keyspace: "ks", ID: span.ID(fmt.Sprint("s", i))}
		l.entries[ref] = &entry{ref: ref, actor: operator.Actor{Phase: phase, Token: uint64(i) + 1, From: record.At(5)}}
		l.says.moved(ref)
	}
	return l
}

// More than a message takes goes into the next ones, and nothing is said twice.
func TestDeltasAreBounded(t *testing.T) {
	l := saying(1200, operator.Running)
	for i := range 700 {
		ref := operator.Ref{Keyspace: "ks", ID: span.ID(fmt.Sprint("gone", i))}
		l.says.ended(ref)
		l.says.result(ref, operator.Say{Result: operator.ResultDone})
	}
	spans, results, messages := map[string]int{}, map[string]int{}, 0
	for ; l.says.urgent; messages++ {
		r := l.delta()
		if len(r.GetSpans()) > maxReportSpans || len(r.GetResults()) > maxReportSpans {
			t.Fatalf("a message of %d spans and %d results", len(r.GetSpans()), len(r.GetResults()))
		}
		for _, s := range r.GetSpans() {
			spans[s.GetSpan()]++
		}
		for _, s := range r.GetResults() {
			results[s.GetSpan()]++
		}
	}
	if len(spans) != 1900 || len(results) != 700 || messages > 6 {
		t.Errorf("%d spans and %d results in %d messages", len(spans), len(results), messages)
	}
	for id, n := range spans {
		if n != 1 {
			t.Errorf("%s was said %d times", id, n)
		}
	}
}

func TestDeltasAreBoundedInBytes(t *testing.T) {
	l := saying(40, operator.Running)
	for _, e := range l.entries {
		e.status.Error = strings.Repeat("x", 100_000)
	}
	said := 0
	for l.says.urgent {
		r := l.delta()
		if n := len(r.GetSpans()); n > 10 {
			t.Fatalf("%d spans of 100 kB", n)
		}
		said += len(r.GetSpans())
	}
	if said != 40 {
		t.Errorf("%d spans were said", said)
	}
}

// The results of a message that may not have arrived are repeated on the next stream, unless there is a newer one.
func TestResultsOfABrokenStreamAreRepeated(t *testing.T) {
	l := saying(0, operator.Idle)
	a, b := operator.Ref{Keyspace: "ks", ID: "a"}, operator.Ref{Keyspace: "ks", ID: "b"}
	l.says.result(a, operator.Say{Result: operator.ResultRefused})
	l.says.result(b, operator.Say{Result: operator.ResultClaimed})
	if n := len(l.delta().GetResults()); n != 2 {
		t.Fatalf("%d results", n)
	}
	l.says.result(b, operator.Say{Result: operator.ResultDone})
	l.full()
	got := map[string]sessionv1.StageResult_Result{}
	for _, r := range l.delta().GetResults() {
		got[r.GetSpan()] = r.GetResult()
	}
	if len(got) != 2 || got["a"] != sessionv1.StageResult_RESULT_REFUSED || got["b"] != sessionv1.StageResult_RESULT_DONE {
		t.Errorf("repeated: %v", got)
	}
}

// The end of one operator on a span and what follows for another one are both said.
func TestResultsOfTwoOperators(t *testing.T) {
	l := saying(0, operator.Idle)
	a := operator.Ref{Keyspace: "ks", ID: "a"}
	l.says.result(a, operator.Say{Result: operator.ResultClaimed, Operator: "1-1"})
	l.says.result(a, operator.Say{Result: operator.ResultRevoked, Operator: "1-1"})
	l.says.result(a, operator.Say{Result: operator.ResultDone})
	var got []sessionv1.StageResult_Result
	for _, r := range l.delta().GetResults() {
		got = append(got, r.GetResult())
	}
	if len(got) != 2 || got[0] != sessionv1.StageResult_RESULT_REVOKED || got[1] != sessionv1.StageResult_RESULT_DONE {
		t.Errorf("said %v", got)
	}
}

// While a transaction is in flight etcd may know more than the dispatcher, which says so.
func TestStates(t *testing.T) {
	want := map[operator.Phase]sessionv1.SpanStatus_State{
		operator.Claiming:      sessionv1.SpanStatus_STATE_PENDING,
		operator.Opening:       sessionv1.SpanStatus_STATE_OPENING,
		operator.Committing:    sessionv1.SpanStatus_STATE_PENDING,
		operator.Aborting:      sessionv1.SpanStatus_STATE_PENDING,
		operator.Running:       sessionv1.SpanStatus_STATE_RUNNING,
		operator.ClaimingClose: sessionv1.SpanStatus_STATE_PENDING,
		operator.Closing:       sessionv1.SpanStatus_STATE_CLOSING,
		operator.Ending:        sessionv1.SpanStatus_STATE_PENDING,
		operator.Stopping:      sessionv1.SpanStatus_STATE_CLOSING,
		operator.Returning:     sessionv1.SpanStatus_STATE_PENDING,
		operator.Revoking:      sessionv1.SpanStatus_STATE_PENDING,
		operator.Merging:       sessionv1.SpanStatus_STATE_PENDING,
	}
	for phase := operator.Claiming; phase < phaseCount; phase++ {
		r := saying(1, phase).full()
		if got := r.GetSpans()[0].GetState(); got != want[phase] {
			t.Errorf("phase %d is reported as %v", phase, got)
		}
	}
}

// A span that ended before a full report and runs again after it is not gone.
func TestGoneIsForgotten(t *testing.T) {
	l := saying(1, operator.Running)
	ref := operator.Ref{Keyspace: "ks", ID: "s0"}
	l.says.ended(ref)
	l.says.moved(ref)
	if s := l.delta().GetSpans(); len(s) != 1 || s[0].GetState() != sessionv1.SpanStatus_STATE_RUNNING {
		t.Errorf("said %v", s)
	}
	l.says.ended(operator.Ref{Keyspace: "ks", ID: "other"})
	l.full()
	if s := l.delta().GetSpans(); len(s) != 0 {
		t.Errorf("said after a full report: %v", s)
	}
}

// What cannot be compared or added up is not told: the leader would carry it into every sum.
func TestMeasuresThatAreNoNumbersAreUnknown(t *testing.T) {
	l := saying(1, operator.Running)
	e := l.entries[operator.Ref{Keyspace: "ks", ID: "s0"}]
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1} {
		e.status = Status{Load: &bad, Size: &bad}
		if s := statusOf(e); s.Load != nil || s.Size != nil {
			t.Errorf("told %v", s)
		}
	}
	zero, some := 0.0, 1e12
	e.status = Status{Load: &zero, Size: &some}
	if s := statusOf(e); s.Load == nil || s.GetLoad() != 0 || s.GetSize() != some {
		t.Errorf("told %v", s)
	}
}
