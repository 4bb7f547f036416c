package explore

import (
	"slices"

	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

// start registers a new process of a node.
func (x *explorer) start(t *state, n int) {
	session := t.etcd.rev + 1
	x.keys.write(t.store(), []txn.Op{txn.PutLeased(x.keys.names[x.nodeKeys[n]], []byte("n"))}, session)
	t.procs = append(slices.Clone(t.procs), &proc{node: n, session: session})
}

// endSession ends the session of a node: its key and its claims vanish in one revision.
func (x *explorer) endSession(t *state, n int) {
	session := t.etcd.kvs[x.nodeKeys[n]].create
	if x.cfg.Unfenced {
		for i := range x.refs {
			if c := x.claim(t, i); c != nil && c.Session == session {
				t.openers[i] = operator.Identity{Node: x.cfg.Nodes[n], Session: session}
			}
		}
	}
	t.store().expire(session)
	x.over(t, session)
}

// over: a session has no node key any more.
func (x *explorer) over(t *state, session int64) {
	p := t.procOf(session)
	if p < 0 || x.cfg.Mutant.Fenceless {
		return
	}
	// No transaction of the process will ever land again. What is left of it are its instances.
	pr := t.own(p)
	pr.merger = nil
	for i, h := range pr.held {
		switch {
		case h == nil:
		case h.opening == 0 && h.running == 0:
			pr.held[i] = nil
		default:
			pr.held[i] = &held{opening: h.opening, running: h.running}
		}
	}
}

// faults emits deaths, take-overs, and what ends them.
func (x *explorer) faults(s *state) {
	if x.can(s, NewLeader) {
		t := *s
		t.left--
		x.keys.write(t.store(), []txn.Op{txn.Put(x.layout.Leader(), []byte("m"))}, 0)
		if x.tracing {
			x.say("another leader takes over")
		}
		x.emit(&t, true)
	}
	for n := range x.cfg.Nodes {
		x.node(s, n)
	}
	for i := range x.refs {
		x.claimGoes(s, i)
	}
}

// claimGoes emits that a claim is deleted by hand, or vanishes with the lease of a process that is gone.
func (x *explorer) claimGoes(s *state, i int) {
	c := x.claim(s, i)
	if c == nil {
		return
	}
	if x.can(s, Claim) {
		t := *s
		t.left--
		x.keys.write(t.store(), []txn.Op{txn.Delete(x.keys.names[x.claimKeys[i]])}, 0)
		if x.tracing {
			x.say("the claim of %s is deleted by hand", x.refs[i].ID)
		}
		x.emit(&t, true)
	}
	if s.procOf(c.Session) < 0 && !x.present(s, x.nodeIndex[c.Node], c.Session) {
		t := *s
		t.store().expire(c.Session)
		if x.tracing {
			x.say("the lease of session %d of %s expires", c.Session, c.Node)
		}
		x.emit(&t, false)
	}
}

func (x *explorer) node(s *state, n int) {
	name := x.cfg.Nodes[n]
	session := s.etcd.kvs[x.nodeKeys[n]].create
	emit := func(fault bool, what string, f func(t *state)) {
		t := *s
		f(&t)
		if x.tracing {
			x.say("%s: %s", name, what)
		}
		x.emit(&t, fault)
	}
	if session == 0 {
		emit(false, "a new process registers", func(t *state) { x.start(t, n) })
		return
	}
	p := s.procOf(session)
	if p < 0 {
		emit(false, "the session of the dead process expires", func(t *state) { x.endSession(t, n) })
		return
	}
	if x.can(s, Kill) {
		emit(true, "kill -9", func(t *state) { t.left--; t.drop(p) })
	}
	if x.can(s, Zombie) {
		emit(true, "its session ends, the process goes on", func(t *state) { t.left--; x.endSession(t, n) })
	}
	if x.can(s, NodeKey) {
		emit(true, "its key is deleted by hand", func(t *state) {
			t.left--
			x.keys.write(t.store(), []txn.Op{txn.Delete(x.keys.names[x.nodeKeys[n]])}, 0)
			x.over(t, session)
		})
	}
	if x.can(s, CleanStop) && !s.procs[p].stopping {
		emit(true, "begins to stop", func(t *state) {
			t.left--
			t.own(p).stopping = true
			for i, h := range t.procs[p].held {
				if h != nil && h.Phase != operator.Merging {
					x.step(t, p, i, operator.Stop{})
				}
			}
			if t.procs[p].merger != nil {
				x.mergeStep(t, p, operator.Stop{})
			}
		})
	}
}

// network emits the arrival of what is on its way.
func (x *explorer) network(s *state) {
	for n, a := range s.asks {
		t := *s
		t.asks = slices.Delete(slices.Clone(s.asks), n, n+1)
		if p := t.procOf(a.session); p >= 0 && x.present(s, t.procs[p].node, a.session) {
			x.asked(&t, p, a.term, a.span, a.event)
		}
		if x.tracing {
			x.say("the delayed request to %s arrives", describeAsk(x, a.span, a.event))
		}
		x.emit(&t, false)
	}
	for n, w := range s.wire {
		t := *s
		t.wire = slices.Delete(slices.Clone(s.wire), n, n+1)
		how := x.commit(&t, w)
		if x.tracing {
			x.say("a late transaction arrives: %s: %s", x.describePart(w.Part), outcomes[how])
		}
		x.emit(&t, false)
	}
}

// tidy drops what can have no effect any more.
func (x *explorer) tidy(t *state) {
	if len(t.wire) > 0 {
		gone := func(w *sent) bool { return x.keys.never(t.etcd, w.Outer) || x.keys.never(t.etcd, w.Part.If) }
		if slices.ContainsFunc(t.wire, gone) {
			t.wire = slices.DeleteFunc(slices.Clone(t.wire), gone)
		}
	}
	if len(t.asks) > 0 {
		gone := func(a *late) bool {
			p := t.procOf(a.session)
			return p < 0 || !x.present(t, t.procs[p].node, a.session) || t.procs[p].stopping || a.term < t.procs[p].term
		}
		if slices.ContainsFunc(t.asks, gone) {
			t.asks = slices.DeleteFunc(slices.Clone(t.asks), gone)
		}
	}
	if x.cfg.Mutant.Fenceless {
		return
	}
	for p := 0; p < len(t.procs); p++ {
		if pr := t.procs[p]; !x.present(t, pr.node, pr.session) && x.harmless(t, p) {
			t.drop(p)
			p--
		}
	}
}

// harmless drops those instances of a zombie whose writes a fenced sink refuses everywhere, and reports whether there
// is nothing left.
func (x *explorer) harmless(t *state, p int) bool {
	left := false
	for i, h := range t.procs[p].held {
		if h == nil {
			continue
		}
		higher, all := false, true
		x.each(i, func(b int) {
			over := t.sink[b] > h.opening+h.running
			higher, all = higher || over, all && over
		})
		if !x.cfg.Unfenced && (all || h.opening != 0 && higher) {
			t.own(p).held[i] = nil
		} else {
			left = true
		}
	}
	return !left
}
