package sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

// leader is what the leader of the control plane remembers.
type leader struct {
	// queue are spans that nobody owns, in the order in which they came to be so; parked are those that no node can take,
	// until nodes change.
	queue, parked []*spanState
	losses        []scheduler.Loss
	hold          scheduler.Hold
	holding       bool
	missing       map[string]bool
	// back are nodes that vanished with many others: their spans prefer them.
	back map[string]bool
	// planAt is when it plans next, planned when it did last; never is none.
	planAt, planned time.Duration
}

const never = -1

func newLeader() leader { return leader{back: map[string]bool{}, planAt: never, planned: never} }

// wake makes the leader plan at its next tick.
func (e *engine) wake() { e.planBy(e.now) }

// planBy makes it plan at the first tick from some moment on.
func (e *engine) planBy(at time.Duration) {
	l := &e.leader
	tick := e.sc.Tick
	if late := at % tick; late > 0 {
		at += tick - late
	}
	if l.planned != never {
		at = max(at, l.planned+tick)
	}
	if l.planAt != never && l.planAt <= at {
		return
	}
	l.planAt = at
	e.queue.put(at, plans, func() {
		if l.planAt == at {
			l.planAt, l.planned = never, e.now
			e.plan()
		}
	})
}

// want puts a span into the queue of those to be opened.
func (e *engine) want(s *spanState, c cause) {
	if s.next == byNobody {
		e.leader.queue = append(e.leader.queue, s)
	}
	s.next = c
	e.wake()
}

// changed: what could go nowhere may fit now.
func (e *engine) changed() {
	e.leader.queue = append(e.leader.queue, e.leader.parked...)
	e.leader.parked = nil
	e.wake()
}

// plan is one turn of the leader. What goes first is more urgent.
func (e *engine) plan() {
	e.measure.plans.Turns++
	e.measure.problems.turn()
	e.look()
	e.holdMassLoss()
	if !e.values.Paused(settings.PlannerPlacement) {
		e.place()
	}
	if !e.values.Paused(settings.PlannerDrain) {
		e.drain()
	}
	if !e.values.Paused(settings.PlannerBalance) {
		e.balance()
	}
	e.reshape()
	e.complain()
	e.measure.problems.close(e.now)
	e.look()
	e.busy()
}

// lossMemory is how long lost nodes are remembered.
const lossMemory = settings.LongestWindow + settings.LongestHold

// holdMassLoss finds out whether failover waits for nodes that vanished together.
func (e *engine) holdMassLoss() {
	l, v := &e.leader, &e.values
	l.losses = slices.DeleteFunc(l.losses, func(x scheduler.Loss) bool { return x.At < e.now-lossMemory })
	i := slices.IndexFunc(l.losses, func(x scheduler.Loss) bool { return x.At >= e.now-v.MassLossWindow-v.MassLossHold })
	if i < 0 {
		l.holding = false
		clear(l.back)
		return
	}
	var present []string
	for _, n := range e.nodes {
		if n.present {
			present = append(present, n.name)
		}
	}
	cfg := scheduler.HoldConfig{Share: v.MassLossShare, Least: v.MassLossLeast, Window: v.MassLossWindow, For: v.MassLossHold}
	l.hold = scheduler.MassLoss(cfg, e.now, present, l.losses[i:])
	if l.holding = l.hold.Holding(e.now); !l.holding {
		return
	}
	l.missing = map[string]bool{}
	for _, n := range l.hold.Missing {
		l.back[n], l.missing[n] = true, true
	}
	var names []string // in the order in which people have named them
	for _, n := range e.nodes {
		if l.missing[n.name] {
			names = append(names, n.name)
		}
	}
	e.measure.problems.note(problemKey{kind: problemMassLoss}, len(names), named(names)+" vanished at once: failover waits for them")
	e.planBy(l.hold.Until)
}

// place opens what nobody owns.
func (e *engine) place() {
	l := &e.leader
	if len(l.queue) == 0 {
		return
	}
	queue := l.queue
	l.queue = nil
	wants := map[scheduler.Class][]scheduler.Want{}
	for _, s := range queue {
		if s.last != nil && l.holding && l.missing[s.last.name] {
			l.queue = append(l.queue, s)
			continue
		}
		c := s.next.class()
		wants[c] = append(wants[c], e.wantOf(s))
	}
	for _, c := range []scheduler.Class{scheduler.ClassFailover, scheduler.ClassUser} {
		e.placeClass(c, wants[c])
	}
}

