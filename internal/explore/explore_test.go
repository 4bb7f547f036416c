package explore

import (
	"testing"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

var (
	low   = span.Range{Start: "a", End: "m"}
	high  = span.Range{Start: "m", End: "z"}
	whole = span.Range{Start: "a", End: "z"}
)

func move(s span.ID, to string) Op { return Op{Kind: record.KindMove, Spans: []span.ID{s}, To: to} }
func remove(s span.ID) Op          { return Op{Kind: record.KindRemove, Spans: []span.ID{s}} }
func split(s span.ID) Op           { return Op{Kind: record.KindSplit, Spans: []span.ID{s}, At: []string{"m"}} }
func merge(s ...span.ID) Op        { return Op{Kind: record.KindMerge, Spans: s} }

func at(owners ...string) []Start {
	if len(owners) == 1 {
		return []Start{{ID: "s", Range: whole, Owner: owners[0]}}
	}
	return []Start{{ID: "a", Range: low, Owner: owners[0]}, {ID: "b", Range: high, Owner: owners[1]}}
}

var two = []string{"n1", "n2"}

func TestEveryState(t *testing.T) {
	for _, cfg := range []Config{
		{Name: "placement", Nodes: two, Spans: at(""), Budget: Budget{Kills: 1, Zombies: 1, Leaders: 1, Lost: 1, Late: 1, Stops: 1, Fails: 1}},
		{Name: "move", Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2")}, Budget: Budget{Kills: 1, Zombies: 1, Leaders: 1, Lost: 1, Late: 1}},
		{Name: "remove", Nodes: two, Spans: at("n1"), Ops: []Op{remove("s")}, Budget: Budget{Kills: 1, Zombies: 1, Leaders: 1, Lost: 1, Late: 1}},
		{Name: "split", Nodes: two, Spans: at("n1"), Ops: []Op{split("s")}, Budget: Budget{Kills: 1, Zombies: 1, Lost: 1}},
		{Name: "merge", Nodes: two, Spans: at("n1", "n1"), Ops: []Op{merge("a", "b")}, Budget: Budget{Kills: 1, Zombies: 1}},
		{Name: "gather", Nodes: two, Spans: at("n1", "n2"), Ops: []Op{merge("a", "b")}, Budget: Budget{Kills: 1, Zombies: 1}},
		{Name: "cancel", Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2")}, Budget: Budget{Kills: 1, Zombies: 1, Cancels: 1, Leaders: 1}},
		{Name: "supersede", Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2"), remove("s")}, Budget: Budget{Kills: 1, Zombies: 1}},
		{Name: "supersede merge", Nodes: two, Spans: at("n1", "n1"), Ops: []Op{merge("a", "b"), remove("a")}, Budget: Budget{Kills: 1}},
	} {
		t.Run(cfg.Name, func(t *testing.T) {
			cfg.MaxStates = 300_000
			r := Run(cfg)
			t.Logf("%-12s %v truncated=%t", cfg.Name, r, r.Truncated)
			if r.Violation != nil {
				t.Fatal(r.Violation)
			}
		})
	}
}
