package dispatcher

import (
	"testing"

	"github.com/spanward/spanward/operator"
)

// What is asked about a span while an abort of it is under way waits; an abort that hangs must not let that grow without
// bound, and a clean stop is not forgotten.
func TestWhatWaitsForAnAbortIsBounded(t *testing.T) {
	ref := operator.Ref{Keyspace: "ks", ID: "a"}
	e := &entry{ref: ref, aborting: true}
	l := &loop{entries: map[operator.Ref]*entry{ref: e}}
	for range 10_000 {
		l.feed(t.Context(), e, input{event: operator.AskOpen{}})
	}
	l.feed(t.Context(), e, input{event: operator.Stop{}})
	if n := len(e.inputs); n > maxInputs+1 {
		t.Errorf("%d events wait", n)
	}
	if _, ok := e.inputs[len(e.inputs)-1].event.(operator.Stop); !ok {
		t.Error("the stop was forgotten")
	}
}
