package operator_test

import (
	"fmt"
	"slices"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

// node is one dispatcher process.
type node struct {
	name    string
	session int64
	lease   int64
	dead    bool // killed: it does nothing any more
	spans   map[operator.Ref]*held
}

// merging is a merge that a process acts for.
type merging struct {
	operator.Merger
	refs    []operator.Ref
	send    *operator.Send
	unknown bool
}

// held is what a process holds of one span.
type held struct {
	operator.Actor
	send *operator.Send
	// unknown: send was sent before and its answer was lost.
	unknown bool
	// opening and running are the tokens of the workload's instance, 0 for none.
	opening, running uint64
	closing          bool
	// holding: a Hold was called. at is the position that a close was asked for.
	holding bool
	at      record.Position
	// group is the merge that the span belongs to, nil for none.
	group *merging
}

func (w *world) env(n *node) operator.Env {
	return operator.Env{Layout: w.l, Me: operator.Identity{Node: n.name, Session: n.session}, Now: epoch}
}

func (n *node) hold(r operator.Ref) *held {
	if n.spans[r] == nil {
		n.spans[r] = &held{}
	}
	return n.spans[r]
}

// step feeds an event to the actor of a process, or to the merge that it belongs to, and carries out what follows, but
// for what tests do by hand: transactions, openings and closings.
func (w *world) step(n *node, r operator.Ref, ev operator.Event) {
	h := n.hold(r)
	if g := h.group; g != nil {
		switch ev := ev.(type) {
		case operator.AskRevoke, operator.Stop:
			w.stepGroup(n, g, ev)
		default:
			w.stepGroup(n, g, operator.OfMember{Index: slices.Index(g.refs, r), Event: ev})
		}
		return
	}
	next, fx := h.Step(w.env(n), ev)
	h.Actor = next
	w.carryAll(n, r, h, fx)
}

func (w *world) carryAll(n *node, r operator.Ref, h *held, fx []operator.Effect) {
	for _, e := range fx {
		w.carryOut(n, r, h, e)
	}
	if h.Phase == operator.Idle && n.spans[r] == h {
		delete(n.spans, r)
	}
}

// merge is the ask for a merge of several spans.
func (w *world) merge(n *node, spans []operator.Span, from []record.Position) {
	var actors []operator.Actor
	g := &merging{}
	for _, s := range spans {
		h := n.hold(s.Ref)
		if h.group != nil {
			w.stepGroup(n, h.group, operator.AskMerge{Operator: s.Intent.Operator, Term: w.term})
			return
		}
		actors = append(actors, h.Actor)
		g.refs = append(g.refs, s.Ref)
	}
	m, fx := operator.NewMerger(w.env(n), actors, spans, from, w.term)
	g.Merger = m
	if m.Phase != operator.MergeOver {
		for k, r := range g.refs {
			n.spans[r].group, n.spans[r].Actor = g, m.Members[k]
		}
	}
	w.carryGroup(n, g, fx)
	for _, r := range g.refs {
		if h := n.spans[r]; h.Phase == operator.Idle {
			delete(n.spans, r)
		}
	}
}

func (w *world) stepGroup(n *node, g *merging, ev operator.Event) {
	next, fx := g.Step(w.env(n), ev)
	g.Merger = next
	w.carryGroup(n, g, fx)
}

func (w *world) carryGroup(n *node, g *merging, fx []operator.Effect) {
	for _, e := range fx {
		switch e := e.(type) {
		case operator.Send:
			if g.send != nil {
				w.broken = "two transactions of one merge in flight"
			}
			g.send = &e
			w.logf("%s: send %s", n.name, describe(e))
		case operator.On:
			r := g.refs[e.Index]
			w.carryOut(n, r, n.hold(r), e.Effect)
		case operator.Leave:
			r := g.refs[e.Index]
			h := n.hold(r)
			h.group, h.Actor = nil, e.Actor
			w.carryAll(n, r, h, e.Effects)
		case operator.Become:
			w.become(n, e)
		}
	}
}

func (w *world) become(n *node, e operator.Become) {
	for _, c := range e.Children {
		a, fx := operator.Inherit(w.env(n), c)
		h := n.hold(c.Span.Ref)
		h.Actor = a
		w.carryAll(n, c.Span.Ref, h, fx)
	}
}

func (w *world) carryOut(n *node, r operator.Ref, h *held, e operator.Effect) {
	switch e := e.(type) {
	case operator.Send:
		if h.send != nil {
			w.broken = "two transactions of one span in flight"
		}
		h.send = &e
		w.logf("%s: send %s", n.name, describe(e))
	case operator.Open:
		h.opening = e.Token
		w.logf("%s: open %s", n.name, r.ID)
	case operator.Hold:
		h.holding = true
		w.logf("%s: hold %s", n.name, r.ID)
	case operator.Close:
		h.close(w, record.Position{})
		w.logf("%s: close %s", n.name, r.ID)
	case operator.CloseAt:
		h.close(w, e.At)
		w.logf("%s: close %s at %d", n.name, r.ID, e.At.At)
	case operator.Abort:
		h.end()
		w.logf("%s: abort %s", n.name, r.ID)
	case operator.Interrupt:
		h.end()
		w.logf("%s: interrupt %s", n.name, r.ID)
		w.step(n, r, operator.Closed{At: record.At(7)})
	case operator.GiveUp:
		w.logf("%s: give up opening %s", n.name, r.ID)
	case operator.Say:
		w.logf("%s: say %s", n.name, say(e))
	case operator.Become:
		w.become(n, e)
	case operator.Forget:
		if h.running != 0 || h.opening != 0 {
			w.broken = fmt.Sprintf("%s forgets %s while its instance exists", n.name, r.ID)
		}
		w.logf("%s: forget %s", n.name, r.ID)
	}
}

func (h *held) close(w *world, at record.Position) {
	if h.running == 0 || h.holding || h.closing {
		w.broken = "closed while nothing runs, or while another call is under way"
	}
	h.closing, h.at = true, at
}

func (h *held) end() { h.running, h.closing, h.holding = 0, false, false }

// deliver sends the pending transaction; lost says that the answer does not arrive, and it stays pending.
func (w *world) deliver(n *node, r operator.Ref, lost bool) {
	h := n.spans[r]
	switch {
	case h == nil:
	case h.group != nil:
		w.deliverGroup(n, h.group, lost)
	case h.send != nil:
		send := h.send
		if res, ok := w.send(n, send, &h.unknown, lost); ok {
			h.send = nil
			w.step(n, r, w.answer(res, send.Key, r))
		}
	}
}

func (w *world) deliverGroup(n *node, g *merging, lost bool) {
	if g.send == nil {
		return
	}
	send := g.send
	res, ok := w.send(n, send, &g.unknown, lost)
	if !ok {
		return
	}
	g.send = nil
	first := w.answer(res, send.Key, g.refs[0])
	a := operator.MergeAnswer{Done: first.Done, Mod: first.Mod}
	for _, r := range g.refs {
		a.Members = append(a.Members, w.answer(res, send.Key, r))
	}
	w.stepGroup(n, g, a)
}

// send reports false if there is no answer.
func (w *world) send(n *node, s *operator.Send, unknown *bool, lost bool) (txn.Result, bool) {
	outer := []txn.Cmp{operator.Acting(w.l, operator.Identity{Node: n.name, Session: n.session})}
	if s.Term != 0 {
		outer = append(outer, operator.Leading(w.l, s.Term))
	}
	res := w.apply(n.lease, outer, s.Part)
	if lost {
		*unknown = true
		return res, false
	}
	if res.Outcome == txn.Fenced && *unknown {
		res = w.readBack(s.Part)
	}
	*unknown = false
	if res.Outcome == txn.Fenced && w.present(n.session) == nil {
		w.stopAll(n)
		return res, false
	}
	return res, true
}

func (w *world) answer(res txn.Result, key string, r operator.Ref) operator.Answer {
	a := operator.Answer{Done: res.Outcome == txn.Done, Mod: res.Revision}
	if res.Earlier {
		a.Mod = res.Found[key].Mod
	}
	if !a.Done || res.Earlier {
		if s, ok := w.span(r); ok {
			a.Found = &s
		}
		a.Held = w.claim(r)
	}
	return a
}

// readBack settles a part that may have landed before an outer compare began to fail.
func (w *world) readBack(p txn.Part) txn.Result {
	f := txn.Found{}
	keys := slices.Clone(p.Witness)
	for _, c := range p.If {
		keys = append(keys, c.Key)
	}
	for _, key := range keys {
		if kv, ok := w.store.Get(key); ok {
			f[key] = kv
		}
	}
	if p.Mine(f) {
		return txn.Result{Outcome: txn.Done, Earlier: true, Revision: w.store.Revision(), Found: f}
	}
	return txn.Result{Outcome: txn.Fenced, Found: f}
}

// stopAll is what a dispatcher does whose session is over: everything ends at once.
func (w *world) stopAll(n *node) {
	w.logf("%s: session over, everything aborted", n.name)
	n.spans = map[operator.Ref]*held{}
	n.dead = true
}

// opened lets the workload's Open return: the sink accepts the token for all keys of the range, or refuses it.
func (w *world) opened(n *node, r operator.Ref) {
	h := n.spans[r]
	if h == nil || h.opening == 0 {
		return
	}
	token := h.opening
	h.opening = 0
	rg := h.Span.Range
	for k := rg.Start[0]; k < rg.End[0]; k++ {
		if w.sink[k] > token {
			if c := w.claim(r); w.present(n.session) != nil && c != nil && c.Session == n.session && c.Mod == h.Claim.Mod {
				w.broken = fmt.Sprintf("the sink refuses %s, which holds a valid claim on %s", n.name, r.ID)
			}
			w.step(n, r, operator.OpenFailed{Err: "the sink is ahead"})
			return
		}
	}
	for k := rg.Start[0]; k < rg.End[0]; k++ {
		w.sink[k] = token
	}
	h.running = token
	w.step(n, r, operator.Opened{})
}

func (w *world) openFailed(n *node, r operator.Ref, why string) {
	if h := n.spans[r]; h != nil && h.opening != 0 {
		h.opening = 0
		w.step(n, r, operator.OpenFailed{Err: why})
	}
}

// heldAt lets Hold return, at a position or unable to choose one.
func (w *world) heldAt(n *node, r operator.Ref, at record.Position) {
	if h := n.spans[r]; h != nil && h.holding {
		h.holding = false
		w.step(n, r, operator.CanHold{At: at})
	}
}

func (w *world) holdFailed(n *node, r operator.Ref) {
	if h := n.spans[r]; h != nil && h.holding {
		h.holding = false
		w.step(n, r, operator.HoldFailed{Err: "disk"})
	}
}

func (w *world) closed(n *node, r operator.Ref) {
	if h := n.spans[r]; h != nil && h.closing {
		h.closing, h.running = false, 0
		w.step(n, r, operator.Closed{At: record.At(7).Max(h.at)})
	}
}

func (w *world) closeFailed(n *node, r operator.Ref, why string) {
	if h := n.spans[r]; h != nil && h.closing {
		h.closing = false
		w.step(n, r, operator.CloseFailed{Err: why})
	}
}
