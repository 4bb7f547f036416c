package maintainer

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
)

// drains are the nodes that are to be emptied, and the moves in flight. All of it follows from the records: whoever leads
// next finds the same.
type drains struct {
	nodes map[int64]*draining
	// of is the session in whose spans a span is noted.
	of    map[operator.Ref]int64
	moves moves
	// again: there is more to plan for at once.
	again bool
}

// draining is one of these nodes. Its spans are noted as they are looked at, so that a turn costs what has changed.
type draining struct {
	node    string
	session int64
	// ready are its spans that nothing is in flight on, by keyspace.
	ready map[string]map[operator.Ref]struct{}
	// parked are the keyspaces whose spans can go nowhere, with the reason: nothing is tried until nodes change. ruled are
	// single spans, since a rule of their keyspace may concern not all of it; they are not in ready.
	parked map[string]string
	ruled  map[operator.Ref]string
	// held is the revision of the newest record or claim that named the session.
	held int64
	// text says what is parked, as of the last change of that; shown is what was shown last.
	text, shown string
	stale       bool
	idle        bool
}

func newDrains() drains {
	return drains{nodes: map[int64]*draining{}, of: map[operator.Ref]int64{}, moves: newMoves()}
}

// noteDrain finds out whether the session that a node has now is to be emptied.
func (l *loop) noteDrain(name string) {
	session, cfg := l.state.Session(name), l.state.NodeConfig(name)
	drains := session != 0 && cfg.Drains(session) && cfg.Evicted != session
	for s, d := range l.drains.nodes {
		if d.node == name && (s != session || !drains) {
			l.endDrain(d)
		}
	}
	if drains && l.drains.nodes[session] == nil {
		l.log.Info("draining a node", zap.String("node", name), zap.Int64("session", session))
		l.drains.nodes[session] = &draining{
			node: name, session: session, ready: map[string]map[operator.Ref]struct{}{}, parked: map[string]string{},
			ruled: map[operator.Ref]string{},
		}
	}
}

// endDrain: the node is like any other again, or gone. Moves that were accepted go on.
func (l *loop) endDrain(d *draining) {
	l.log.Info("a node is no longer drained", zap.String("node", d.node), zap.Int64("session", d.session))
	for _, refs := range d.ready {
		for r := range refs {
			delete(l.drains.of, r)
		}
	}
	for r := range d.ruled {
		delete(l.drains.of, r)
		l.showRuled(r, "")
	}
	delete(l.drains.nodes, d.session)
	l.known.updateNode(d.session, func(k *nodeKnown) { k.idle, k.why, k.nowhere = false, "", nil })
	l.known.solve("drain", "", "", d.node)
}

// noteLeaving notes whether a span that was looked at has to leave its node, and may: whatever else goes on with it, an
// opening by the node included, ends first.
func (l *loop) noteLeaving(m operator.Member, w *work, ks record.KeyspaceState) {
	l.stay(m.Ref)
	if m.Claim != nil {
		if d := l.drains.nodes[m.Claim.Session]; d != nil {
			d.held = max(d.held, m.Claim.Mod)
		}
	}
	d := l.drains.nodes[m.Span.Owner.Session]
	if d == nil {
		return
	}
	d.held = max(d.held, m.Mod)
	if m.Claim != nil || m.Intent != nil || w.ask != nil || w.writing || ks != record.KeyspaceRunning {
		return
	}
	d.leaves(m.Ref)
	l.drains.of[m.Ref] = d.session
}

func (d *draining) leaves(r operator.Ref) {
	if d.ready[r.Keyspace] == nil {
		d.ready[r.Keyspace] = map[operator.Ref]struct{}{}
	}
	d.ready[r.Keyspace][r] = struct{}{}
}

// stay takes a span out of those that are to leave.
func (l *loop) stay(r operator.Ref) {
	session, ok := l.drains.of[r]
	if !ok {
		return
	}
	delete(l.drains.of, r)
	d := l.drains.nodes[session]
	if _, ruled := d.ruled[r]; ruled {
		delete(d.ruled, r)
		d.stale = true
	}
	if l.known.span(r).nowhere != "" {
		l.showRuled(r, "")
	}
	_, parked := d.parked[r.Keyspace]
	d.stale = d.stale || parked
	delete(d.ready[r.Keyspace], r)
	if len(d.ready[r.Keyspace]) == 0 {
		delete(d.ready, r.Keyspace)
		delete(d.parked, r.Keyspace)
	}
}

// unpark is called when nodes have changed so that they may take more.
func (ds *drains) unpark() {
	for _, d := range ds.nodes {
		d.stale = d.stale || len(d.parked)+len(d.ruled) > 0
		clear(d.parked)
		for r := range d.ruled {
			d.leaves(r)
		}
		clear(d.ruled)
	}
}

// waiting reports whether spans wait for nodes to change.
func (ds *drains) waiting() bool {
	for _, d := range ds.nodes {
		if len(d.parked)+len(d.ruled) > 0 {
			return true
		}
	}
	return false
}

// drain accepts as many moves off draining nodes as may be in flight, of what room failover and users have left on others.
// It waits like free placement for nodes to connect to a new leader, and for many that vanished at once to come back:
// nobody knows what the others carry then.
func (l *loop) drain(now time.Time) {
	l.drains.again = false
	if len(l.drains.nodes) == 0 || l.starting || !l.settled.IsZero() {
		return
	}
	if !l.hold.active && !l.tuned.Paused(settings.PlannerDrain) {
		l.planDrains(now)
	}
	for _, d := range l.drains.nodes {
		l.showDrain(d)
	}
}

