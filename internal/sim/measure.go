package sim

import (
	"strings"
	"time"

	"github.com/spanward/spanward/internal/output"
)

// outcome of an operator.
type outcome uint8

const (
	isDone outcome = iota
	isFailed
	isRefused
	// isLate: it was given up since it took too long.
	isLate

	outcomes
)

// measure is what is counted.
type measure struct {
	plans    Plans
	inFlight [causes]int
	unowned  int
	// emptying: a node that is drained has spans. early: some node is kept from getting spans for a while, and was so up to
	// settling.
	emptying, early bool
	settling        time.Duration
	phases          []*phase
	samples         []Sample
	ended           [causes][outcomes]int
	problems        problems
}

// phase is the time from an event to the next one.
type phase struct {
	at    time.Duration
	what  []string
	ended [causes][outcomes]int
	// most spans had no owner at a time, and one had none for longest.
	most    int
	longest time.Duration
	// calm is since when nothing has been going on, never if something is. Once that has been so for long, what follows
	// does not come from the event: settled.
	calm    time.Duration
	settled bool
}

func newMeasure() measure { return measure{problems: problems{of: map[problemKey]*Problem{}}} }

func (m *measure) of() *phase { return m.phases[len(m.phases)-1] }

// begin a phase. What happens at one and the same time begins one.
func (e *engine) begin(what string) {
	m := &e.measure
	if len(m.phases) > 0 && m.of().at == e.now {
		m.of().what = append(m.of().what, what)
		return
	}
	e.stillUnowned()
	p := &phase{at: e.now, what: []string{what}, calm: e.now, most: m.unowned}
	if e.active() {
		p.calm = never
	}
	m.phases = append(m.phases, p)
}

// active: something is going on, or waits to be done.
func (e *engine) active() bool {
	m := &e.measure
	flying := 0
	for _, n := range m.inFlight {
		flying += n
	}
	return flying > 0 || m.unowned > 0 || m.emptying
}

// quiet is how long nothing must happen until what an event has led to is over: by then whatever had to wait could be done.
func (e *engine) quiet() time.Duration {
	return max(e.values.BalanceCooldown, e.values.BalanceWarmUp) + 5*e.sc.Tick
}

// busy notes whether something is going on.
func (e *engine) busy() {
	p := e.measure.of()
	switch active := e.active(); {
	case p.settled:
	case !active && p.calm == never:
		p.calm = e.now
	case active && p.calm != never && p.calm > p.at && e.now-max(p.calm, e.measure.settling) >= e.quiet():
		p.settled = true
	case active:
		p.calm = never
	}
}

// unowned notes that nobody acts on a span any more, or that somebody does again.
func (e *engine) unowned(s *spanState, by int) {
	m := &e.measure
	m.unowned += by
	if by > 0 {
		s.unownedFrom = e.now
	} else {
		m.of().longest = max(m.of().longest, e.now-s.unownedFrom)
	}
	m.of().most = max(m.of().most, m.unowned)
	e.busy()
}

// sample measures how even things are.
func (e *engine) sample() {
	m := &e.measure
	s := Sample{AtMS: e.now.Milliseconds(), Unowned: m.unowned, done: doneOf(&m.ended)}
	for _, n := range m.inFlight {
		s.InFlight += n
	}
	var spans, load ratio
	for _, n := range e.nodes {
		if n.up && n.present {
			s.Nodes++
		}
		if n.takes() {
			spans.add(float64(len(n.spans)), n.weight)
			load.add(n.load, n.weight)
		}
	}
	for _, ks := range e.keyspaces {
		s.Spans += len(ks.members)
	}
	s.SpansMaxMean, s.LoadMaxMean = spans.maxMean(), load.maxMean()
	m.samples = append(m.samples, s)
}

// ratio of what the fullest node carries, for its weight, to the mean.
type ratio struct{ most, sum, weights float64 }

func (r *ratio) add(x, weight float64) {
	r.most = max(r.most, x/weight)
	r.sum += x
	r.weights += weight
}

// maxMean is unknown if there is nothing to carry, or nobody to carry it.
func (r *ratio) maxMean() *float64 {
	const nothing = 1e-9 // sums of what comes and goes are not exact
	if r.weights == 0 || r.sum <= nothing {
		return nil
	}
	x := float64(int64(10_000*r.most*r.weights/r.sum+0.5)) / 10_000
	return &x
}

// problems are what could not be done, by what they concern.
type problems struct {
	of    map[problemKey]*Problem
	order []*Problem
	noted map[problemKey]*Problem
}

// Kinds of problems.
const (
	problemDrain     = "drain"
	problemPlacement = "placement"
	problemMassLoss  = "mass_loss"
)

type problemKey struct{ kind, node, keyspace string }

// turn begins: what is not noted in it is over.
func (ps *problems) turn() { ps.noted = map[problemKey]*Problem{} }

func (ps *problems) note(k problemKey, spans int, text string) {
	p := ps.noted[k]
	if p == nil {
		p = &Problem{Kind: k.kind, Node: output.Text(k.node), Keyspace: output.Text(k.keyspace), Message: text}
		ps.noted[k] = p
	}
	p.Spans += spans
}

func (ps *problems) close(now time.Duration) {
	for _, p := range ps.order {
		if ps.noted[p.key()] == nil && p.UntilMS == nil {
			at := now.Milliseconds()
			p.UntilMS = &at
		}
	}
	for _, k := range sortedKeys(ps.noted) {
		is := ps.noted[k]
		p := ps.of[k]
		if p == nil {
			p = &Problem{Kind: k.kind, Node: output.Text(k.node), Keyspace: output.Text(k.keyspace), SinceMS: now.Milliseconds()}
			ps.of[k] = p
			ps.order = append(ps.order, p)
		}
		p.Message, p.Spans, p.UntilMS = is.Message, max(p.Spans, is.Spans), nil
	}
}

func (p *phase) text() string { return strings.Join(p.what, "; ") }

// stillUnowned counts, at the end of a phase, how long spans have had no owner that have none then.
func (e *engine) stillUnowned() {
	if e.measure.unowned == 0 {
		return
	}
	p := e.measure.of()
	for _, s := range e.spans {
		if s != nil && !s.owned() {
			p.longest = max(p.longest, e.now-s.unownedFrom)
		}
	}
}

// look finds out whether a node that is drained has spans, and whether balance must leave one out.
func (e *engine) look() {
	m := &e.measure
	if m.early { // up to now
		m.settling = e.now
	}
	m.emptying, m.early = false, false
	for _, n := range e.nodes {
		m.emptying = m.emptying || n.draining && n.present && len(n.spans)+len(n.coming) > 0
		m.early = m.early || n.present && n.told != n.why()
	}
}
