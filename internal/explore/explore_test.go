package explore

import (
	"os"
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
		{Name: "placement", Spans: at("")},
		{Name: "stay", Spans: at("n1")},
		{Name: "move", Spans: at("n1"), Ops: []Op{move("s", "n2")}},
		{Name: "remove", Spans: at("n1"), Ops: []Op{remove("s")}},
		{Name: "split", Spans: at("n1"), Ops: []Op{split("s")}},
		{Name: "merge", Spans: at("n1", "n1"), Ops: []Op{merge("a", "b")}},
		{Name: "gather", Spans: at("n1", "n2"), Ops: []Op{merge("a", "b")}},
		{Name: "cancel move", Spans: at("n1"), Ops: []Op{move("s", "n2")}, Cancels: 1},
		{Name: "cancel split", Spans: at("n1"), Ops: []Op{split("s")}, Cancels: 1},
		{Name: "cancel merge", Spans: at("n1", "n1"), Ops: []Op{merge("a", "b")}, Cancels: 1},
		{Name: "cancel gather", Spans: at("n1", "n2"), Ops: []Op{merge("a", "b")}, Cancels: 1},
		{Name: "cancel remove", Spans: at("n1"), Ops: []Op{remove("s")}, Cancels: 1},
		{Name: "supersede move", Spans: at("n1"), Ops: []Op{move("s", "n2"), remove("s")}},
		{Name: "supersede split", Spans: at("n1"), Ops: []Op{split("s"), remove("s")}},
		{Name: "supersede merge", Spans: at("n1", "n1"), Ops: []Op{merge("a", "b"), remove("b")}},
		{Name: "supersede gather", Spans: at("n1", "n2"), Ops: []Op{merge("a", "b"), remove("b")}},
		{Name: "supersede placement", Spans: at(""), Ops: []Op{remove("s")}},
		{Name: "split merge", Spans: at("n1"), Ops: []Op{split("s"), merge("9-0.0", "9-0.1")}},
		{Name: "neighbours", Spans: at("n1", "n2"), Ops: []Op{move("a", "n2"), remove("b")}},
	} {
		if r := os.Getenv("ONLY"); r != "" && r != cfg.Name {
			continue
		}
		t.Run(cfg.Name, func(t *testing.T) {
			cfg.Nodes, cfg.Faults, cfg.Of = two, 1, Any
			if os.Getenv("F") != "" {
				cfg.Faults = os.Getenv("F")[0] - '0'
			}
			cfg.MaxStates = 1_000_000
			r := Run(cfg)
			t.Logf("%-12s %v truncated=%t", cfg.Name, r, r.Truncated)
			if r.Violation != nil {
				t.Error(r.Violation)
			}
		})
	}
}
