package maintainer

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
)

// prospect is the cluster as it would be: the one that there is, with everything in flight done and nodes added, drained and
// removed; then with what the planners would do about it. It is made of records and reports alone, so that it changes nothing
// and waits for nothing.
type prospect struct {
	planFacts
	nodeChanges
	heard *known
	now   time.Time
	fleet *scheduler.Fleet
	// at is the place of each span in spans, loads what each has reported, in the same order.
	at    map[operator.Ref]int
	loads []scheduler.Load
	// shown are the nodes, before and after, in the order of their names.
	shown map[string]*controlv1.PlannedNode

	operators []*controlv1.PlannedOperator
	stuck     []*controlv1.PlannedStuck
}

func newProspect(f planFacts, c nodeChanges, k *known, now time.Time) *prospect {
	p := &prospect{
		planFacts: f, nodeChanges: c, heard: k, now: now, fleet: scheduler.NewFleet(),
		at: make(map[operator.Ref]int, len(f.spans)), loads: make([]scheduler.Load, len(f.spans)), shown: map[string]*controlv1.PlannedNode{},
	}
	p.configure()
	p.addNodes()
	p.addSpans()
	return p
}

// configure has the planners go by the settings that count, without budgets: what is left for later is to be seen, too.
func (p *prospect) configure() {
	b := p.values.Balance()
	b.InFlight, b.NodeInFlight, b.KeyspaceInFlight = 0, 0, 0
	p.fleet.Configure(b, 0)
	for name := range p.keyspaces {
		p.fleet.SetKeyspace(name, p.settings(name).Reshape())
	}
}

// addNodes adds the nodes that there would be.
func (p *prospect) addNodes() {
	for _, f := range p.nodes {
		if f.node == nil {
			continue
		}
		state := f.state(p.heard.node(f.session()))
		p.show(f.name, state, f.config.Weight, int(f.node.Capacity))
		if p.leaving[f.name] == "" && f.drains() {
			p.leaving[f.name] = nodeDraining
		}
		if p.leaving[f.name] == nodeRemoved {
			continue
		}
		n := scheduler.Node{
			Name: f.name, Session: f.session(), Workloads: f.node.Workloads, Labels: f.node.Labels,
			Capacity: int(f.node.Capacity), Weight: f.config.Weight,
		}
		switch {
		case p.leaving[f.name] != "":
			n.Why = p.leaving[f.name]
		case state != nodeReady:
			n.Why = state
		case f.config.Evicted == n.Session:
			n.Why = "evicted"
		default:
			n.Eligible = true
		}
		p.fleet.SetNode(n)
	}
	for _, n := range p.added {
		p.show(n.Name, nodeNew, n.Weight, n.Capacity)
		p.fleet.SetNode(n)
	}
}

func (p *prospect) show(name, state string, weight float64, capacity int) {
	p.shown[name] = &controlv1.PlannedNode{Name: name, State: state, Weight: cmp.Or(weight, 1), Capacity: int64(capacity)}
}

func (p *prospect) addSpans() {
	measures := map[string]string{}
	for name := range p.keyspaces {
		measures[name] = p.settings(name).LoadMeasure
	}
	for i, s := range p.spans {
		p.at[s.Ref] = i
		heard := p.heard.span(s.Ref)
		p.fleet.SetSpan(p.spanOf(s, heard))
		p.loads[i] = scheduler.Load{Load: unknownLoad, Size: unknownLoad}
		if heard.session == s.on.Session && s.on.Session != 0 {
			p.loads[i] = loadOf(heard, measures[s.Keyspace])
			p.fleet.SetLoad(s.Ref, p.loads[i], p.now)
		}
		if n := p.shown[s.destination()]; n != nil {
			n.SpansBefore++
			n.LoadBefore += p.weight(s.Ref)
		}
	}
	for _, n := range p.shown {
		n.SpansAfter, n.LoadAfter = n.SpansBefore, n.LoadBefore
	}
}

// spanOf is a span as the planners see it. When it came to its node is not in the records: what is there may be moved.
func (p *prospect) spanOf(s planSpan, heard spanKnown) scheduler.Span {
	rules := p.rules[s.Keyspace]
	out := scheduler.Span{
		Ref: s.Ref, Range: s.Range, Workload: p.workload(s.Keyspace), Rules: rules, Pin: pinOf(rules, *s.Span),
		Node: s.destination(), Flight: flightOf(s.Intent, heard.stuck != nil), Made: s.CreatedAt,
	}
	if s.Intent == nil && s.claim != nil && s.claim.Stage == record.StageOpening && heard.stuck == nil {
		out.Flight = scheduler.Flight{Class: scheduler.ClassFailover, To: s.claim.Node}
	}
	out.Settled = s.idle() && heard.stuck == nil && heard.lastError == "" && p.leaving[out.Node] == "" && p.heard.node(s.on.Session).connected
	return out
}

