package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/scheduler"
)

func (a add) apply(e *engine) {
	e.join(Group(a))
	e.changed()
}

func (k kill) apply(e *engine) {
	for _, name := range k {
		e.kill(e.byName[name])
	}
}

// kill ends the process of a node: what it ran has no owner from now on, which shows when its session ends.
func (e *engine) kill(n *node) {
	if !n.up {
		return
	}
	n.up = false
	for _, s := range n.spans {
		e.unowned(s, 1)
		s.stage = lost
		s.epoch++
		if s.merge != nil {
			e.unmerge(s.merge, isFailed)
		}
	}
	for _, s := range n.coming {
		s.epoch++
		s.hung = false
	}
	session := n.session
	e.after(e.costs.SessionTTL, func() { e.expire(n, session) })
}

// expire: the session of a node is over, and its spans wait for another.
func (e *engine) expire(n *node, session int64) {
	if n.session != session || !n.present {
		return
	}
	n.present = false
	e.leader.losses = append(e.leader.losses, scheduler.Loss{Node: n.name, At: e.now})
	e.fleet.RemoveNode(n.name)
	for _, s := range slices.Clone(n.coming) {
		n.forget(s)
		s.stage, s.hung = waiting, false
		e.end(s, isFailed)
		e.orphan(s, n)
	}
	for _, s := range slices.Clone(n.spans) {
		n.spans.remove(s)
		n.load -= s.load
		if s.merge != nil {
			e.unmerge(s.merge, isFailed)
		}
		s.stage, s.node = waiting, nil
		e.end(s, isFailed)
		e.orphan(s, n)
	}
	n.load, n.draining, n.hangs = 0, false, 0
	e.changed()
}

// orphan is a span whose node was lost.
func (e *engine) orphan(s *spanState, n *node) {
	s.last = n
	e.tell(s)
	e.want(s, byFailover)
}

func (c comeBack) apply(e *engine) {
	for _, name := range c {
		e.comeBack(e.byName[name])
	}
}

// comeBack starts the process of a node again. The session that it had, if that has not ended, ends now.
func (e *engine) comeBack(n *node) {
	if n.up {
		return
	}
	e.expire(n, n.session)
	n.up, n.present = true, true
	n.session++
	n.seen = e.now
	e.tellNode(n)
	e.changed()
}

func (f flap) apply(e *engine) {
	for _, name := range f.names {
		e.flap(e.byName[name], f)
	}
}

func (e *engine) flap(n *node, f flap) {
	if e.now >= f.until {
		return
	}
	e.kill(n)
	e.after(f.down, func() {
		e.comeBack(n)
		e.after(f.up, func() { e.flap(n, f) })
	})
}

func (d drain) apply(e *engine) { e.eachNode(d, func(n *node) { n.draining = true }) }

func (c cordon) apply(e *engine) { e.eachNode(c, func(n *node) { n.cordoned = true }) }

func (u uncordon) apply(e *engine) {
	e.eachNode(u, func(n *node) { n.cordoned, n.draining = false, false })
}

func (e *engine) eachNode(names []string, do func(*node)) {
	for _, name := range names {
		n := e.byName[name]
		do(n)
		e.tellNode(n)
	}
	e.changed()
}

func (p pause) apply(e *engine)  { e.setPlanners(p, settings.PlannerPaused) }
func (r resume) apply(e *engine) { e.setPlanners(r, settings.PlannerOn) }

func (e *engine) setPlanners(names []string, to string) {
	for _, name := range names {
		e.set[settings.PlannerSetting(name)] = to
	}
	e.reconfigure()
}

func (s set) apply(e *engine) {
	maps.Copy(e.set, s.values)
	e.reconfigure()
}

func (r refuse) apply(e *engine)  { e.costs.Refused = float64(r) }
func (f failing) apply(e *engine) { e.costs.Failures = float64(f) }

func (r reload) apply(e *engine) {
	i := slices.IndexFunc(e.keyspaces, func(k *keyspace) bool { return k.Name == r.keyspace })
	ks := e.keyspaces[i]
	ks.load, ks.since, ks.factor = r.load, e.now, r.load.factor(0)
	for i, x := range r.load.deal(e.rng, len(ks.members)) {
		ks.members[i].base = x
		e.setLoad(ks.members[i])
	}
}

func (h hang) apply(e *engine) {
	e.eachNode(h.names, func(n *node) { n.hangs = h.openings })
}

func (r release) apply(e *engine) {
	e.eachNode(r, func(n *node) {
		n.hangs = 0
		for _, s := range n.coming {
			if s.hung {
				s.hung = false
				e.later(s, e.costs.Open, func() { e.opened(s) })
			}
		}
	})
}

// report tells what has changed of the loads since the last time.
func (e *engine) report() {
	for _, ks := range e.keyspaces {
		if ks.load.Mean == 0 || len(ks.members) == 0 {
			continue
		}
		if f := ks.load.factor(e.now - ks.since); ks.load.Curve != CurveSteady && material(ks.factor, f) {
			ks.factor = f
			for _, s := range ks.members {
				e.setLoad(s)
			}
		}
		e.wander(ks)
	}
}

// wander changes the loads of some spans.
func (e *engine) wander(ks *keyspace) {
	ks.owed += ks.load.Changing * float64(len(ks.members)) * float64(e.sc.Report) / float64(time.Minute)
	for ; ks.owed >= 1; ks.owed-- {
		s := ks.members[e.rng.IntN(len(ks.members))]
		s.base = ks.load.step(e.rng, s.base)
		e.setLoad(s)
	}
}

// setLoad gives a span the load that follows from its keyspace's. It is told by whoever runs the span, once somebody does.
func (e *engine) setLoad(s *spanState) {
	l := s.base * s.ks.factor
	if s.node != nil {
		s.node.load += l - s.load
	}
	s.load = l
	if s.owned() {
		e.tellLoad(s)
	}
}
