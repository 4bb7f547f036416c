package view_test

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// The generators draw from pools that are small, so that records meet: the same keys, sessions, operators, requests.

var layout = func() keys.Layout {
	l, err := keys.New("test")
	if err != nil {
		panic(err)
	}
	return l
}()

func pick[T any](t *rapid.T, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(t, label)
}

func maybe(t *rapid.T, label string) bool { return rapid.Bool().Draw(t, label) }

func spanID(t *rapid.T) string   { return pick(t, "span", "1-1.0", "1-1.1", "2-1.0", "2-2.0", "2-2.1") }
func nodeName(t *rapid.T) string { return pick(t, "node", "n1", "n2", "n3") }
func drawKS(t *rapid.T) string   { return pick(t, "keyspace", "a", "b") }
func opID(t *rapid.T) string     { return pick(t, "operator", "3-1", "3-2", "3-3") }
func reqID(t *rapid.T) string    { return pick(t, "request", "", "r1", "r2", "r3") }

func session(t *rapid.T) int64 { return rapid.Int64Range(2, 6).Draw(t, "session") }

func drawRequests(t *rapid.T) []record.Request {
	var out []record.Request
	for i := range rapid.IntRange(0, 2).Draw(t, "requests") {
		out = append(out, record.Request{ID: fmt.Sprint("r", i+1), Operator: opID(t), Body: []byte{1}})
	}
	return out
}

func drawIntent(t *rapid.T) record.Intent {
	return record.Intent{
		Operator: opID(t), Kind: pick(t, "kind", record.KindMove, record.KindSplit, record.KindMerge),
		By: record.ByUser, RequestID: reqID(t), Spans: []string{spanID(t)}, Results: []string{spanID(t), spanID(t)},
	}
}

func drawSpan(t *rapid.T) record.Span {
	bounds := []string{"", "b", "d", "f", "h", ""}
	i := rapid.IntRange(0, 4).Draw(t, "start")
	s := record.Span{Range: span.Range{Start: bounds[i], End: bounds[rapid.IntRange(i+1, 5).Draw(t, "end")]}}
	if maybe(t, "owned") {
		s.Owner = record.Owner{Node: nodeName(t), Session: session(t), Token: 1}
	}
	if maybe(t, "known") {
		s.Checkpoint = record.At(rapid.Uint64Range(0, 9).Draw(t, "checkpoint"))
	}
	if maybe(t, "busy") {
		i := drawIntent(t)
		s.Intent = &i
	}
	return s
}

func drawClaim(t *rapid.T) record.Claim {
	return record.Claim{
		Operator: opID(t), Kind: record.KindMove, Stage: record.StageClosing, Node: nodeName(t), Session: session(t),
	}
}

func drawProgress(t *rapid.T) record.Progress {
	p := record.Progress{}
	for range rapid.IntRange(0, 4).Draw(t, "entries") {
		p[span.ID(spanID(t))] = rapid.Uint64Range(0, 9).Draw(t, "at")
	}
	return p
}

// drawChange draws a put or delete of any key that a cluster may have, or should not.
func drawChange(t *rapid.T) view.Change {
	c := view.Change{}
	switch rapid.IntRange(0, 12).Draw(t, "kind") {
	case 0:
		c.Key, c.Value = layout.Leader(), record.EncodeLeader(record.Leader{Maintainer: "m1", Instance: "i"})
	case 1:
		c.Key, c.Value = layout.Cluster(), record.EncodeCluster(record.Cluster{Generation: 3})
	case 2:
		c.Key, c.Value = layout.Maintainer("m1"), record.EncodeMaintainer(record.Maintainer{Name: "m1", Instance: "i"})
	case 3:
		n := record.Node{Name: nodeName(t), Instance: "i", TTL: 5 * time.Second}
		c.Key, c.Value = layout.Node(n.Name), record.EncodeNode(n)
	case 4:
		c.Key, c.Value = layout.NodeConfig(nodeName(t)), record.EncodeNodeConfig(record.NodeConfig{Requests: drawRequests(t)})
	case 5:
		c.Key = layout.Keyspace(drawKS(t))
		k := record.Keyspace{Workload: "gate", State: record.KeyspaceRunning, Requests: drawRequests(t)}
		if rapid.Bool().Draw(t, "pending") {
			i := drawIntent(t)
			k.Pending = &i
		}
		c.Value = record.EncodeKeyspace(k)
	case 6, 7:
		c.Key, c.Value = layout.Span(drawKS(t), span.ID(spanID(t))), record.EncodeSpan(drawSpan(t))
	case 8:
		c.Key, c.Value = layout.Operator(drawKS(t), span.ID(spanID(t))), record.EncodeClaim(drawClaim(t))
	case 9:
		c.Key, c.Value = layout.Progress(drawKS(t), pick(t, "bucket", uint32(0), 1, 4095)), record.EncodeProgress(drawProgress(t))
	case 10:
		h := record.History{
			Intent: drawIntent(t), Outcome: record.OutcomeDone,
			FinishedAt: time.Unix(rapid.Int64Range(1, 3).Draw(t, "at"), 0),
		}
		if maybe(t, "ended early") {
			h.Cause = &record.Cause{By: record.ByUser, RequestID: reqID(t), Operator: pick(t, "successor", "", "3-4")}
		}
		c.Key, c.Value = layout.History(drawKS(t), h.Intent.Operator), record.EncodeHistory(h)
	case 11:
		c.Key = layout.Root() + pick(t, "foreign", "nodes/", "stray", "spans/a", "progress/a/XYZ", "nodes/N1")
	case 12:
		r := record.Config{Settings: map[string]string{"settle": pick(t, "settle", "1s", "2s")}, Requests: drawRequests(t)}
		c.Key, c.Value = layout.Config(), record.EncodeConfig(r)
	}
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0, 1:
		c.Value, c.Deleted = nil, true
	case 2:
		c.Value = []byte(pick(t, "garbage", "", "hello", "\xff\xff", "{}"))
	}
	return c
}

// drawRevision draws the changes of one transaction: every key once, at most one node, whose create revision is its
// session and so never equal to another's.
func drawRevision(t *rapid.T) []view.Change {
	var out []view.Change
	seen := map[string]bool{}
	for range rapid.IntRange(1, 4).Draw(t, "changes") {
		c := drawChange(t)
		p, _ := layout.Parse(c.Key)
		id := c.Key
		if p.Kind == keys.Node {
			id = "a node"
		}
		if !seen[id] {
			seen[id] = true
			out = append(out, c)
		}
	}
	return out
}
