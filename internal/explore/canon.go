package explore

import (
	"bytes"
	"slices"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

// Two states are one if they differ only in the absolute value of revisions, in the order in which things that have no
// order are kept, or in what nothing decides on: marks, reasons, times. Revisions are only ever compared within a
// namespace, and for equality or order, so their ranks there are enough.
//
// This file must know every field that a decision is made on. TestEveryFieldIsKnown fails when a type gets another.

// The namespaces of revisions; those of spans and nodes follow.
const (
	ofTerm = iota
	ofToken
	ofSpan
	ofSession  = ofSpan + maxSpans
	namespaces = ofSession + maxNodes
)

const maxNodes = 4

// coder writes the canonical form of a state: first it collects revisions, then it writes their ranks.
type coder struct {
	x       *explorer
	t       *state
	writing bool
	revs    [namespaces][]int64
	out     []byte
	// live are sessions that can still do something.
	live []int64
	// parts are the encodings of things without an order.
	parts [][]byte
}

// encode returns the canonical form of t. It is valid until the next call.
func (c *coder) encode(t *state) []byte {
	c.t, c.writing, c.out = t, false, c.out[:0]
	for i := range c.revs {
		c.revs[i] = c.revs[i][:0]
	}
	c.live = c.live[:0]
	for _, n := range c.x.nodeKeys {
		if r := t.etcd.kvs[n].create; r != 0 {
			c.live = append(c.live, r)
		}
	}
	for _, p := range t.procs {
		c.live = append(c.live, p.session)
	}
	for _, k := range c.x.claimKeys {
		if r := t.etcd.kvs[k].own; r != 0 {
			c.live = append(c.live, r)
		}
	}
	c.state()
	for i, list := range c.revs {
		slices.Sort(list)
		c.revs[i] = slices.Compact(list)
	}
	c.writing = true
	c.state()
	return c.out
}

func (c *coder) byte(b ...byte) {
	if c.writing {
		c.out = append(c.out, b...)
	}
}

func (c *coder) bool(list ...bool) {
	var b byte
	for i, v := range list {
		if v {
			b |= 1 << i
		}
	}
	c.byte(b)
}

// rev writes a revision; 0 stays 0.
func (c *coder) rev(space int, r int64) {
	switch {
	case r == 0:
		c.byte(0)
	case !c.writing:
		c.revs[space] = append(c.revs[space], r)
	default:
		i, _ := slices.BinarySearch(c.revs[space], r)
		c.out = append(c.out, byte(i+1))
	}
}

// dead stands for a session that is over and that no process carries any more.
const dead = 255

// session writes who; it reports whether the session can still do something.
func (c *coder) session(node int, r int64) bool {
	if r != 0 && !slices.Contains(c.live, r) {
		c.byte(dead)
		return false
	}
	c.rev(ofSession+node, r)
	if r != 0 {
		c.byte(byte(node))
	}
	return true
}

func (c *coder) who(node string, r int64) bool { return c.session(c.x.nodeIndex[node], r) }

func (c *coder) token(r uint64) { c.rev(ofToken, int64(r)) }

func (c *coder) position(p record.Position) {
	c.bool(p.Known)
	if p.Known {
		c.byte(byte(p.At))
	}
}

func (c *coder) state() {
	x, t := c.x, c.t
	c.rev(ofTerm, x.term(t))
	for n, k := range x.nodeKeys {
		c.rev(ofSession+n, t.etcd.kvs[k].create)
	}
	for i := range x.refs {
		e := &t.etcd.kvs[x.spanKeys[i]]
		c.rev(ofSpan+i, e.mod)
		if e.val != nil {
			c.span(e.val.span)
		}
		e = &t.etcd.kvs[x.claimKeys[i]]
		c.token(uint64(e.mod))
		if e.val != nil {
			c.claim(e.val.claim)
			c.bool(e.own != 0)
		}
		if x.cfg.Unfenced {
			c.who(t.openers[i].Node, t.openers[i].Session)
		}
	}
	for _, k := range x.history {
		if e := &t.etcd.kvs[k]; e.val != nil {
			c.ended(e.val.ended)
		} else {
			c.byte(0)
		}
	}
	for b := range maxSegments {
		c.token(t.sink[b])
	}
	c.byte(t.accepted, t.left, t.cancels)
	c.unordered(len(t.procs), func(i int) { c.proc(t.procs[i]) })
	c.unordered(len(t.asks), func(i int) { c.late(t.asks[i]) })
	c.unordered(len(t.wire), func(i int) { c.sent(t.wire[i]) })
}

// unordered writes n things sorted by what they look like.
func (c *coder) unordered(n int, f func(i int)) {
	c.byte(byte(n))
	if n < 2 || !c.writing {
		for i := range n {
			f(i)
		}
		return
	}
	start := len(c.out)
	c.parts = c.parts[:0]
	for i := range n {
		from := len(c.out)
		f(i)
		c.parts = append(c.parts, slices.Clone(c.out[from:]))
	}
	slices.SortFunc(c.parts, bytes.Compare)
	c.out = c.out[:start]
	for _, p := range c.parts {
		c.out = append(c.out, p...)
	}
}

func (c *coder) span(s *record.Span) {
	if c.who(s.Owner.Node, s.Owner.Session) {
		c.token(s.Owner.Token)
	}
	c.position(s.Checkpoint)
	c.intent(s.Intent)
}

// intent: the rest of it is given by the operator.
func (c *coder) intent(i *record.Intent) {
	if i == nil {
		c.byte(0)
		return
	}
	c.byte(byte(c.x.opIndex[i.Operator])+1, byte(i.Kind))
	c.bool(i.HandedOff)
	if i.To != "" {
		c.byte(byte(c.x.nodeIndex[i.To]))
	}
}

func (c *coder) ended(h *record.History) {
	c.byte(byte(h.Outcome))
	if h.Cause != nil {
		c.operator(h.Cause.Operator)
	}
}

func (c *coder) operator(id string) {
	if id == "" {
		c.byte(0)
		return
	}
	c.byte(byte(c.x.opIndex[id]) + 1)
}

func (c *coder) claim(k *record.Claim) {
	c.operator(k.Operator)
	c.byte(byte(k.Kind), byte(k.Stage))
	c.who(k.Node, k.Session)
}

func (c *coder) proc(p *proc) {
	c.session(p.node, p.session)
	c.rev(ofTerm, p.term)
	c.bool(p.stopping)
	for i, h := range p.held {
		if h == nil {
			c.byte(0)
			continue
		}
		c.byte(1)
		c.held(i, h)
	}
	if p.merger != nil {
		c.merger(p.merger)
	}
}

func (c *coder) held(i int, h *held) {
	c.actor(i, &h.Actor)
	c.bool(h.holding, h.closing, h.givenUp, h.interrupted, h.lingers)
	c.token(h.opening)
	c.token(h.running)
	c.position(h.from)
	c.position(h.at)
	c.position(h.to)
	c.flight(i, &h.flight)
}

func (c *coder) flight(i int, f *flight) {
	c.bool(f.send != nil, f.unknown, f.answer != nil)
	if f.send == nil {
		return
	}
	c.rev(ofTerm, f.send.Term)
	c.part(&f.send.Part)
	claim := c.x.keys.kinds[c.x.keys.id(f.send.Key)] == kindClaim
	switch a := f.answer.(type) {
	case operator.Answer:
		c.answer(i, claim, &a)
	case operator.MergeAnswer:
		c.bool(a.Done)
		c.answered(claim, a.Mod)
		for n := range a.Members {
			c.answer(i+n, claim, &a.Members[n])
		}
	}
}

func (c *coder) answer(i int, claim bool, a *operator.Answer) {
	c.bool(a.Done, a.Found != nil, a.Held != nil)
	c.answered(claim, a.Mod)
	if a.Found != nil {
		c.record(i, a.Found)
	}
	if a.Held != nil {
		c.token(uint64(a.Held.Mod))
		c.claim(&a.Held.Claim)
	}
}

// answered writes the revision of an answer: of a claim, or of records and the claims that came with them.
func (c *coder) answered(claim bool, mod int64) {
	c.token(uint64(mod))
	if !claim {
		for i := range c.x.refs {
			c.rev(ofSpan+i, mod)
		}
	}
}

func (c *coder) merger(m *merger) {
	c.byte(byte(m.Phase))
	c.bool(m.Exact)
	c.position(m.To)
	c.revoke(m.Revoke)
	for n := range m.Members {
		c.byte(byte(m.spans[n]))
		c.actor(m.spans[n], &m.Members[n])
		s := m.Seats[n]
		c.bool(s.Held, s.Closing, s.Shut)
		c.position(s.At)
	}
	c.flight(m.spans[0], &m.flight)
}

// revoke: its members are those of the operator, of which only the revisions and the intents differ.
func (c *coder) revoke(r *operator.AskRevoke) {
	if r == nil {
		c.byte(0)
		return
	}
	c.byte(1)
	c.operator(r.Operator)
	c.rev(ofTerm, r.Term)
	c.operator(r.Cause.Operator)
	if r.Successor != nil {
		c.byte(byte(c.x.spanOf(string(r.Of))) + 1)
		c.operator(r.Successor.Operator)
	} else {
		c.byte(0)
	}
	for n := range r.Members {
		i := c.x.spanOf(string(r.Members[n].ID))
		c.byte(byte(i))
		c.record(i, &r.Members[n])
	}
}

func (c *coder) record(i int, s *operator.Span) {
	c.rev(ofSpan+i, s.Mod)
	c.span(&s.Span)
}

func (c *coder) actor(i int, a *operator.Actor) {
	c.byte(byte(a.Phase))
	if a.Phase == operator.Idle || a.Span.ID == "" {
		return
	}
	c.bool(a.Instance, a.Doomed, a.Why != "", a.Sent)
	c.revoke(a.Revoke)
	c.record(i, &a.Span)
	c.token(uint64(a.Claim.Mod))
	if a.Claim.Session != 0 {
		c.claim(&a.Claim.Claim)
	}
	c.token(a.Token)
	c.position(a.From)
}

func (c *coder) late(a *late) {
	for p := range c.t.procs {
		if c.t.procs[p].session == a.session {
			c.session(c.t.procs[p].node, a.session)
		}
	}
	c.rev(ofTerm, a.term)
	c.byte(byte(a.span))
	c.event(a.span, a.event)
}

func (c *coder) event(i int, ev operator.Event) {
	switch ev := ev.(type) {
	case operator.AskOpen:
		c.byte(1)
		c.record(i, &ev.Span)
	case operator.AskEnd:
		c.byte(2)
		c.record(i, &ev.Span)
	case operator.AskRelease:
		c.byte(3)
		c.record(i, &ev.Span)
	case operator.AskAbort:
		c.byte(4)
		c.rev(ofSpan+i, ev.Span.Mod)
		c.token(uint64(ev.Claim))
	case operator.AskRevoke:
		c.byte(5)
		c.revoke(&ev)
	case *askMerge:
		c.byte(6)
		for n := range ev.spans {
			c.record(c.x.spanOf(string(ev.spans[n].ID)), &ev.spans[n])
		}
	default:
		panic("explore: an ask that canon.go does not know")
	}
}

func (c *coder) sent(w *sent) {
	c.rev(ofTerm, w.term)
	c.bool(w.Leader)
	c.byte(byte(w.op + 1))
	c.cmps(w.Outer)
	c.part(&w.Part)
}

// part writes compares and writes. What else belongs to a part follows from them.
func (c *coder) part(p *txn.Part) {
	c.cmps(p.If)
	c.byte(byte(len(p.Then)))
	for _, op := range p.Then {
		id := c.x.keys.id(op.Key)
		c.byte(byte(id))
		c.bool(op.Delete, op.Leased)
		if op.Delete {
			continue
		}
		v := c.x.keys.intern(c.x.keys.kinds[id], op.Value)
		switch {
		case v.span != nil:
			c.span(v.span)
		case v.claim != nil:
			c.claim(v.claim)
		case v.ended != nil:
			c.ended(v.ended)
			c.bool(c.t.etcd.kvs[id].val == v) // an early end knows its own entry by its bytes
		}
	}
}

func (c *coder) cmps(list []txn.Cmp) {
	c.byte(byte(len(list)))
	for _, k := range list {
		id := c.x.keys.id(k.Key)
		c.byte(byte(id))
		if k.Rev == 0 {
			c.byte(0)
			continue
		}
		switch c.x.keys.kinds[id] {
		case kindLeader:
			c.rev(ofTerm, k.Rev)
		case kindNode:
			c.session(slices.Index(c.x.nodeKeys, id), k.Rev)
		case kindSpan:
			c.rev(ofSpan+slices.Index(c.x.spanKeys, id), k.Rev)
		case kindClaim:
			c.token(uint64(k.Rev))
		case kindHistory:
			panic("explore: a compare of a history entry's revision")
		}
	}
}
