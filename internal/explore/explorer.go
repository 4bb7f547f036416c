package explore

import (
	"fmt"
	"slices"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// explorer is one exploration: the names of a configuration by number, and what to do with each successor.
type explorer struct {
	cfg    Config
	layout keys.Layout
	keys   *space

	leaderKey                    int
	nodeKeys                     []int
	spanKeys, claimKeys, history []int

	nodeIndex map[string]int
	spanIndex map[span.ID]int
	refs      []operator.Ref
	// segments are the bits of the segments that a span covers; universe are those covered at the start.
	segments []uint8
	universe uint8
	opIDs    []string
	opIndex  map[string]int

	// emit takes a successor, and whether a fault led to it. Its label is only made while tracing.
	emit    func(t *state, fault bool)
	tracing bool
	label   string
}

func newExplorer(cfg Config) *explorer {
	layout, err := keys.New(clusterName)
	if err != nil {
		panic(err)
	}
	if cfg.Keyspace == 0 {
		cfg.Keyspace = record.KeyspaceRunning
	}
	x := &explorer{
		cfg: cfg, layout: layout, keys: newSpace(),
		nodeIndex: map[string]int{}, spanIndex: map[span.ID]int{}, opIndex: map[string]int{},
	}
	x.leaderKey = x.keys.add(layout.Leader(), kindLeader)
	for i, n := range cfg.Nodes {
		x.nodeIndex[n] = i
		x.nodeKeys = append(x.nodeKeys, x.keys.add(layout.Node(n), kindNode))
	}
	var ranges []span.Range
	for _, s := range cfg.Spans {
		x.addSpan(s.ID)
		ranges = append(ranges, s.Range)
	}
	for i, o := range cfg.Ops {
		id := fmt.Sprintf("9-%d", i)
		x.opIDs, x.opIndex[id] = append(x.opIDs, id), i
		x.history = append(x.history, x.keys.add(layout.History(keyspaceName, id), kindHistory))
		for n, r := range x.results(ranges, o) {
			x.addSpan(span.ID(fmt.Sprintf("%s.%d", id, n)))
			ranges = append(ranges, r)
		}
	}
	x.segment(ranges)
	return x
}

func (x *explorer) addSpan(id span.ID) {
	x.spanIndex[id] = len(x.refs)
	x.refs = append(x.refs, refOf(id))
	x.spanKeys = append(x.spanKeys, x.keys.add(x.layout.Span(keyspaceName, id), kindSpan))
	x.claimKeys = append(x.claimKeys, x.keys.add(x.layout.Operator(keyspaceName, id), kindClaim))
}

// results are the ranges that a split or a merge makes.
func (x *explorer) results(ranges []span.Range, o Op) []span.Range {
	var out []span.Range
	at := func(id span.ID) span.Range { return ranges[x.spanOf(string(id))] }
	switch o.Kind {
	case record.KindSplit:
		r := at(o.Spans[0])
		for _, k := range o.At {
			out = append(out, span.Range{Start: r.Start, End: k})
			r.Start = k
		}
		return append(out, r)
	case record.KindMerge:
		return []span.Range{{Start: at(o.Spans[0]).Start, End: at(o.Spans[len(o.Spans)-1]).End}}
	default:
		return nil
	}
}

// segment cuts the key space at every bound.
func (x *explorer) segment(ranges []span.Range) {
	var bounds []string
	for _, r := range ranges {
		bounds = append(bounds, r.Start, r.End)
	}
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	if len(bounds) > maxSegments+1 || len(ranges) > maxSpans {
		panic("explore: a configuration with too many spans")
	}
	for i, r := range ranges {
		var bits uint8
		for b := range len(bounds) - 1 {
			if r.Start <= bounds[b] && bounds[b+1] <= r.End {
				bits |= 1 << b
			}
		}
		x.segments = append(x.segments, bits)
		if i < len(x.cfg.Spans) {
			x.universe |= bits
		}
	}
}

// each calls f for every segment of span s.
func (x *explorer) each(s int, f func(b int)) {
	for b := range maxSegments {
		if x.segments[s]>>b&1 == 1 {
			f(b)
		}
	}
}

// initial is the state in which every span runs at its owner, reached by the shipped code.
func (x *explorer) initial() *state {
	t := &state{etcd: &store{rev: 1}, left: x.cfg.Faults, cancels: x.cfg.Cancels}
	x.keys.write(t.store(), []txn.Op{txn.Put(x.layout.Leader(), []byte("m"))}, 0)
	for n := range x.cfg.Nodes {
		x.start(t, n)
	}
	for i, s := range x.cfg.Spans {
		made := record.EncodeSpan(record.Span{Range: s.Range})
		x.keys.write(t.store(), []txn.Op{txn.Put(x.keys.names[x.spanKeys[i]], made)}, 0)
		if s.Owner == "" {
			continue
		}
		p := t.procOf(t.etcd.kvs[x.nodeKeys[x.nodeIndex[s.Owner]]].create)
		rec, _ := x.span(t, i)
		x.step(t, p, i, operator.AskOpen{Span: rec, Term: x.term(t)})
		x.deliver(t, p, i)
		x.opened(t, p, i)
		x.deliver(t, p, i)
	}
	return t
}

func (x *explorer) say(format string, args ...any) {
	if x.tracing {
		x.label = fmt.Sprintf(format, args...)
	}
}

// successors emits every state that follows.
func (x *explorer) successors(s *state) {
	x.faults(s)
	x.users(s)
	x.leads(s)
	x.network(s)
	for p := range s.procs {
		x.process(s, p)
	}
}
