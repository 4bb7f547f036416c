package maintainer

import (
	"fmt"
	"testing"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// manyFacts are those of a cluster whose nodes carry alike, with loads that differ.
func manyFacts(nodes, spans int) (planFacts, *known) {
	f := planFacts{
		revision: 1, values: settings.Defaults(),
		keyspaces: map[string]*view.Keyspace{"ks": {Name: "ks", Keyspace: record.Keyspace{Workload: "gate", State: record.KeyspaceRunning}}},
	}
	k := newKnown()
	for n := range nodes {
		node := &view.Node{Node: record.Node{Name: fmt.Sprintf("n%04d", n), Workloads: []string{"gate"}}, Session: int64(n + 1)}
		f.nodes = append(f.nodes, nodeFacts{name: node.Name, node: node})
		k.nodes[node.Session] = nodeKnown{connected: true}
	}
	for i := range spans {
		on := f.nodes[i%nodes].node
		s := &view.Span{Ref: operator.Ref{Keyspace: "ks", ID: span.ID(fmt.Sprintf("1-1.%d", i))}, Mod: int64(i + 1)}
		s.Range = span.Range{Start: fmt.Sprintf("%08d", i), End: fmt.Sprintf("%08d", i+1)}
		s.Owner = record.Owner{Node: on.Name, Session: on.Session}
		f.spans = append(f.spans, planSpan{Span: s, on: operator.Identity{Node: on.Name, Session: on.Session}, run: true})
		load := float64(1 + i%97)
		k.spans[s.Ref] = spanKnown{session: on.Session, load: &load}
	}
	return f, k
}

// BenchmarkPlan is a plan in which ten nodes come and one is drained.
func BenchmarkPlan(b *testing.B) {
	for _, size := range []struct{ nodes, spans int }{{100, 10_000}, {100, 100_000}, {1000, 1_000_000}} {
		b.Run(fmt.Sprint(size.spans), func(b *testing.B) {
			f, k := manyFacts(size.nodes, size.spans)
			q := &controlv1.PlanRequest{Drain: []string{"n0000"}}
			for n := range 10 {
				q.AddNode = append(q.AddNode, &controlv1.PlanRequest_AddedNode{Name: fmt.Sprintf("new%d", n)})
			}
			planned := 0
			for b.Loop() {
				c, err := checkPlan(f, q)
				if err != nil {
					b.Fatal(err)
				}
				p := newProspect(f, c, k, time.Unix(1e9, 0))
				if err := p.make(b.Context()); err != nil {
					b.Fatal(err)
				}
				planned = len(p.operators)
			}
			b.ReportMetric(float64(planned), "operators")
		})
	}
}
