package operator_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

func (b *board) env() operator.Env {
	return operator.Env{Layout: b.l, Me: b.me, Now: then}
}

// running is an actor that runs a span of the board.
func (b *board) running(n int) operator.Actor {
	return operator.Actor{Phase: operator.Running, Span: b.spans[n], Token: b.spans[n].Owner.Token, Instance: true}
}

// steps feeds events to an actor and returns what the last of them has led to.
func steps(env operator.Env, a operator.Actor, events ...operator.Event) (operator.Actor, []operator.Effect) {
	var fx []operator.Effect
	for _, e := range events {
		a, fx = a.Step(env, e)
	}
	return a, fx
}

// effect is the first effect of a type; the zero value if there is none.
func effect[E operator.Effect](fx []operator.Effect) (e E, ok bool) {
	for _, f := range fx {
		if e, ok = f.(E); ok {
			return e, true
		}
	}
	return e, false
}

// Whoever opens a span again, because it does not run or because an operator was cancelled, has a new token: the old
// instance may still have writes on their way.
func TestTokensGrow(t *testing.T) {
	b := newBoard(t, nil)
	_, fx := steps(b.env(), operator.Actor{}, operator.AskOpen{Span: b.spans[0], Term: 2}, operator.Answer{Done: true, Mod: 50})
	if open, _ := effect[operator.Open](fx); open.Token != 50 {
		t.Errorf("opened again with %d", open.Token)
	}
	b = newBoard(t, intent(record.KindMove, one...))
	_, fx = steps(b.env(), b.running(0),
		operator.AskEnd{Span: b.spans[0], Term: 2}, operator.Answer{Done: true, Mod: 50},
		operator.AskRevoke{Operator: carried, Term: 2, Cause: record.Cause{By: record.ByUser}},
		operator.Closed{At: record.At(6)}, operator.Answer{Done: true, Mod: 60})
	if open, _ := effect[operator.Open](fx); open.Token != 60 {
		t.Errorf("opened after the cancel with %d: %+v", open.Token, fx)
	}
}

// What does not run may have ended without being closed: only a new opening fences its sink before the range is free.
func TestWhatDoesNotRunIsNotRemoved(t *testing.T) {
	b := newBoard(t, intent(record.KindRemove, one...))
	_, fx := steps(b.env(), operator.Actor{}, operator.AskEnd{Span: b.spans[0], Term: 2})
	if _, sent := effect[operator.Send](fx); sent {
		t.Errorf("%+v", fx)
	}
}

func TestAMoveThatWasHandedOffIsNotCancelled(t *testing.T) {
	i := intent(record.KindMove, one...)
	i.HandedOff = true
	b := newBoard(t, i)
	_, fx := steps(b.env(), operator.Actor{}, operator.AskOpen{Span: b.spans[0], Term: 2}, operator.Answer{Done: true, Mod: 50},
		operator.AskRevoke{Operator: carried, Term: 2, Cause: record.Cause{By: record.ByUser}})
	if said, _ := effect[operator.Say](fx); said.Result != operator.ResultRefused || len(fx) != 1 {
		t.Errorf("%+v", fx)
	}
}

// A claim whose session lives is not taken away, whatever the leader believes.
func TestOnlyAClaimThatHasOutlivedItsSessionIsDropped(t *testing.T) {
	b := newBoard(t, nil)
	p := operator.DropClaim(b.l, b.spans[0].Ref, b.claim(b.spans[0], record.StageOpening), 0)
	if outcome(t, b.store.Clone(), p) != txn.Refused {
		t.Error("the claim of a session that is there was dropped")
	}
	if outcome(t, b.store, p, txn.Delete(b.l.Node(b.me.Node))) != txn.Done {
		t.Error("the claim of a session that is over was not dropped")
	}
}

