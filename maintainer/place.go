package maintainer

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/view"
)

// elsewhereAfter is how many failed openings at the target of a move make any other node good enough.
const elsewhereAfter = 3

// want is a span to place, with the plan's record.
type want struct {
	span operator.Span
	only string
	why  string
	by   record.By
}

// class says what goes before what. A span that never ran is as urgent as the user who has made it. One that has lost its node
// in the middle of an operator fails over like any other, and what an operator has handed off is nobody's, so it does not wait
// for what that operator's class is to close. One that is to be removed has time.
func (w want) class() scheduler.Class {
	class := scheduler.ClassOf(w.by)
	switch i := w.span.Intent; {
	case w.by == record.ByPlacement && w.span.LastNode == "":
		return scheduler.ClassUser
	case i == nil || i.Kind == record.KindRemove:
		return class
	case !w.span.Owner.Nobody():
		return scheduler.ClassFailover
	}
	return min(class, scheduler.ClassUser)
}

// want puts the span among those to place in this turn, unless it was placed already or has to wait.
func (l *loop) want(m operator.Member, w *work, p operator.Place, now time.Time) string {
	if w.ask.opening() {
		return l.repeat(m, w, now)
	}
	if l.held(m.Ref, w, now) {
		return heldText(w)
	}
	if why := l.hold.keeps(m, p); why != "" {
		return why
	}
	if p.Only != "" && w.failures >= elsewhereAfter && w.failedOn == p.Only {
		p.Only = ""
	}
	l.wants = append(l.wants, want{m.Span, p.Only, p.Why, p.By})
	return w.waiting // until the placement knows better
}

// held reports whether an opening that failed or was refused keeps the span from being opened now.
func (l *loop) held(r operator.Ref, w *work, now time.Time) bool {
	until := w.retryAt
	if w.holdFor.Session != 0 && l.state.Session(w.holdFor.Node) != w.holdFor.Session {
		until = time.Time{}
	}
	if w.ask != nil && w.ask.state == refused && until.Before(w.ask.again) {
		until = w.ask.again
	}
	if !now.Before(until) {
		return false
	}
	l.wake(r, w, until)
	return true
}

func heldText(w *work) string {
	if w.failures == 0 {
		return w.waiting
	}
	return fmt.Sprintf("opening failed %d times, the last time on %s; it is tried again soon", w.failures, w.failedOn)
}

// repeat sends the same ask again if it is time, with the same preconditions.
func (l *loop) repeat(m operator.Member, w *work, now time.Time) string {
	k := w.ask
	if now.Before(k.again) {
		l.wake(m.Ref, w, k.again)
		return w.waiting
	}
	k.tries++
	k.again = now.Add(backoff(l.tuned.AskRetry, l.tuned.AskRetryMax, k.tries))
	l.wake(m.Ref, w, k.again)
	l.m.stats.repeated.Add(1)
	l.queueAsk(m.Span, k)
	return fmt.Sprintf("%s has not answered yet", k.node)
}

// place assigns everything that this turn wants opened. As long as not all spans were looked at, nobody knows what
// the nodes carry.
func (l *loop) place(now time.Time) {
	if len(l.wants) == 0 || l.starting {
		return
	}
	wants := l.wants
	l.wants = nil
	slices.SortStableFunc(wants, func(a, b want) int { return cmp.Compare(a.class(), b.class()) })
	for len(wants) > 0 {
		class := wants[0].class()
		n := 1
		for n < len(wants) && wants[n].class() == class {
			n++
		}
		l.placeClass(wants[:n:n], class, now)
		wants = wants[n:]
	}
}

// placeClass assigns what is equally urgent.
func (l *loop) placeClass(wants []want, class scheduler.Class, now time.Time) {
	var named, free []want
	for _, w := range wants {
		if w.only != "" {
			named = append(named, w)
		} else {
			free = append(free, w)
		}
	}
	// The target of an accepted move was fit when it was accepted; being cordoned since does not stop the move.
	l.assign(named, l.nodes(true, class), now)
	var why string
	switch {
	case !l.settled.IsZero():
		why = "the leader is new: nodes are connecting"
	case l.tuned.Paused(settings.PlannerPlacement):
		why = "placement is paused; see `spanward scheduler list`"
	default:
		l.assign(free, l.nodes(false, class), now)
		return
	}
	for _, w := range free {
		l.park(w, scheduler.Unplaced{Ref: w.span.Ref, Why: why})
	}
}

func (l *loop) assign(wants []want, nodes []scheduler.Node, now time.Time) {
	if len(wants) == 0 {
		return
	}
	byRef := make(map[operator.Ref]want, len(wants))
	in := make([]scheduler.Want, 0, len(wants))
	of := map[string]bool{}
	for _, w := range wants {
		if _, twice := byRef[w.span.Ref]; twice {
			continue
		}
		byRef[w.span.Ref] = w
		in = append(in, l.schedulerWant(w))
		of[w.span.Keyspace] = true
	}
	l.divide(nodes, of)
	placed, left := scheduler.Place(in, nodes)
	for _, p := range placed {
		l.askOpen(byRef[p.Ref], p.Node, p.Session, now)
	}
	for _, u := range left {
		l.park(byRef[u.Ref], u)
	}
}

