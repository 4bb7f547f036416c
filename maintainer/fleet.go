package maintainer

import (
	"slices"
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
)

// fleet is the cluster as balance sees it, and what else is known of nodes that keeps it from giving them more. A turn costs
// what has changed.
type fleet struct {
	*scheduler.Fleet
	// stale: something has changed that says which nodes may take spans. again is when that changes by itself, the zero time
	// for never.
	stale bool
	again time.Time
	// names are the nodes in the fleet.
	names map[string]bool
	// arriving counts the spans that a session opens, failing those that have failed last on a node.
	arriving map[int64]int
	failing  map[string]int
	// seen is since when a session is there, the zero time for those of the beginning of the term.
	seen map[int64]time.Time
	// moved is when spans came to where they are, as the history tells a new leader.
	moved map[operator.Ref]time.Time
	// measures are what the spans of keyspaces are weighed by.
	measures map[string]string
}

func newFleet() fleet {
	return fleet{
		Fleet: scheduler.NewFleet(), stale: true, names: map[string]bool{}, arriving: map[int64]int{}, failing: map[string]int{},
		seen: map[int64]time.Time{}, measures: map[string]string{},
	}
}

// noteFleet tells the fleet what has become of a span.
func (l *loop) noteFleet(m operator.Member, w *work, now time.Time) {
	l.weighNodes(m, w)
	rules := l.rulesOf(m.Keyspace)
	on := l.counted[m.Ref]
	s := scheduler.Span{
		Ref: m.Ref, Range: m.Range, Workload: l.state.Keyspace(m.Keyspace).Workload, Rules: rules, Pin: pinOf(rules, m.Span),
		Node: l.destination(m, on), Flight: flightOf(m.Intent, l.heldUp(w)), Settled: l.settledOn(m, w, on), Made: m.CreatedAt,
	}
	if w.failures > 0 {
		s.Avoid = w.failedAt
	}
	was, known := l.fleet.Span(m.Ref)
	switch over := was.Flight != (scheduler.Flight{}) && s.Flight == (scheduler.Flight{}); {
	case known && was.Node == s.Node && !over:
		s.Since = was.Since
	case known || !l.starting:
		s.Since = now
	default:
		s.Since = l.fleet.moved[m.Ref]
	}
	l.fleet.SetSpan(s)
	if !known {
		l.tellLoad(m.Ref, now)
	}
}

// asksToOpen tells the fleet where a span will be that was placed after it was looked at.
func (l *loop) asksToOpen(r operator.Ref, node string) {
	if s, ok := l.fleet.Span(r); ok {
		s.Node, s.Settled, s.Since = node, false, time.Now()
		l.fleet.SetSpan(s)
	}
}

// loadOf a span is what was heard of it last, from whomever; negative if that is unknown.
func (l *loop) loadOf(r operator.Ref) float64 {
	return loadOf(l.known.span(r), l.fleet.measures[r.Keyspace]).Load
}

// tellLoad tells the fleet what a span has reported last.
func (l *loop) tellLoad(r operator.Ref, now time.Time) {
	if k := l.known.span(r); k.session != 0 {
		l.fleet.SetLoad(r, loadOf(k, l.fleet.measures[r.Keyspace]), now)
	}
}

// destination is the node that a span is on once what is in flight on it is done, "" for none.
func (l *loop) destination(m operator.Member, on operator.Identity) string {
	if h := headingOf(m.Intent, on); h.to != "" {
		return h.to
	}
	if l.state.Session(on.Node) != on.Session {
		return ""
	}
	return on.Node
}

// flightOf is the operator in flight on a span, as budgets count it: what is stuck takes no room from others.
func flightOf(i *record.Intent, stuck bool) scheduler.Flight {
	if i == nil {
		return scheduler.Flight{}
	}
	f := scheduler.Flight{Class: scheduler.ClassOf(i.By), From: i.From, To: i.To}
	if stuck {
		f.Class = 0
	}
	return f
}

// heldUp reports whether the operator of a span is stuck, be it on another of its spans.
func (l *loop) heldUp(w *work) bool {
	return w.stage.stuck || slices.ContainsFunc(w.members, func(r operator.Ref) bool {
		o := l.works[r]
		return o != nil && o.stage.stuck
	})
}