// All sources are held, then closed at the highest of the positions that they need, and swapped once all are closed.
func TestAMergeClosesAllAtOnePosition(t *testing.T) {
	b := newBoard(t, intent(record.KindMerge, both...))
	from := []record.Position{record.At(5), record.At(5)}
	m, _ := operator.NewMerger(b.env(), []operator.Actor{b.running(0), b.running(1)}, b.spans, from, 2)
	var fx []operator.Effect
	for _, e := range []operator.Event{
		operator.MergeAnswer{Done: true, Mod: 50},
		operator.OfMember{Index: 0, Event: operator.CanHold{At: record.At(8)}},
		operator.OfMember{Index: 1, Event: operator.CanHold{At: record.At(7)}},
	} {
		m, fx = m.Step(b.env(), e)
	}
	want := []operator.Effect{
		operator.On{Index: 0, Effect: operator.CloseAt{At: record.At(8)}},
		operator.On{Index: 1, Effect: operator.CloseAt{At: record.At(8)}},
	}
	if d := cmp.Diff(want, fx); d != "" {
		t.Fatalf("once all are held (-want +got):\n%s", d)
	}
	m, fx = m.Step(b.env(), operator.OfMember{Index: 1, Event: operator.Closed{At: record.At(8)}})
	if len(fx) != 0 {
		t.Errorf("while one is still closing: %+v", fx)
	}
	_, fx = m.Step(b.env(), operator.OfMember{Index: 0, Event: operator.Closed{At: record.At(8)}})
	if _, sent := effect[operator.Send](fx); !sent {
		t.Errorf("once all are closed: %+v", fx)
	}
}

func TestAMergeBeginsAtTheLowestPosition(t *testing.T) {
	b := newBoard(t, intent(record.KindMerge, both...))
	made, err := operator.Children(b.spans, []record.Position{record.At(9), record.At(6)}, then)
	if err != nil || len(made) != 1 || made[0].Checkpoint != record.At(6) {
		t.Errorf("%+v, %v", made, err)
	}
}

// The leader makes children itself only where nobody is left who could close their parents.
func TestTheLeaderSwapsWhatNobodyOwns(t *testing.T) {
	for _, i := range []*record.Intent{intent(record.KindSplit, one...), intent(record.KindMerge, both...)} {
		for owner, swaps := range map[operator.Presence]bool{
			operator.Alive: false, operator.Unreachable: false, operator.Lapsing: false, operator.Over: true,
		} {
			r := operator.Records{Keyspace: record.KeyspaceRunning}
			for n, s := range newBoard(t, i).spans[:len(i.Spans)] {
				m := operator.Member{Span: s, Owner: operator.Over}
				if n == 0 {
					m.Owner = owner
				}
				r.Members = append(r.Members, m)
			}
			acts := operator.Next(r)
			if _, ok := acts[0].(operator.Swap); ok != swaps || len(acts) != 1 {
				t.Errorf("%s, owner %d: %+v", record.KindName(i.Kind), owner, acts)
			}
		}
	}
}

// Whoever holds a claim goes on by himself; the leader asks nobody else as long as there is one, on whichever member.
func TestWhileSomebodyActsTheLeaderWaits(t *testing.T) {
	b := newBoard(t, intent(record.KindMerge, both...))
	c := b.claim(b.spans[1], record.StageClosing)
	for _, actor := range []operator.Presence{operator.Alive, operator.Unreachable} {
		acts := operator.Next(operator.Records{Keyspace: record.KeyspaceRunning, Members: []operator.Member{
			{Span: b.spans[0], Owner: operator.Alive},
			{Span: b.spans[1], Owner: operator.Alive, Claim: &c, Actor: actor},
		}})
		want := []operator.Action{operator.Wait{Span: b.spans[1].Ref, For: operator.ForActor, Node: "n1"}}
		if d := cmp.Diff(want, acts); d != "" {
			t.Errorf("actor %d (-want +got):\n%s", actor, d)
		}
	}
}

