package sim

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

// workload that all nodes run.
const workload = "sim"

// engine is a cluster in virtual time.
type engine struct {
	sc  *Scenario
	rng *rand.Rand
	// chance of failures and refusals is its own, so that a load does not depend on what was refused.
	chance *rand.Rand

	now   time.Duration
	queue queue

	set    map[string]string
	values settings.Values

	fleet     *scheduler.Fleet
	nodes     []*node
	byName    map[string]*node
	keyspaces []*keyspace
	spans     []*spanState

	leader  leader
	costs   Costs
	measure measure
	// avoid are the nodes that failed to open a span since it ran last.
	avoid map[*spanState][]string
}

// Run carries a scenario out. The same scenario gives the same result.
func Run(ctx context.Context, sc *Scenario) (*Result, error) {
	e, err := run(ctx, sc)
	if err != nil {
		return nil, err
	}
	return e.result(), nil
}

func run(ctx context.Context, sc *Scenario) (*engine, error) {
	e := newEngine(sc)
	e.build()
	for it, ok := e.queue.take(sc.Duration); ok; it, ok = e.queue.take(sc.Duration) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e.now = it.at
		it.do()
	}
	e.now = sc.Duration
	return e, nil
}

func newEngine(sc *Scenario) *engine {
	e := &engine{
		sc: sc, rng: rand.New(rand.NewPCG(sc.Seed, 1)), chance: rand.New(rand.NewPCG(sc.Seed, 2)), //nolint:gosec // to be repeatable is the point
		set: map[string]string{}, fleet: scheduler.NewFleet(), byName: map[string]*node{}, costs: sc.Costs,
		avoid: map[*spanState][]string{},
	}
	e.leader = newLeader()
	e.measure = newMeasure()
	for k, v := range sc.Settings {
		e.set[k] = v
	}
	return e
}

// build puts everything there is at the start in its place, and all that will happen into the queue.
func (e *engine) build() {
	e.configure()
	for _, g := range e.sc.Nodes {
		e.join(g)
	}
	e.begin("start")
	for i := range e.sc.Keyspaces {
		spec := &e.sc.Keyspaces[i]
		ks := &keyspace{Keyspace: spec, load: spec.Load, factor: 1}
		ks.rules, _ = scheduler.ParseRules(spec.Settings) // checked when it was read
		e.keyspaces = append(e.keyspaces, ks)
		e.configureKeyspace(ks)
		if spec.Created > 0 {
			e.at(spec.Created, func() { e.create(ks) })
		} else {
			e.create(ks)
		}
	}
	for _, ev := range e.sc.Events {
		e.at(ev.At, func() {
			e.begin(ev.Do.String())
			ev.Do.apply(e)
			e.wake()
		})
	}
	e.every(e.sc.Report, happens, e.report)
	e.queue.put(0, measures, e.sample)
	e.every(e.sc.Sample, measures, e.sample)
	e.wake()
}

func (e *engine) at(at time.Duration, do func()) { e.queue.put(at, happens, do) }

func (e *engine) after(d time.Duration, do func()) { e.at(e.now+d, do) }

func (e *engine) every(d time.Duration, o order, do func()) {
	var next func()
	next = func() {
		do()
		e.queue.put(e.now+d, o, next)
	}
	e.queue.put(e.now+d, o, next)
}

// later does something with a span after a while, unless something else happens to it before.
func (e *engine) later(s *spanState, d time.Duration, do func()) {
	s.epoch++
	meant := s.epoch
	e.after(d, func() {
		if s.epoch == meant {
			do()
		}
	})
}

// epoch is the moment 0 to the planners, who want a time of day.
var epoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// clock is the time of day.
func (e *engine) clock() time.Time { return epoch.Add(e.now) }

// timeOf is the time of day at some moment; what was so at the start has been so for long.
func timeOf(at time.Duration) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return epoch.Add(at)
}

// join brings the nodes of a group.
func (e *engine) join(g Group) {
	for _, name := range g.Names {
		n := &node{name: name, labels: g.Labels, capacity: g.Capacity, weight: g.Weight, up: true, present: true, session: 1, seen: e.now}
		e.nodes = append(e.nodes, n)
		e.byName[name] = n
		e.tellNode(n)
	}
}

// create makes the spans of a keyspace. At the start they are at their places already.
func (e *engine) create(ks *keyspace) {
	if e.now > 0 {
		e.begin("keyspace " + ks.Name + " is created")
	}
	ks.since = e.now
	ks.factor = ks.load.factor(0)
	loads, sizes := ks.load.deal(e.rng, ks.Spans), ks.Size.deal(e.rng, ks.Spans)
	states := make([]spanState, ks.Spans)
	for i, r := range even(ks.Spans) {
		s := &states[i]
		*s = spanState{rng: r, ks: ks, base: loads[i], load: loads[i] * ks.factor, size: sizes[i], made: e.now, unownedFrom: e.now}
		e.enter(s)
	}
	if e.now == 0 {
		e.settle(ks)
		return
	}
	for _, s := range ks.members {
		e.tell(s)
		e.tellLoad(s)
		e.unowned(s, 1)
		e.want(s, byStart)
	}
}

// enter numbers a span.
func (e *engine) enter(s *spanState) {
	s.id = idOf(len(e.spans))
	e.spans = append(e.spans, s)
	s.ks.add(s)
}

// even divides all keys into ranges of equal width.
func even(n int) []span.Range {
	out := make([]span.Range, n)
	width := ^uint64(0)/uint64(n) + 1 //nolint:gosec // n is positive
	if n == 1 {
		return out
	}
	for i := 1; i < n; i++ {
		key := keyAt(uint64(i) * width) //nolint:gosec // i is positive
		out[i-1].End, out[i].Start = key, key
	}
	return out
}

const keyDigits = 16

// keyAt is the text of a place among all keys; placeOf is the way back, whose ends are those of all keys.
func keyAt(place uint64) string {
	s := strconv.FormatUint(place, 16)
	return "0000000000000000"[:keyDigits-len(s)] + s
}

func placeOf(r span.Range) (from, to uint64) {
	to = ^uint64(0)
	if r.Start != "" {
		from, _ = strconv.ParseUint(r.Start, 16, 64)
	}
	if r.End != "" {
		to, _ = strconv.ParseUint(r.End, 16, 64)
	}
	return from, to
}

// widthOf is which part of another range a range is.
func widthOf(part, whole span.Range) float64 {
	a, b := placeOf(part)
	c, d := placeOf(whole)
	return float64(b-a) / float64(d-c)
}