// settledOn reports whether a span runs where it is recorded, with nothing in flight and nothing wrong.
func (l *loop) settledOn(m operator.Member, w *work, on operator.Identity) bool {
	return m.Claim == nil && m.Intent == nil && w.ask == nil && !w.writing && w.failures == 0 && w.missing == 0 &&
		m.Owner == operator.Alive && m.Span.Owner.Session == on.Session && l.drains.nodes[on.Session] == nil &&
		l.keyspaceState(m.Keyspace) == record.KeyspaceRunning
}

// weighNodes counts what stands against giving a node more: spans that arrive there, and spans that have failed there.
func (l *loop) weighNodes(m operator.Member, w *work) {
	arriving := int64(0)
	if opens := m.Claim != nil && m.Claim.Stage == record.StageOpening || m.Claim == nil && w.ask.opening(); opens {
		arriving = l.counted[m.Ref].Session
	}
	failed := ""
	if w.failures > 0 {
		failed = w.failedOn
	}
	l.weighOn(w, arriving, failed)
}

func (l *loop) weighOn(w *work, arriving int64, failed string) {
	if w.arriving != arriving {
		l.fleet.stale = l.fleet.stale || l.catchesUp(w.arriving) || l.catchesUp(arriving)
		count(l.fleet.arriving, w.arriving, -1)
		count(l.fleet.arriving, arriving, 1)
		l.fleet.stale = l.fleet.stale || l.catchesUp(arriving)
		w.arriving = arriving
	}
	if w.failedThere != failed {
		count(l.fleet.failing, w.failedThere, -1)
		count(l.fleet.failing, failed, 1)
		l.fleet.stale = true
		w.failedThere = failed
	}
}

func count[K comparable](m map[K]int, k K, by int) {
	var none K
	if k != none {
		tally(m, k, by)
	}
}

// catchesUp reports whether a session opens more spans than balance alone would have it open.
func (l *loop) catchesUp(session int64) bool {
	return l.fleet.arriving[session] > l.tuned.BalanceNodeInFlight
}

// leaveFleet: the span exists no more.
func (l *loop) leaveFleet(r operator.Ref, w *work) {
	l.fleet.RemoveSpan(r)
	if w != nil {
		l.weighOn(w, 0, "")
	}
}

// refreshFleet tells the fleet which nodes there are, and which may take more, if that may have changed.
func (l *loop) refreshFleet(now time.Time) {
	if !l.fleet.stale && (l.fleet.again.IsZero() || now.Before(l.fleet.again)) {
		return
	}
	l.fleet.stale, l.fleet.again = false, time.Time{}
	there := map[string]bool{}
	for _, n := range l.nodes(false, scheduler.ClassBalance) {
		there[n.Name] = true
		if n.Eligible {
			n.Why = l.notYet(n, now)
			n.Eligible = n.Why == ""
		}
		l.fleet.SetNode(n)
	}
	for name := range l.fleet.names {
		if !there[name] {
			l.fleet.RemoveNode(name)
		}
	}
	l.fleet.names = there
}

// notYet is why balance gives nothing to a node that may be given what nobody owns, "" if it may.
func (l *loop) notYet(n scheduler.Node, now time.Time) string {
	why := scheduler.Unready(l.fleet.arriving[n.Session], l.tuned.BalanceNodeInFlight, l.fleet.failing[n.Name])
	if since, ok := l.fleet.seen[n.Session]; ok && why == "" {
		warm := since.Add(scheduler.WarmUp(l.tuned.BalanceWarmUp, n.Name, l.m.past.recent(burstMemory)))
		if now.Before(warm) {
			l.fleet.again = earliest(l.fleet.again, warm)
			return "just started"
		}
	}
	return why
}

// noteSession remembers since when a node is there. It is called for other changes of it as well, and those make it no
// newcomer.
func (l *loop) noteSession(name string) {
	l.fleet.stale = true
	session := l.state.Session(name)
	if _, ok := l.fleet.seen[session]; ok || session == 0 {
		return
	}
	var since time.Time
	if !l.starting {
		since = time.Now()
	}
	l.fleet.seen[session] = since
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return earlier(a, b)
}