func (l *loop) planDrains(now time.Time) {
	budget := map[string]int{}
	var in []scheduler.Evictee
	spans := map[operator.Ref]operator.Span{}
	of := map[string]bool{}
	for _, d := range l.drains.nodes {
		budget[d.node] = l.tuned.DrainInFlight - l.drains.moves.drained[d.node]
		for _, s := range l.leaving(d, budget[d.node]) {
			spans[s.Ref] = s
			in = append(in, l.evictee(s))
			of[s.Keyspace] = true
		}
	}
	if len(in) == 0 {
		return
	}
	targets := l.targets()
	l.divide(targets, of)
	plan := scheduler.Drain(in, targets, budget)
	for _, mv := range plan.Moves {
		l.acceptDrain(spans[mv.Ref], mv, now)
	}
	for _, u := range plan.Stuck {
		if d := l.drains.nodes[l.drains.of[u.Ref]]; d != nil && !u.Budget {
			l.park1(d, u)
		}
	}
}

// park1 leaves a span where it is until nodes change, and with it its keyspace, since what stands against the one stands
// against all: unless that is a rule. Then the others are tried in the next turn, at once.
func (l *loop) park1(d *draining, u scheduler.Unplaced) {
	d.stale = true
	if !u.Ruled {
		d.parked[u.Ref.Keyspace] = u.Why
		return
	}
	delete(d.ready[u.Ref.Keyspace], u.Ref)
	d.ruled[u.Ref] = u.Why
	l.showRuled(u.Ref, u.Why)
	l.drains.again = true
}

func (l *loop) showRuled(r operator.Ref, why string) {
	l.known.update(r, func(k *spanKnown) { k.nowhere = why })
}

// leaving are spans to plan for: of each keyspace that is not parked as many as might go. The records are read again,
// since the compares of a move are made of them: by now there may be an operator that was not there at the last look.
func (l *loop) leaving(d *draining, most int) (out []operator.Span) {
	for ks, refs := range d.ready {
		if _, parked := d.parked[ks]; parked {
			continue
		}
		n := 0
		for r := range refs {
			if n++; n > most {
				break
			}
			s, ok := l.state.Span(r)
			if _, claimed := l.state.Claim(r); ok && !claimed && s.Intent == nil && s.Owner.Session == d.session {
				out = append(out, s)
			}
		}
	}
	return out
}

func (l *loop) evictee(s operator.Span) scheduler.Evictee {
	out := scheduler.Evictee{Ref: s.Ref, Load: l.loadOf(s.Ref), Workload: l.state.Keyspace(s.Keyspace).Workload, From: s.Owner.Node, Rules: l.rulesOf(s.Keyspace)}
	out.Pin = pinOf(out.Rules, s)
	if w := l.works[s.Ref]; w != nil && w.failures > 0 {
		out.Avoid = slices.Clone(w.failedAt)
	}
	return out
}

// targets are the nodes as they will be, with what is left of the openings that they may be asked for.
func (l *loop) targets() []scheduler.Node {
	nodes := l.nodes(false, scheduler.ClassDrain)
	for i := range nodes {
		nodes[i].Budget -= l.drains.moves.coming[nodes[i].Name]
	}
	return nodes
}

// acceptDrain makes a move an operator. From here on it is carried out like any other, whoever leads.
func (l *loop) acceptDrain(s operator.Span, mv scheduler.Move, now time.Time) {
	i := l.intent(record.KindMove, record.ByDrain, mv.Reason, []operator.Span{s}, now)
	i.To = mv.To
	l.acceptPlanned([]operator.Span{s}, i, "maintainer/drain/accept", nil)
}

// showDrain tells what the drain of a node waits for, and whether it is over.
func (l *loop) showDrain(d *draining) {
	if d.stale {
		d.text, d.stale = d.stuckText(), false
	}
	text, idle := d.text, l.runsNothing(d)
	if text == d.shown && idle == d.idle {
		return
	}
	if idle && !d.idle {
		l.log.Info("a drained node runs nothing", zap.String("node", d.node), zap.Int64("session", d.session))
	}
	d.shown, d.idle = text, idle
	nowhere := maps.Clone(d.parked)
	l.known.updateNode(d.session, func(k *nodeKnown) { k.idle, k.why, k.nowhere = idle, text, nowhere })
	if text == "" {
		l.known.solve("drain", "", "", d.node)
		return
	}
	l.known.complain(problem{kind: "drain", node: d.node, message: text})
}

// stuckText says which spans can go nowhere, with an example, "" if none.
func (d *draining) stuckText() string {
	n, example := len(d.ruled), ""
	if n > 0 {
		r := slices.MinFunc(slices.Collect(maps.Keys(d.ruled)), compareIDs)
		example = fmt.Sprintf("span %s of keyspace %s: %s", r.ID, r.Keyspace, d.ruled[r])
	}
	for _, ks := range slices.Sorted(maps.Keys(d.parked)) {
		n += len(d.ready[ks])
		if example == "" && len(d.ready[ks]) > 0 {
			r := slices.MinFunc(slices.Collect(maps.Keys(d.ready[ks])), compareIDs)
			example = fmt.Sprintf("span %s of keyspace %s: %s", r.ID, ks, d.parked[ks])
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d spans can leave it for no other node, such as %s", n, example)
}

// runsNothing reports whether the node itself has said so, knowing of everything that the session has had: a record
// without the session says what the node may do, and not what it has ended. Nothing that it was asked may be on its way.
func (l *loop) runsNothing(d *draining) bool {
	st := l.streams[d.session]
	return st != nil && st.heard && len(st.instances) == 0 && st.told >= d.held && len(l.asked[d.session]) == 0
}