// placeClass opens what is equally urgent.
func (e *engine) placeClass(c scheduler.Class, wants []scheduler.Want) {
	if len(wants) == 0 {
		return
	}
	l := &e.leader
	e.measure.plans.Placement++
	placed, left := scheduler.Place(wants, e.nodesFor(c))
	for _, p := range placed {
		e.ask(e.spanOf(p.Ref.ID), e.byName[p.Node])
	}
	for _, u := range left {
		if s := e.spanOf(u.Ref.ID); u.Budget {
			l.queue = append(l.queue, s)
		} else {
			l.parked = append(l.parked, s)
			s.why = u.Why
		}
	}
}

func (e *engine) wantOf(s *spanState) scheduler.Want {
	w := scheduler.Want{Ref: s.ref(), Workload: workload, Rules: s.ks.rules, Avoid: e.avoid[s], Load: loadOf(s).Load}
	if s.ks.rules != nil {
		w.Pin = s.ks.rules.Pins.Pinned(s.rng)
	}
	if s.last != nil && e.leader.back[s.last.name] {
		w.Prefer = s.last.name
	}
	return w
}

// ask a node to open a span.
func (e *engine) ask(s *spanState, to *node) {
	c := s.next
	s.next = byNobody
	e.start(s, c, to)
	if e.refused() {
		e.tell(s)
		e.later(s, answer, func() {
			e.end(s, isRefused)
			e.tell(s)
			e.later(s, e.values.AskRetry, func() { e.want(s, c) })
		})
		return
	}
	e.open(s)
	e.tell(s)
}

// nodesFor are the nodes with what each may still be asked for by a class. What keeps balance from a node is no reason to
// leave a span without an owner.
func (e *engine) nodesFor(c scheduler.Class) []scheduler.Node {
	nodes := e.fleet.Nodes()
	for i := range nodes {
		n := e.byName[nodes[i].Name]
		nodes[i].Why = n.why()
		nodes[i].Eligible = nodes[i].Why == ""
		nodes[i].Budget = e.values.InFlight - n.asked[c]
	}
	return nodes
}

func (e *engine) spanOf(id span.ID) *spanState { return e.spans[numberOf(id)] }

// drain moves spans off nodes that are drained.
func (e *engine) drain() {
	var spans []scheduler.Evictee
	budget := map[string]int{}
	for _, n := range e.nodes {
		if !n.draining || !n.present || len(n.spans) == 0 {
			continue
		}
		budget[n.name] = e.values.DrainInFlight - n.drains
		if budget[n.name] <= 0 {
			continue
		}
		for _, s := range n.spans {
			if s.cause == byNobody && s.merge == nil {
				spans = append(spans, e.evictee(s))
			}
		}
	}
	if len(spans) == 0 {
		return
	}
	e.measure.plans.Drain++
	plan := scheduler.Drain(spans, e.nodesFor(scheduler.ClassDrain), budget)
	for _, m := range plan.Moves {
		s := e.spanOf(m.Ref.ID)
		e.move(s, e.byName[m.To], byDrain)
		e.tell(s)
	}
	for _, u := range plan.Stuck {
		if !u.Budget {
			e.measure.problems.note(problemKey{problemDrain, e.spanOf(u.Ref.ID).node.name, u.Ref.Keyspace}, 1, "can go nowhere: "+u.Why)
		}
	}
}

func (e *engine) evictee(s *spanState) scheduler.Evictee {
	out := scheduler.Evictee{Ref: s.ref(), Workload: workload, Rules: s.ks.rules, From: s.node.name, Avoid: e.avoid[s]}
	if s.ks.rules != nil {
		out.Pin = s.ks.rules.Pins.Pinned(s.rng)
	}
	return out
}

