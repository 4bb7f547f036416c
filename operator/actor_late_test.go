package operator_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// The answer of a commit is lost; the leader accepts a move; then the identical transaction is found done. What the
// actor hands back afterwards must carry the move on, not overwrite it.
func TestLateCommitKeepsWhatWasAcceptedMeanwhile(t *testing.T) {
	l, err := keys.New("c")
	if err != nil {
		t.Fatal(err)
	}
	env := operator.Env{Layout: l, Me: operator.Identity{Node: "n1", Session: 7}, Now: time.Unix(1, 0)}
	s := operator.Span{
		Ref:  operator.Ref{Keyspace: "ks", ID: "1-1.0"},
		Span: record.Span{Range: span.Range{Start: "a", End: "b"}}, Mod: 10,
	}
	var a operator.Actor
	a, _ = a.Step(env, operator.AskOpen{Span: s, Term: 3})
	a, _ = a.Step(env, operator.Answer{Done: true, Mod: 11})
	a, _ = a.Step(env, operator.Opened{})

	found := s
	found.Mod = 14
	found.Owner = record.Owner{Node: "n1", Session: 7, Token: a.Token}
	found.Intent = &record.Intent{Operator: "3-9", Kind: record.KindMove, By: record.ByUser}
	a, _ = a.Step(env, operator.Answer{Done: true, Mod: found.Mod, Found: &found})
	a, _ = a.Step(env, operator.Stop{})
	_, fx := a.Step(env, operator.Closed{At: record.At(5)})

	var put []byte
	for _, f := range fx {
		if send, ok := f.(operator.Send); ok {
			put = send.Part.Then[0].Value
		}
	}
	back, err := record.DecodeSpan(put)
	if err != nil {
		t.Fatal(err)
	}
	want := found.Span
	want.Owner, want.Checkpoint = record.Owner{}, record.At(5)
	if d := cmp.Diff(want, back); d != "" {
		t.Errorf("handed back (-want +got):\n%s", d)
	}
}

// A read that says that nobody knows an instance ends it, unless it is older than the commit of that instance.
func TestDisowned(t *testing.T) {
	for _, tt := range []struct {
		phase    operator.Phase
		revision int64
		aborts   bool
	}{
		{operator.Running, 20, true},
		{operator.Running, 10, true},
		{operator.Running, 9, false},
		{operator.ClaimingClose, 20, false},
		{operator.Committing, 20, false},
		{operator.Closing, 20, false},
	} {
		a := operator.Actor{Phase: tt.phase, Instance: true, Span: operator.Span{Mod: 10}}
		next, fx := a.Step(operator.Env{}, operator.Disowned{Revision: tt.revision})
		var want []operator.Effect
		if tt.aborts {
			a, want = operator.Actor{}, []operator.Effect{operator.Abort{}, operator.Forget{}}
		}
		if d := cmp.Diff(want, fx); d != "" {
			t.Errorf("phase %d at %d (-want +got):\n%s", tt.phase, tt.revision, d)
		}
		if next.Phase != a.Phase {
			t.Errorf("phase %d at %d became %d", tt.phase, tt.revision, next.Phase)
		}
	}
}
