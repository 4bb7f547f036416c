package explore

import (
	"slices"

	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

func (x *explorer) env(p *proc) operator.Env {
	return operator.Env{Layout: x.layout, Me: x.identity(p), Now: epoch}
}

func (x *explorer) identity(p *proc) operator.Identity {
	return operator.Identity{Node: x.cfg.Nodes[p.node], Session: p.session}
}

// process emits what a process may do next.
func (x *explorer) process(s *state, p int) {
	pr := s.procs[p]
	here := x.present(s, pr.node, pr.session)
	if !here {
		t := *s
		t.drop(p)
		if x.tracing {
			x.say("%s: notices that its session is over, and ends everything", x.who(s, p))
		}
		x.emit(&t, false)
	}
	for i, h := range pr.held {
		if h != nil {
			x.transactions(s, p, i, here)
			x.workload(s, p, i, h)
		}
	}
	if pr.merger != nil {
		x.transactions(s, p, merging, here)
	}
	if pr.stopping && pr.held == [maxSpans]*held{} && here {
		t := *s
		x.endSession(&t, pr.node)
		t.drop(t.procOf(pr.session))
		if x.tracing {
			x.say("%s: has stopped, revokes its lease and exits", x.who(s, p))
		}
		x.emit(&t, false)
	}
}

// transactions emits what may become of the transaction in flight, if there is one: of span i, or of the merger.
func (x *explorer) transactions(s *state, p, i int, here bool) {
	f := s.procs[p].flight(i)
	switch {
	case f.send == nil:
		return
	case f.answer != nil:
		t := *s
		x.answered(&t, p, i, f.answer)
		x.sent(s, p, f, "the answer arrives")
		x.emit(&t, false)
		return
	case !here && !x.cfg.Mutant.Fenceless:
		return // fenced: it would notice, and that is a step of its own
	}
	t := *s
	how := x.deliver(&t, p, i)
	x.sent(s, p, f, how)
	x.emit(&t, false)
	if x.can(s, LostAnswer) && !f.unknown {
		t = *s
		t.left--
		how := x.commit(&t, x.wireOf(s, p, f))
		t.fly(p, i).unknown = true
		x.sent(s, p, f, outcomes[how]+"; the answer is lost")
		x.emit(&t, true)
	}
	if x.can(s, SlowAnswer) {
		t = *s
		t.left--
		if ev, done, lost := x.send(&t, p, i); !lost {
			t.fly(p, i).answer = ev
			how := "refused; the answer is slow"
			if done {
				how = "done; the answer is slow"
			}
			x.sent(s, p, f, how)
			x.emit(&t, true)
		}
	}
	if x.can(s, LateCopy) {
		t = *s
		t.left--
		t.wire = append(slices.Clip(t.wire), x.wireOf(s, p, f))
		t.fly(p, i).unknown = true // else it would not have been sent again
		x.sent(s, p, f, "sent twice, one copy is late")
		x.emit(&t, true)
	}
}

func (x *explorer) sent(s *state, p int, f *flight, how string) {
	if x.tracing {
		x.say("%s: %s: %s", x.who(s, p), x.describePart(f.send.Part), how)
	}
}

var outcomes = map[txn.Outcome]string{txn.Done: "done", txn.Refused: "refused", txn.Fenced: "fenced"}

// wireOf is a transaction in flight as it is sent.
func (x *explorer) wireOf(s *state, p int, f *flight) *sent {
	me := x.identity(s.procs[p])
	w := &sent{Sent: Sent{Part: f.send.Part, Outer: []txn.Cmp{operator.Acting(x.layout, me)}}, lease: me.Session, term: f.send.Term, op: -1}
	if f.send.Term != 0 {
		w.Outer = append(w.Outer, operator.Leading(x.layout, f.send.Term))
	}
	if x.cfg.Mutant.Send != nil {
		w.Sent = x.cfg.Mutant.Send(w.Sent)
	}
	return w
}

// deliver sends what is in flight, and its answer arrives at once.
func (x *explorer) deliver(t *state, p, i int) string {
	ev, done, lost := x.send(t, p, i)
	if lost {
		t.drop(p)
		return "fenced; the session is over, and everything ends"
	}
	x.answered(t, p, i, ev)
	if done {
		return "done"
	}
	return "refused"
}

func (x *explorer) answered(t *state, p, i int, ev operator.Event) {
	*t.fly(p, i) = flight{}
	if i == merging {
		x.mergeStep(t, p, ev)
		return
	}
	x.step(t, p, i, ev)
}

// send carries the transaction out and translates its outcome like a dispatcher does. After a lost answer a refusal may
// be the trace of an earlier sending. lost says that the session is found to be over.
func (x *explorer) send(t *state, p, i int) (ev operator.Event, done, lost bool) {
	f := t.procs[p].flight(i)
	w := x.wireOf(t, p, f)
	outcome := x.commit(t, w)
	mod := t.etcd.rev
	var found txn.Found
	part := f.send.Part
	switch outcome {
	case txn.Refused:
		found = x.keys.found(t.etcd, part.If, part.Witness)
	case txn.Fenced:
		found = x.keys.found(t.etcd, w.Outer, nil)
	case txn.Done:
	}
	if outcome != txn.Done && f.unknown && part.Mine != nil {
		if all := x.keys.found(t.etcd, part.If, part.Witness); part.Mine(all) {
			outcome, mod, found = txn.Done, all[f.send.Key].Mod, all
		}
	}
	me := x.identity(t.procs[p])
	if outcome == txn.Fenced && found[x.layout.Node(me.Node)].Create != me.Session {
		return nil, false, true
	}
	done = outcome == txn.Done
	if i != merging {
		a := x.read(t, i, found)
		a.Done, a.Mod = done, mod
		return a, done, false
	}
	m := operator.MergeAnswer{Done: done, Mod: mod}
	for _, j := range t.procs[p].merger.spans {
		m.Members = append(m.Members, x.read(t, j, found))
	}
	return m, done, false
}

// read is what a refusal says of a span.
func (x *explorer) read(t *state, i int, found txn.Found) (a operator.Answer) {
	if _, ok := found[x.keys.names[x.spanKeys[i]]]; ok {
		rec, _ := x.span(t, i)
		a.Found = &rec
	}
	if _, ok := found[x.keys.names[x.claimKeys[i]]]; ok {
		a.Held = x.claim(t, i)
	}
	return a
}
