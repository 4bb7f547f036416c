package maintainer

import (
	"fmt"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/view"
)

// changed marks what a change of the records may concern.
func (l *loop) changed(d *view.Dirty) {
	l.m.past.catchUp()
	if d.Reset {
		l.everything()
		for _, n := range d.Gone {
			l.sessionGone(n)
			l.noteNode(n.Name)
		}
		return
	}
	for r := range d.Spans {
		l.dirty.push(r)
		l.noteEnding(r.Keyspace)
	}
	for ks := range d.Keyspaces {
		l.noteKeyspace(ks)
		for _, r := range l.state.Spans(ks) {
			l.dirty.push(r)
		}
	}
	for _, n := range d.Gone {
		l.sessionGone(n)
	}
	for name := range d.Nodes {
		l.noteNode(name)
	}
	if d.Quarantine {
		l.showQuarantine()
	}
	if d.Config {
		l.retune()
	}
}

// everything looks at all spans: at the beginning of a term, and after a listing.
func (l *loop) everything() {
	for _, r := range l.state.All() {
		l.dirty.push(r)
	}
	for r := range l.counted {
		l.dirty.push(r)
	}
	for r := range l.works { // what nobody owned may be gone, too
		l.dirty.push(r)
	}
	for _, n := range l.state.Nodes() {
		l.noteNode(n.Name)
	}
	l.noteKeyspaces()
	l.showQuarantine()
	l.retune()
	l.lookAtUnplaced()
}

// noteNode: a node came or went, or was configured.
func (l *loop) noteNode(name string) {
	l.noteReach(name)
	l.noteEvicted(name)
	l.noteDrain(name)
	l.noteSession(name)
	l.touch(name, l.state.Session(name))
}

// sessionGone ends what depends on the session. Its spans are looked at again now, and once it may act no more.
func (l *loop) sessionGone(n *view.Node) {
	delete(l.deaf, n.Session)
	delete(l.fleet.seen, n.Session)
	if st := l.streams[n.Session]; st != nil {
		st.cut(errGone)
	}
	l.touch(n.Name, n.Session)
	l.forgetSessions()
}

// keptSessions is how many sessions that are over are remembered, at least, before they are gone through.
const keptSessions = 1000

// forgetSessions drops what is known of sessions that are over and may act no more, whatever they have declared.
func (l *loop) forgetSessions() {
	if l.known.sessions() < l.manySessions {
		return
	}
	now := l.m.clock()
	there := map[int64]bool{}
	for _, n := range l.state.Nodes() {
		there[n.Session] = true
	}
	l.known.forgetNodes(func(session int64, n nodeKnown) bool {
		return !there[session] && l.streams[session] == nil && n.mayActUntil < now && operator.LapsesAt(l.m.past.loss(session)) < now
	})
	l.manySessions = 2*l.known.sessions() + keptSessions
}

// showQuarantine lists records that nobody can read. They are left alone, and everything else goes on.
func (l *loop) showQuarantine() {
	now := map[string]bool{}
	for _, q := range l.state.Quarantined() {
		p := problem{
			kind: "quarantined", keyspace: q.Parsed.Keyspace, span: string(q.Parsed.Span), node: q.Parsed.Name,
			message: fmt.Sprintf("%s: %s", q.Key, q.Reason), at: q.Key,
		}
		l.known.complain(p)
		now[p.key()] = true
	}
	l.known.keepOnly("quarantined", now)
}