// A merge of some of its sources would leave the others with an operator that is over.
func TestOnlyAllSourcesAreMerged(t *testing.T) {
	b := newBoard(t, intent(record.KindMerge, append([]string{"further"}, both...)...))
	m, fx := operator.NewMerger(b.env(), []operator.Actor{b.running(0), b.running(1)}, b.spans, make([]record.Position, 2), 2)
	if on, _ := effect[operator.On](fx); m.Phase != operator.MergeOver || len(fx) != 1 || on.Effect.(operator.Say).Result != operator.ResultRefused {
		t.Errorf("phase %d, %+v", m.Phase, fx)
	}
}

// A source that cannot be held keeps the merge from getting on: whoever waits for that is told why, as where one cannot be
// closed.
func TestWhyASourceCannotBeHeldIsTold(t *testing.T) {
	b := newBoard(t, intent(record.KindMerge, both...))
	m, _ := operator.NewMerger(b.env(), []operator.Actor{b.running(0), b.running(1)}, b.spans, make([]record.Position, 2), 2)
	m, _ = m.Step(b.env(), operator.MergeAnswer{Done: true, Mod: 50})
	_, fx := m.Step(b.env(), operator.OfMember{Index: 1, Event: operator.HoldFailed{Err: "disk"}})
	want := []operator.Effect{
		operator.On{Index: 1, Effect: operator.Say{Result: operator.ResultCloseFailed, Operator: carried, Err: "hold: disk"}},
		operator.On{Index: 1, Effect: operator.Hold{Try: 1}},
	}
	if d := cmp.Diff(want, fx); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// What a user reads of a move that ended elsewhere is what has happened: without a hand-off it was its owner that died.
func TestAMoveThatEndedElsewhereSaysHow(t *testing.T) {
	for handedOff, want := range map[bool]string{
		true:  "after the hand-off n2 was gone or could not open it; the span was opened on n1",
		false: "after the loss of its owner n2 was gone or could not open it; the span was opened on n1",
	} {
		i := intent(record.KindMove, one...)
		i.To, i.HandedOff = "n2", handedOff
		b := newBoard(t, i)
		p := operator.Commit(b.l, b.spans[0], b.claim(b.spans[0], record.StageOpening), b.spans[0].Owner, record.At(1), then)
		h, err := record.DecodeHistory(p.Then[len(p.Then)-1].Value)
		if err != nil || h.Error != want {
			t.Errorf("handed off %t: %q, %v", handedOff, h.Error, err)
		}
	}
}

// What a former leader wanted to end would be refused, so a newer leader's wish takes its place, as long as nothing was sent.
func TestANewerLeaderEndsAnOperatorInItsOwnTerm(t *testing.T) {
	ask := func(term int64, id string) operator.AskRevoke {
		return operator.AskRevoke{Operator: carried, Term: term, Cause: record.Cause{By: record.ByUser, RequestID: id}}
	}
	b := newBoard(t, intent(record.KindMove, one...))
	_, fx := steps(b.env(), b.running(0), operator.AskEnd{Span: b.spans[0], Term: 2}, operator.Answer{Done: true, Mod: 50},
		ask(2, "old"), ask(3, "new"), operator.Closed{At: record.At(6)})
	if sent, _ := effect[operator.Send](fx); sent.Term != 3 {
		t.Errorf("one span: sent in term %d: %+v", sent.Term, fx)
	}

	b = newBoard(t, intent(record.KindMerge, both...))
	m, _ := operator.NewMerger(b.env(), []operator.Actor{b.running(0), b.running(1)}, b.spans, make([]record.Position, 2), 2)
	for _, e := range []operator.Event{
		operator.MergeAnswer{Done: true, Mod: 50},
		ask(2, "old"), ask(3, "new"),
		operator.OfMember{Index: 0, Event: operator.Closed{At: record.At(6)}},
		operator.OfMember{Index: 1, Event: operator.Closed{At: record.At(6)}},
	} {
		m, fx = m.Step(b.env(), e)
	}
	if sent, _ := effect[operator.Send](fx); sent.Term != 3 {
		t.Errorf("merge: sent in term %d: %+v", sent.Term, fx)
	}
}