// make finds out what would follow, in the order of the planners. What is decided by one is in flight for the next.
func (p *prospect) make(ctx context.Context) error {
	p.failover()
	p.drain()
	for _, step := range []func(context.Context) error{p.balance, p.reshape} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for name, n := range p.shown {
		if p.leaving[name] == nodeRemoved {
			n.SpansAfter = 0
		}
		if n.GetSpansAfter() == 0 {
			n.LoadAfter = 0 // and not what is left of sums of fractions
		}
	}
	slices.SortFunc(p.stuck, func(a, b *controlv1.PlannedStuck) int {
		return cmp.Or(cmp.Compare(a.GetKeyspace(), b.GetKeyspace()), cmp.Compare(a.GetSpan(), b.GetSpan()))
	})
	return ctx.Err()
}

// targets are the nodes as they would be by now.
func (p *prospect) targets() []scheduler.Node {
	nodes := p.fleet.Nodes()
	for i := range nodes {
		nodes[i].Budget = math.MaxInt
	}
	return nodes
}

// toLeave are the spans on nodes that become something, and may leave them. The others are told of: what is done about them
// is not decided yet.
func (p *prospect) toLeave(becomes string) (out []planSpan) {
	for _, s := range p.spans {
		node := s.destination()
		if node == "" || p.leaving[node] != becomes {
			continue
		}
		late := p.heard.span(s.Ref).stuck
		switch {
		case late != nil:
			p.stay(s.Ref, node, late.text())
		case p.keyspaces[s.Keyspace] == nil:
			p.stay(s.Ref, node, "its keyspace has no readable record")
		case s.idle():
			out = append(out, s)
		case s.acting() != "":
			p.stay(s.Ref, node, s.acting()+": make a plan again when that is over")
		}
	}
	return out
}

func (p *prospect) stay(r operator.Ref, node, why string) {
	p.stuck = append(p.stuck, &controlv1.PlannedStuck{Keyspace: r.Keyspace, Span: string(r.ID), Node: node, Reason: why})
}

// failover places what removed nodes leave behind.
func (p *prospect) failover() {
	var wants []scheduler.Want
	for _, s := range p.toLeave(nodeRemoved) {
		in, _ := p.fleet.Span(s.Ref)
		wants = append(wants, scheduler.Want{Ref: s.Ref, Workload: in.Workload, Rules: in.Rules, Pin: in.Pin, Load: p.load(s.Ref).Load})
	}
	placed, left := scheduler.Place(wants, p.targets())
	for _, a := range placed {
		from := p.spans[p.at[a.Ref]].on.Node
		p.take(scheduler.Move{Ref: a.Ref, From: from, To: a.Node, Reason: "node " + from + " is removed"}, record.ByFailover)
	}
	for _, u := range left {
		in, _ := p.fleet.Span(u.Ref)
		p.stay(u.Ref, in.Node, u.Why)
	}
}

// drain moves spans off nodes that are drained, or are to be.
func (p *prospect) drain() {
	var in []scheduler.Evictee
	budget := map[string]int{}
	for _, s := range p.toLeave(nodeDraining) {
		f, _ := p.fleet.Span(s.Ref)
		in = append(in, scheduler.Evictee{Ref: s.Ref, Workload: f.Workload, Rules: f.Rules, Pin: f.Pin, From: f.Node, Load: p.load(s.Ref).Load})
		budget[f.Node] = math.MaxInt
	}
	plan := scheduler.Drain(in, p.targets(), budget)
	for _, mv := range plan.Moves {
		p.take(mv, record.ByDrain)
	}
	for _, u := range plan.Stuck {
		f, _ := p.fleet.Span(u.Ref)
		p.stay(u.Ref, f.Node, u.Why)
	}
}

// balance goes on until it finds nothing more.
func (p *prospect) balance(ctx context.Context) error {
	for ctx.Err() == nil {
		moves := p.fleet.Balance(p.now)
		for _, mv := range moves {
			p.take(mv, record.ByBalance)
		}
		if len(moves) == 0 {
			break
		}
	}
	return ctx.Err()
}

// reshapeRounds bounds how often splits and merges are looked for, shortestRound how exactly it is known when they follow.
const (
	reshapeRounds = 1000
	shortestRound = time.Second
)

// reshape finds the splits and merges that would follow if all that spans report stayed as it is: as soon as they are old
// enough, and have been above or below a threshold for long enough.
func (p *prospect) reshape(ctx context.Context) error {
	ahead := p.reshapeAhead()
	round := max(shortestRound, ahead/reshapeRounds)
	for at, end := p.now, p.now.Add(ahead+round); ahead > 0 && !at.After(end) && ctx.Err() == nil; {
		splits, merges := p.fleet.SplitsAndMerges(at)
		for _, s := range splits {
			p.takeSplit(s)
		}
		for _, m := range merges {
			p.takeMerge(m)
		}
		next, ok := p.fleet.NextReshape(at)
		if !ok {
			break
		}
		if at = at.Add(round); next.After(at) {
			at = next
		}
	}
	return ctx.Err()
}

// reshapeAhead is after how long everything has been looked at that may be split or merged, 0 if nothing ever is.
func (p *prospect) reshapeAhead() (ahead time.Duration) {
	for name := range p.keyspaces {
		v := p.settings(name)
		if v.SplitLoad > 0 || v.SplitSize > 0 {
			ahead = max(ahead, v.ReshapeMinAge+v.SplitAfter)
		}
		if v.MergeLoad > 0 {
			ahead = max(ahead, v.ReshapeMinAge+v.MergeAfter)
		}
	}
	return ahead
}