// balance moves spans so that nodes carry alike.
func (e *engine) balance() {
	e.measure.plans.Balance++
	for _, n := range e.nodes {
		if n.present && e.notYet(n) != n.told {
			e.tellNode(n)
		}
	}
	for _, m := range e.fleet.Balance(e.clock()) {
		e.move(e.spanOf(m.Ref.ID), e.byName[m.To], byBalance)
	}
	if at, ok := e.fleet.NextBalance(e.clock()); ok {
		e.planBy(at.Sub(epoch))
	}
}

// reshape splits what is hot and merges what is cold. A planner that is paused has no thresholds.
func (e *engine) reshape() {
	e.measure.plans.Reshape++
	splits, merges := e.fleet.SplitsAndMerges(e.clock())
	for _, p := range splits {
		e.split(e.spanOf(p.Ref.ID), p.At)
	}
	for _, p := range merges {
		var sources []*spanState
		for _, id := range p.Spans {
			sources = append(sources, e.spanOf(id))
		}
		e.mergeAll(sources)
	}
	if at, ok := e.fleet.NextReshape(e.clock()); ok {
		e.planBy(at.Sub(epoch))
	}
}

// complain tells of spans that no node can take.
func (e *engine) complain() {
	for _, s := range e.leader.parked {
		e.measure.problems.note(problemKey{kind: problemPlacement, keyspace: s.ks.Name}, 1, "no node can take it: "+s.why)
	}
}

// settle puts the spans of a keyspace where they would be by now, had they been placed long ago.
func (e *engine) settle(ks *keyspace) {
	byRef := make([]scheduler.Want, len(ks.members))
	for i, s := range ks.members {
		byRef[i] = e.wantOf(s)
	}
	nodes := e.fleet.Nodes()
	for i := range nodes {
		nodes[i].Budget = len(byRef)
	}
	placed, left := scheduler.Place(byRef, nodes)
	for _, p := range placed {
		s := e.spanOf(p.Ref.ID)
		s.node, s.stage = e.byName[p.Node], running
		s.node.spans.add(s)
		s.node.load += s.load
		e.tell(s)
		e.tellLoad(s)
	}
	for _, u := range left {
		s := e.spanOf(u.Ref.ID)
		e.unowned(s, 1)
		e.tell(s)
		e.tellLoad(s)
		e.want(s, byStart)
	}
}

// configure takes the settings of the cluster over.
func (e *engine) configure() {
	e.values, _, _ = settings.Resolve(settings.Layers{Cluster: e.set})
	e.fleet.Configure(e.values.Balance(), e.values.ReshapeInFlight)
}

func (e *engine) configureKeyspace(ks *keyspace) {
	ks.values, _, _ = settings.Resolve(settings.Layers{Cluster: e.set, Keyspace: ks.Settings})
	c := ks.values.Reshape()
	if e.values.Paused(settings.PlannerSplit) {
		c.SplitLoad, c.SplitSize = 0, 0
	}
	if e.values.Paused(settings.PlannerMerge) {
		c.MergeLoad, c.MergeSize = 0, 0
	}
	e.fleet.SetKeyspace(ks.Name, c)
}

// reconfigure takes changed settings over.
func (e *engine) reconfigure() {
	e.configure()
	for _, ks := range e.keyspaces {
		e.configureKeyspace(ks)
	}
	e.changed()
}

// tellNode says to the planners how a node is.
func (e *engine) tellNode(n *node) {
	n.told = e.notYet(n)
	e.fleet.SetNode(scheduler.Node{
		Name: n.name, Session: n.session, Workloads: []string{workload}, Labels: n.labels,
		Eligible: n.told == "", Why: n.told, Capacity: n.capacity, Weight: n.weight,
	})
}

// notYet is why balance gives nothing to a node, "" if it may.
func (e *engine) notYet(n *node) string {
	arriving := 0
	for _, asked := range n.asked {
		arriving += asked
	}
	if why := cmp.Or(n.why(), scheduler.Unready(arriving, e.values.BalanceNodeInFlight, n.failing)); why != "" {
		return why
	}
	if n.seen == 0 {
		return ""
	}
	if warm := n.seen + scheduler.WarmUp(e.values.BalanceWarmUp, n.name, e.leader.losses); e.now < warm {
		e.planBy(warm)
		return "just started"
	}
	return ""
}
