package explore

import (
	"slices"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

// maxSpans bounds the spans that a configuration can ever have, maxSegments the ranges between their bounds.
const (
	maxSpans    = 6
	maxSegments = 4
)

// state is the whole world. What it points to is shared between states and never changed in place.
type state struct {
	etcd  *store
	procs []*proc
	// sink holds, for each segment of the key space, the highest token that has opened it.
	sink [maxSegments]uint64
	// asks and wire are on their way: requests of leaders, and transactions.
	asks []*late
	wire []*sent
	// openers are, for an unfenced sink, the sessions under whose claims spans were acted on when they ended.
	openers  [maxSpans]operator.Identity
	accepted uint8 // operators, by bit
	// left are the faults and cancels that may still come.
	left, cancels uint8
	// bad is what a step into this state has violated.
	bad string
}

// proc is one dispatcher process. It outlives its session as a zombie.
type proc struct {
	node     int
	session  int64 // also the id of its lease
	term     int64 // the highest that has asked
	stopping bool
	held     [maxSpans]*held
	merger   *merger // nil for none
}

// flight is a transaction on its way from an actor or a merger.
type flight struct {
	send *operator.Send
	// unknown: an answer to it was lost.
	unknown bool
	// answer has been given and not arrived.
	answer operator.Event
}

// merger acts on several spans, by number; their own actors are in phase Merging.
type merger struct {
	operator.Merger
	flight
	spans []int
}

// merging stands for the merger where a span is expected.
const merging = -1

func (p *proc) flight(i int) *flight {
	if i == merging {
		return &p.merger.flight
	}
	return &p.held[i].flight
}

// held is what a process has of one span.
type held struct {
	operator.Actor
	flight
	// opening and running are the tokens of a call to Open and of an instance, 0 for none.
	opening, running uint64
	// from is where Open starts, at where the instance is, to where it was asked to close.
	from, at, to record.Position
	// Calls to Hold and Close are under way, an Open was given up, an instance was interrupted.
	holding, closing, givenUp, interrupted bool
	// lingers: an instance that was taken to have closed, and has not; only with a mutant.
	lingers bool
}

// late is an ask on its way.
type late struct {
	session int64
	term    int64
	span    int
	event   operator.Event
}

// askMerge is the request to merge spans that have one owner.
type askMerge struct {
	operator.Event
	spans []operator.Span
	from  []record.Position
	term  int64
}

// sent is a transaction on its way to etcd whose answer nobody awaits.
type sent struct {
	Sent
	lease int64
	term  int64 // of the leader that sent it or asked for it, 0 for neither
	op    int   // the operator that it accepts, -1 for none
}

// own makes the process at index p of t t's own.
func (t *state) own(p int) *proc {
	t.procs = slices.Clone(t.procs)
	c := *t.procs[p]
	t.procs[p] = &c
	return &c
}

// hold makes what process p has of span s t's own.
func (t *state) hold(p, s int) *held {
	pr := t.own(p)
	h := &held{}
	if pr.held[s] != nil {
		*h = *pr.held[s]
	}
	pr.held[s] = h
	return h
}

// merge makes the merger of process p t's own.
func (t *state) merge(p int) *merger {
	pr := t.own(p)
	c := *pr.merger
	pr.merger = &c
	return &c
}

// fly makes a flight t's own.
func (t *state) fly(p, i int) *flight {
	if i == merging {
		return &t.merge(p).flight
	}
	return &t.hold(p, i).flight
}

func (t *state) store() *store {
	c := *t.etcd
	t.etcd = &c
	return &c
}

// present reports whether the session's node key is there.
func (x *explorer) present(t *state, node int, session int64) bool {
	return session != 0 && t.etcd.kvs[x.nodeKeys[node]].create == session
}

// procOf is the process of a session, -1 if it is gone.
func (t *state) procOf(session int64) int {
	for i, p := range t.procs {
		if p.session == session {
			return i
		}
	}
	return -1
}

func (t *state) drop(p int) { t.procs = slices.Delete(slices.Clone(t.procs), p, p+1) }

func (x *explorer) term(t *state) int64 { return t.etcd.kvs[x.leaderKey].mod }

// span reads a record.
func (x *explorer) span(t *state, s int) (operator.Span, bool) {
	e := &t.etcd.kvs[x.spanKeys[s]]
	if e.val == nil {
		return operator.Span{}, false
	}
	return operator.Span{Ref: x.refs[s], Span: *e.val.span, Mod: e.mod}, true
}

// claim reads a claim, nil if there is none.
func (x *explorer) claim(t *state, s int) *operator.Claim {
	e := &t.etcd.kvs[x.claimKeys[s]]
	if e.val == nil {
		return nil
	}
	return &operator.Claim{Claim: *e.val.claim, Mod: e.mod}
}

// commit carries a transaction out, or says that it was refused or fenced. It notices what no transaction may do.
func (x *explorer) commit(t *state, w *sent) txn.Outcome {
	if !x.keys.holds(t.etcd, w.Outer) {
		return txn.Fenced
	}
	if !x.keys.holds(t.etcd, w.Part.If) {
		return txn.Refused
	}
	if !x.hasLease(t, w) {
		return txn.Fenced
	}
	before := t.etcd
	x.keys.write(t.store(), w.Part.Then, w.lease)
	x.checkWrite(t, before, w)
	if w.op >= 0 {
		t.accepted |= 1 << w.op
	}
	for _, k := range x.spanKeys { // a remove that supersedes comes with its actor's transaction
		if v := t.etcd.kvs[k].val; v != nil && v.span.Intent != nil && v.span.Intent.Kind == record.KindRemove {
			t.accepted |= 1 << x.opIndex[v.span.Intent.Operator]
		}
	}
	return txn.Done
}