func (l *loop) schedulerWant(w want) scheduler.Want {
	ks := l.state.Keyspace(w.span.Keyspace)
	out := scheduler.Want{Ref: w.span.Ref, Workload: ks.Workload, Only: w.only, Prefer: l.hold.prefers(w.span), Load: l.loadOf(w.span.Ref)}
	// One that is to be removed is opened once, anywhere: rules that cannot be met must not keep it.
	if i := w.span.Intent; i == nil || i.Kind != record.KindRemove {
		out.Rules = l.rulesOf(w.span.Keyspace)
		out.Pin = pinOf(out.Rules, w.span)
	}
	if k := l.works[w.span.Ref]; k != nil {
		if k.failures > 0 {
			out.Avoid = slices.Clone(k.failedAt)
		}
		out.Avoid = append(out.Avoid, k.failedOn)
		if k.ask != nil {
			out.Avoid = append(out.Avoid, k.ask.node)
		}
	}
	return out
}

// park keeps a span that cannot be placed until something changes.
func (l *loop) park(w want, u scheduler.Unplaced) {
	l.waitBarred(u.Ref, l.work(u.Ref), u.Why, u.Ruled)
	if u.Budget {
		l.crowd(lane{u.Session, w.class()}, u.Ref)
		return
	}
	l.unplaced[u.Ref] = struct{}{}
}

// nodes are all registered nodes as they will be when everything in flight is done, for spans of a class.
func (l *loop) nodes(named bool, class scheduler.Class) []scheduler.Node {
	var out []scheduler.Node
	for _, n := range l.state.Nodes() {
		cfg := l.state.NodeConfig(n.Name)
		spans := len(l.on[n.Session]) + l.drains.moves.coming[n.Name] - l.drains.moves.leaving[n.Session]
		why := l.ineligible(n.Session, cfg, named)
		out = append(out, scheduler.Node{
			Name: n.Name, Session: n.Session, Workloads: n.Workloads, Labels: n.Labels, Eligible: why == "", Why: why,
			Spans: spans, Load: l.fleet.LoadOn(n.Name), Capacity: capacity(n, named), Weight: cfg.Weight,
			Budget: l.room(lane{n.Session, class}),
		})
	}
	return out
}

// capacity of a node, 0 for no limit: what was accepted goes on at its node, though that may have become full since.
func capacity(n *view.Node, named bool) int {
	if named {
		return 0
	}
	return int(n.Capacity)
}

func (l *loop) ineligible(session int64, cfg record.NodeConfig, named bool) string {
	switch {
	case l.streams[session] == nil:
		return "unreachable"
	case cfg.Evicted == session:
		return "evicted"
	case named:
		return ""
	case l.isDeaf(session):
		return "not answering"
	case cfg.Cordoned:
		return "cordoned"
	case cfg.Drains(session):
		return "draining"
	}
	return ""
}

// askOpen asks a node to claim and open the span. The position is taken when no progress write of its bucket is
// outstanding, so that nothing can be published above it.
func (l *loop) askOpen(p want, node string, session int64, now time.Time) {
	w := l.work(p.span.Ref)
	if l.progress.deferred(p.span.Ref) {
		l.wait(p.span.Ref, w, "its position is being written")
		return
	}
	l.begin(p.span, w, &ask{
		action: sessionv1.Ask_ACTION_OPEN, node: node, session: session, by: p.by, why: p.why,
	}, now)
	l.count(p.span.Ref, w.ask.who())
	l.countPlacement(p)
	l.asksToOpen(p.span.Ref, node)
	l.wait(p.span.Ref, w, "")
}

func (l *loop) reopen(m operator.Member, w *work, a operator.Reopen, now time.Time) string {
	if w.ask.opening() {
		return l.repeat(m, w, now)
	}
	if l.held(m.Ref, w, now) {
		return heldText(w)
	}
	if in := (lane{a.Owner.Session, scheduler.ClassFailover}); l.room(in) <= 0 {
		l.crowd(in, m.Ref)
		return a.Owner.Node + " has as many asks in flight as it may"
	}
	p := want{span: m.Span, why: "it is recorded there and does not run", by: record.ByPlacement}
	l.askOpen(p, a.Owner.Node, a.Owner.Session, now)
	return w.waiting
}

func (l *loop) askRelease(m operator.Member, w *work, a operator.Release, now time.Time) string {
	return l.askOwner(m, w, ask{
		action: sessionv1.Ask_ACTION_RELEASE, node: a.Owner.Node, session: a.Owner.Session,
		by: record.ByUser, why: "the keyspace is paused",
	}, now)
}

// askOwner asks the owner to close the span, or repeats that.
func (l *loop) askOwner(m operator.Member, w *work, want ask, now time.Time) string {
	if k := w.ask; k != nil && k.action == want.action && samePeers(k.peers, want.peers) {
		if k.state != refused {
			return l.repeat(m, w, now)
		}
		if now.Before(k.again) {
			l.wake(m.Ref, w, k.again)
			return w.waiting
		}
	}
	if in := (lane{want.session, scheduler.ClassOf(want.by)}); l.room(in) <= 0 {
		l.crowd(in, m.Ref)
		return want.node + " has as many asks in flight as it may"
	}
	l.begin(m.Span, w, &want, now)
	return ""
}

// begin sends a new ask and notes when it is repeated. Asks on the same record that were refused make it rarer.
func (l *loop) begin(s operator.Span, w *work, k *ask, now time.Time) {
	if old := w.ask; old != nil && old.mod == s.Mod {
		k.tries = old.tries + 1
	}
	k.mod, k.again = s.Mod, now.Add(backoff(l.tuned.AskRetry, l.tuned.AskRetryMax, k.tries))
	l.putAsk(s.Ref, w, k)
	l.wake(s.Ref, w, k.again)
	l.queueAsk(s, k)
}
