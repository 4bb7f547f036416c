package record_test

import (
	"time"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// The generators draw records that are valid, and as far from plain as the rules allow.

var (
	name    = rapid.StringMatching(`[a-z0-9][a-z0-9._-]{0,62}`)
	noName  = rapid.OneOf(rapid.Just(""), name)
	anyText = rapid.String() // valid UTF-8
	session = rapid.Int64Min(1)
)

func drawTime(t *rapid.T, label string) time.Time {
	if rapid.Bool().Draw(t, label+" zero") {
		return time.Time{}
	}
	return time.Unix(0, rapid.Int64Min(1).Draw(t, label)).UTC()
}

func drawList[V any](t *rapid.T, g *rapid.Generator[V], label string) []V {
	list := rapid.SliceOfN(g, 0, 4).Draw(t, label)
	if len(list) == 0 {
		return nil
	}
	return list
}

func drawMap(t *rapid.T, label string) map[string]string {
	m := rapid.MapOfN(anyText, anyText, 0, 3).Draw(t, label)
	if len(m) == 0 {
		return nil
	}
	return m
}

func drawBytes(t *rapid.T, label string) []byte {
	return drawList(t, rapid.Byte(), label)
}

func drawKey(t *rapid.T, label string) string {
	return string(rapid.SliceOfN(rapid.Byte(), 0, 6).Draw(t, label))
}

func drawRange(t *rapid.T) span.Range {
	r := span.Range{Start: drawKey(t, "start"), End: drawKey(t, "end")}
	if r.End != "" && r.Start >= r.End {
		r.End = r.Start + "\x00"
	}
	return r
}

func drawRequest(t *rapid.T) record.Request {
	return record.Request{
		ID: name.Draw(t, "request"), Body: drawBytes(t, "body"), Operator: noName.Draw(t, "op"), At: drawTime(t, "at"),
	}
}

func drawIntent(t *rapid.T) record.Intent {
	i := record.Intent{
		Operator: name.Draw(t, "operator"), Kind: record.Kind(rapid.Int32Range(1, 6).Draw(t, "kind")),
		By: record.By(rapid.Int32Range(1, 6).Draw(t, "by")), Reason: anyText.Draw(t, "reason"),
		RequestID: anyText.Draw(t, "request"), Body: drawBytes(t, "body"), CreatedAt: drawTime(t, "created"),
		From: noName.Draw(t, "from"), To: noName.Draw(t, "to"), HandedOff: rapid.Bool().Draw(t, "handed off"),
		Spans: drawList(t, name, "spans"), Results: drawList(t, name, "results"),
	}
	key := ""
	for range rapid.IntRange(0, 3).Draw(t, "keys") {
		key += string(rapid.SliceOfN(rapid.Byte(), 1, 3).Draw(t, "key"))
		i.At = append(i.At, key)
	}
	i.Marks = drawList(t, rapid.Custom(func(t *rapid.T) record.Mark {
		return record.Mark{
			Stage: record.Stage(rapid.Int32Range(1, 5).Draw(t, "stage")), At: drawTime(t, "at"), Node: noName.Draw(t, "node"),
			Span: span.ID(noName.Draw(t, "mark span")),
		}
	}), "marks")
	return i
}

func drawConfig(t *rapid.T) record.Config {
	return record.Config{Settings: drawMap(t, "settings"), Requests: drawList(t, rapid.Custom(drawRequest), "requests")}
}

func drawLeader(t *rapid.T) record.Leader {
	return record.Leader{
		Maintainer: name.Draw(t, "name"), Instance: name.Draw(t, "instance"), Address: anyText.Draw(t, "address"),
		Resigned: rapid.Bool().Draw(t, "resigned"), Successor: noName.Draw(t, "successor"),
	}
}

func drawMaintainer(t *rapid.T) record.Maintainer {
	return record.Maintainer{
		Name: name.Draw(t, "name"), Instance: name.Draw(t, "instance"), Address: anyText.Draw(t, "address"),
		Version: anyText.Draw(t, "version"), StartedAt: drawTime(t, "started"), Draining: rapid.Bool().Draw(t, "draining"),
	}
}

func drawNode(t *rapid.T) record.Node {
	return record.Node{
		Name: name.Draw(t, "name"), Instance: name.Draw(t, "instance"), Address: anyText.Draw(t, "address"),
		Version: anyText.Draw(t, "version"), Labels: drawMap(t, "labels"), Capacity: rapid.Int64Min(0).Draw(t, "capacity"),
		Workloads: drawList(t, name, "workloads"),
		TTL:       time.Duration(rapid.Int64Range(1, 9_000_000_000_000).Draw(t, "ttl")) * time.Millisecond,
		StartedAt: drawTime(t, "started"), Ended: record.Ended(rapid.Int32Range(0, 2).Draw(t, "ended")),
		Lease: rapid.Int64().Draw(t, "lease"),
	}
}

func drawNodeConfig(t *rapid.T) record.NodeConfig {
	return record.NodeConfig{
		Cordoned: rapid.Bool().Draw(t, "cordoned"), Draining: rapid.Bool().Draw(t, "draining"),
		Weight: rapid.Float64Range(0, 1e9).Draw(t, "weight"), Evicted: rapid.Int64Min(0).Draw(t, "evicted"),
		DrainSession: rapid.Int64Min(0).Draw(t, "drain session"),
		Requests:     drawList(t, rapid.Custom(drawRequest), "requests"),
	}
}

func drawKeyspace(t *rapid.T) record.Keyspace {
	k := record.Keyspace{
		Workload: name.Draw(t, "workload"), Settings: drawMap(t, "settings"),
		State:           record.KeyspaceState(rapid.Int32Range(1, 4).Draw(t, "state")),
		RangeGeneration: rapid.Uint64().Draw(t, "generation"), Requests: drawList(t, rapid.Custom(drawRequest), "requests"),
		CreatedBy: noName.Draw(t, "by"), CreatedAt: drawTime(t, "at"), ExpectedSpans: rapid.Int64Min(0).Draw(t, "expected"),
	}
	if rapid.Bool().Draw(t, "changing") {
		i := drawIntent(t)
		k.Pending = &i
	}
	return k
}

func drawSpan(t *rapid.T) record.Span {
	s := record.Span{
		Range: drawRange(t), Parents: drawList(t, name, "parents"), LastNode: noName.Draw(t, "last"),
		CreatedAt: drawTime(t, "at"),
	}
	if rapid.Bool().Draw(t, "owned") {
		s.Owner = record.Owner{
			Node: name.Draw(t, "node"), Session: session.Draw(t, "session"), Token: rapid.Uint64Min(1).Draw(t, "token"),
		}
	}
	if rapid.Bool().Draw(t, "known") {
		s.Checkpoint = record.At(rapid.Uint64().Draw(t, "checkpoint"))
	}
	if rapid.Bool().Draw(t, "busy") {
		i := drawIntent(t)
		s.Intent = &i
	}
	return s
}

func drawClaim(t *rapid.T) record.Claim {
	return record.Claim{
		Operator: noName.Draw(t, "operator"), Kind: record.Kind(rapid.Int32Range(1, 6).Draw(t, "kind")),
		Stage: rapid.SampledFrom([]record.Stage{record.StageClosing, record.StageOpening}).Draw(t, "stage"),
		Node:  name.Draw(t, "node"), Session: session.Draw(t, "session"), At: drawTime(t, "at"),
		By: record.By(rapid.Int32Range(0, 6).Draw(t, "by")), Term: rapid.Int64Min(0).Draw(t, "term"),
	}
}

func drawProgress(t *rapid.T) record.Progress {
	p := record.Progress{}
	for _, id := range drawList(t, name, "ids") {
		p[span.ID(id)] = rapid.Uint64().Draw(t, "at")
	}
	return p
}

func drawCause(t *rapid.T) record.Cause {
	return record.Cause{
		By: record.By(rapid.Int32Range(1, 6).Draw(t, "cause by")), Reason: anyText.Draw(t, "cause reason"),
		RequestID: anyText.Draw(t, "cause request"), Body: drawBytes(t, "cause body"), Operator: noName.Draw(t, "cause operator"),
	}
}

func drawHistory(t *rapid.T) record.History {
	h := record.History{
		Intent: drawIntent(t), Outcome: record.Outcome(rapid.Int32Range(1, 3).Draw(t, "outcome")),
		FinishedAt: drawTime(t, "at"), Error: anyText.Draw(t, "error"),
		Ranges: drawList(t, rapid.Custom(drawRange), "ranges"),
	}
	if rapid.Bool().Draw(t, "caused") {
		c := drawCause(t)
		h.Cause = &c
	}
	return h
}
