package operator_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

var update = flag.Bool("update", false, "rewrite the fate table of docs/operators.md")

const (
	fatePage  = "../docs/operators.md"
	fateBegin = "<!-- fate table: written by `go test ./operator -update`; a test fails when it is stale -->\n"
	fateEnd   = "<!-- end of the fate table -->\n"
)

// fateStep is one step of an operator in which somebody may die: a owns what is changed, b is where it goes.
type fateStep struct {
	kind, step string
	members    func() []operator.Member
}

// fateSpan is a span with an operator: owner is a node or nobody, actor whoever has claimed it.
func fateSpan(kind record.Kind, id, owner, actor string, stage record.Stage, handedOff bool) operator.Member {
	m := operator.Member{}
	m.Keyspace, m.ID, m.Mod = ks, span.ID(id), 9
	m.Range = span.Range{Start: "a", End: "b"}
	if id == "s2" {
		m.Range = span.Range{Start: "b", End: "c"}
	}
	if owner != "" {
		m.Span.Owner, m.Owner, m.LastNode = record.Owner{Node: owner, Session: int64(owner[0])}, operator.Alive, owner
	}
	if kind != 0 {
		m.Intent = &record.Intent{Operator: "7-1", Kind: kind, By: record.ByUser, Spans: []string{id}, HandedOff: handedOff}
		switch kind {
		case record.KindMove:
			m.Intent.To = "b"
		case record.KindMerge:
			m.Intent.Spans = []string{"s1", "s2"}
		}
	}
	if actor != "" {
		m.Claim = &operator.Claim{Claim: record.Claim{Node: actor, Session: int64(actor[0]), Stage: stage, Kind: kind}}
		m.Actor, m.ActorSession = operator.Alive, int64(actor[0])
	}
	return m
}

func fateSteps() []fateStep {
	one := func(kind record.Kind, owner, actor string, stage record.Stage, handedOff bool) func() []operator.Member {
		return func() []operator.Member {
			return []operator.Member{fateSpan(kind, "s1", owner, actor, stage, handedOff)}
		}
	}
	two := func(a, b [2]string, stage record.Stage) func() []operator.Member {
		return func() []operator.Member {
			return []operator.Member{
				fateSpan(record.KindMerge, "s1", a[0], a[1], stage, false), fateSpan(record.KindMerge, "s2", b[0], b[1], stage, false),
			}
		}
	}
	const closing, opening = record.StageClosing, record.StageOpening
	move, remove, split := record.KindMove, record.KindRemove, record.KindSplit
	return []fateStep{
		{"placement", "nobody owns it", one(0, "", "", 0, false)},
		{"placement", "b opens it", one(0, "", "b", opening, false)},
		{"remove", "accepted, a owns the span", one(remove, "a", "", 0, false)},
		{"remove", "a closes it", one(remove, "a", "a", closing, false)},
		{"remove", "b opens it to fence its sink", one(remove, "", "b", opening, false)},
		{"move to b", "accepted, a owns the span", one(move, "a", "", 0, false)},
		{"move to b", "a closes it", one(move, "a", "a", closing, false)},
		{"move to b", "handed off", one(move, "", "", 0, true)},
		{"move to b", "b opens it", one(move, "", "b", opening, true)},
		{"split", "accepted, a owns the span", one(split, "a", "", 0, false)},
		{"split", "a closes it", one(split, "a", "a", closing, false)},
		{"merge", "accepted, a owns s1, b owns s2", two([2]string{"a"}, [2]string{"b"}, 0)},
		{"merge", "b closes s2, to hand it to a", two([2]string{"a"}, [2]string{"b", "b"}, closing)},
		{"merge", "s2 is handed off", two([2]string{"a"}, [2]string{}, 0)},
		{"merge", "a opens s2", two([2]string{"a"}, [2]string{"", "a"}, opening)},
		{"merge", "a owns both", two([2]string{"a"}, [2]string{"a"}, 0)},
		{"merge", "a closes both", two([2]string{"a", "a"}, [2]string{"a", "a"}, closing)},
	}
}

// fateOf is what follows from the records after nodes have died: their claims vanish with them. If it has to wait until the
// dead may not act any more, the text says so.
func fateOf(s fateStep, dead ...string) string {
	text := fateTexts(fateRecords(s, operator.Over, dead))
	if first := operator.Next(fateRecords(s, operator.Lapsing, dead)); len(first) == 1 {
		if w, ok := first[0].(operator.Wait); ok && w.For == operator.ForLapse {
			return "once the dead may not act: " + text
		}
	}
	return text
}

func fateRecords(s fateStep, gone operator.Presence, dead []string) operator.Records {
	rec := operator.Records{Members: s.members(), Keyspace: record.KeyspaceRunning, Target: operator.Alive}
	if slices.Contains(dead, "b") {
		rec.Target = operator.Over
	}
	for n := range rec.Members {
		m := &rec.Members[n]
		if slices.Contains(dead, m.Span.Owner.Node) {
			m.Owner = gone
		}
		if m.Claim != nil && slices.Contains(dead, m.Claim.Node) {
			m.Claim, m.Opener = nil, gone
		}
	}
	return rec
}

func fateTexts(rec operator.Records) string {
	var what []string
	for _, a := range operator.Next(rec) {
		if text := fateText(a); !slices.Contains(what, text) {
			what = append(what, text)
		}
	}
	return strings.Join(what, "; ")
}

func fateText(a operator.Action) string {
	switch a := a.(type) {
	case operator.Wait:
		return a.Node + " goes on by itself"
	case operator.AskClose:
		if len(a.Spans) > 1 {
			return a.Owner.Node + " is asked to merge all"
		}
		return fmt.Sprintf("%s is asked to close %s", a.Owner.Node, a.Spans[0].ID)
	case operator.Place:
		at := "any node"
		if a.Only != "" {
			at = a.Only
		}
		return fmt.Sprintf("%s opens %s (%s)", at, a.Span.ID, a.Why)
	case operator.Swap:
		return "the leader swaps"
	case operator.Fail:
		return "it fails: " + a.Why
	}
	return action(a)
}

func fateTable() string {
	var b strings.Builder
	b.WriteString("| operator | when | the leader dies | a dies | b dies | both die |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, s := range fateSteps() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", s.kind, s.step,
			fateOf(s), fateOf(s, "a"), fateOf(s, "b"), fateOf(s, "a", "b"))
	}
	return b.String()
}

// The table is what the shipped decision function says, so it cannot be wrong; it can only be old.
func TestFateTableIsCurrent(t *testing.T) {
	page, err := os.ReadFile(fatePage)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(page), fateBegin)
	old, tail, ok2 := strings.Cut(rest, fateEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the fate table", fatePage)
	}
	want := fateTable()
	if *update {
		if err := os.WriteFile(fatePage, []byte(head+fateBegin+want+fateEnd+tail), 0o644); err != nil { //nolint:gosec // a page of the documentation
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, old); d != "" {
		t.Errorf("the fate table is old; run `go test ./operator -update` (-want +got):\n%s", d)
	}
}
