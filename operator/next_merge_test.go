package operator_test

import (
	"testing"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// The owners of two sources of a merge have died, one after the other, and a third lives. What is known to run nowhere is
// opened with that one, whatever has to be waited for elsewhere; nothing that runs is closed before.
func TestASourceOfAMergeWaitsForNoOtherOwner(t *testing.T) {
	i := &record.Intent{Operator: carried, Kind: record.KindMerge, Spans: []string{"a", "b", "c"}}
	member := func(id, node string, is operator.Presence) operator.Member {
		s := operator.Span{Ref: operator.Ref{Keyspace: "ks", ID: span.ID(id)}, Span: record.Span{
			Range: span.Range{Start: id, End: string(id[0] + 1)}, Owner: record.Owner{Node: node, Session: int64(len(node)), Token: 3}, Intent: i,
		}}
		return operator.Member{Span: s, Owner: is}
	}
	for _, c := range []struct {
		name, want string
		a, b, c    operator.Presence
	}{
		{"one may still act", "n333 opens b (gathered for merge 7-1)", operator.Lapsing, operator.Over, operator.Alive},
		{"both may still act", "n1 goes on by itself", operator.Lapsing, operator.Lapsing, operator.Alive},
		{"one may still act, and nobody lives", "n1 goes on by itself", operator.Lapsing, operator.Over, operator.Over},
		{"the only one left does not answer", "any node opens a (gathered for merge 7-1)", operator.Over, operator.Over, operator.Unreachable},
		{"one of two does not answer", "n333 opens b (gathered for merge 7-1)", operator.Unreachable, operator.Over, operator.Alive},
		{"one may still act, and two live", "n1 goes on by itself", operator.Lapsing, operator.Alive, operator.Alive},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := operator.Records{Keyspace: record.KeyspaceRunning, Members: []operator.Member{
				member("a", "n1", c.a), member("b", "n22", c.b), member("c", "n333", c.c),
			}}
			if got := fateTexts(rec); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
