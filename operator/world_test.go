package operator_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// world is a leader, dispatchers and a sink around a model of etcd, in which nothing happens unless a test says so.
// Everything that decides in it is the shipped code.
type world struct {
	l     keys.Layout
	store *txn.Store
	term  int64
	seq   int
	nodes map[string]*node // the newest process of each name
	procs []*node          // all processes, zombies included
	sink  map[operator.Ref]uint64
	out   strings.Builder
	// keyspace is the state of the only keyspace.
	keyspace record.KeyspaceState
	// broken is the first violation of an invariant that the world noticed itself.
	broken string
}

// node is one dispatcher process.
type node struct {
	name    string
	session int64
	lease   int64
	dead    bool // killed: it does nothing any more
	spans   map[operator.Ref]*held
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
}

const ks = "k"

func newWorld(tb testing.TB) *world {
	l, err := keys.New("c")
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{l: l, store: txn.NewStore(), nodes: map[string]*node{}, sink: map[operator.Ref]uint64{}, keyspace: record.KeyspaceRunning}
	w.takeOver()
	return w
}

func (w *world) logf(f string, a ...any) { fmt.Fprintf(&w.out, f+"\n", a...) }

func (w *world) apply(lease int64, outer []txn.Cmp, p txn.Part) txn.Result {
	r, err := w.store.Apply(lease, txn.Batch{Outer: outer, Parts: []txn.Part{p}})
	if err != nil {
		return txn.Result{Outcome: txn.Fenced}
	}
	if r[0].Outcome == txn.Refused && p.Mine != nil && p.Mine(r[0].Found) {
		r[0].Outcome, r[0].Earlier = txn.Done, true
	}
	return r[0]
}

// lead sends a leader's write.
func (w *world) lead(p txn.Part) txn.Result {
	return w.apply(0, []txn.Cmp{operator.Leading(w.l, w.term)}, p)
}

func (w *world) takeOver() {
	w.apply(0, nil, txn.Part{Then: []txn.Op{txn.Put(w.l.Leader(), []byte("leader"))}})
	w.term = w.store.Revision()
}

func (w *world) start(name string) *node {
	n := &node{name: name, lease: int64(len(w.procs) + 1), spans: map[operator.Ref]*held{}}
	w.store.Grant(n.lease)
	r := w.apply(n.lease, nil, txn.Part{
		If:   []txn.Cmp{txn.Absent(w.l.Node(name))},
		Then: []txn.Op{txn.PutLeased(w.l.Node(name), []byte(name))},
	})
	if r.Outcome != txn.Done {
		return nil
	}
	n.session = w.store.Revision()
	w.nodes[name] = n
	w.procs = append(w.procs, n)
	return n
}

func (w *world) present(session int64) *node {
	for _, n := range w.procs {
		if kv, ok := w.store.Get(w.l.Node(n.name)); ok && kv.Create == session && n.session == session {
			return n
		}
	}
	return nil
}

func (w *world) presence(session int64) operator.Presence {
	if w.present(session) != nil {
		return operator.Alive
	}
	return operator.Over
}

func (w *world) span(r operator.Ref) (operator.Span, bool) {
	kv, ok := w.store.Get(w.l.Span(r.Keyspace, r.ID))
	if !ok {
		return operator.Span{}, false
	}
	s, err := record.DecodeSpan(kv.Value)
	if err != nil {
		w.broken = err.Error()
	}
	return operator.Span{Ref: r, Span: s, Mod: kv.Mod}, true
}

func (w *world) claim(r operator.Ref) *operator.Claim {
	kv, ok := w.store.Get(w.l.Operator(r.Keyspace, r.ID))
	if !ok {
		return nil
	}
	c, err := record.DecodeClaim(kv.Value)
	if err != nil {
		w.broken = err.Error()
	}
	return &operator.Claim{Claim: c, Mod: kv.Mod}
}

func (w *world) records(r operator.Ref) operator.Records {
	s, ok := w.span(r)
	if !ok {
		return operator.Records{}
	}
	m := operator.Member{Span: s, Claim: w.claim(r), Owner: w.presence(s.Owner.Session)}
	if m.Claim != nil {
		m.Actor = w.presence(m.Claim.Session)
		kv, _ := w.store.Get(w.l.Node(m.Claim.Node))
		m.ActorSession = kv.Create
	}
	if n := w.present(s.Owner.Session); n != nil && n.spans[r] == nil {
		m.Missing = true
	}
	rec := operator.Records{Members: []operator.Member{m}, Keyspace: w.keyspace}
	if s.Intent != nil && s.Intent.To != "" {
		_, alive := w.store.Get(w.l.Node(s.Intent.To))
		rec.Target = operator.Over
		if alive {
			rec.Target = operator.Alive
		}
	}
	return rec
}

func (w *world) add(r operator.Ref) {
	s := record.Span{Range: span.Range{Start: "a", End: "b"}}
	w.apply(0, nil, operator.PutNewSpan(w.l, operator.Span{Ref: r, Span: s}))
}

func (w *world) accept(r operator.Ref, k record.Kind, to string) (string, bool) {
	s, ok := w.span(r)
	if !ok || s.Intent != nil {
		return "", false
	}
	w.seq++
	i := &record.Intent{
		Operator: fmt.Sprintf("%d-%d", w.term, w.seq), Kind: k, By: record.ByUser, To: to,
		From: s.Owner.Node, Spans: []string{string(r.ID)},
	}
	i = i.Marked(record.Mark{Stage: record.StageQueued, At: epoch})
	res := w.lead(operator.Accept(w.l, []operator.Span{s}, i))
	return i.Operator, res.Outcome == txn.Done
}

var epoch = time.Unix(1_000_000, 0).UTC()

func (w *world) env(n *node) operator.Env {
	return operator.Env{Layout: w.l, Me: operator.Identity{Node: n.name, Session: n.session}, Now: epoch}
}

// step feeds an event to the actor of a process and carries out what follows, but for what tests do by hand:
// transactions, openings and closings.
func (w *world) step(n *node, r operator.Ref, ev operator.Event) {
	h := n.spans[r]
	if h == nil {
		h = &held{}
		n.spans[r] = h
	}
	next, fx := h.Step(w.env(n), ev)
	h.Actor = next
	for _, e := range fx {
		w.carryOut(n, r, h, e)
	}
	if h.Phase == operator.Idle {
		delete(n.spans, r)
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
	case operator.Close:
		h.closing = true
		w.logf("%s: close %s", n.name, r.ID)
	case operator.Abort:
		h.running, h.closing = 0, false
		w.logf("%s: abort %s", n.name, r.ID)
	case operator.GiveUp:
		w.logf("%s: give up opening %s", n.name, r.ID)
	case operator.Say:
		w.logf("%s: say %s", n.name, say(e))
	case operator.Forget:
		if h.running != 0 || h.opening != 0 {
			w.broken = fmt.Sprintf("%s forgets %s while its instance exists", n.name, r.ID)
		}
		w.logf("%s: forget %s", n.name, r.ID)
	}
}

// deliver sends the pending transaction; lost says that the answer does not arrive, and it stays pending.
func (w *world) deliver(n *node, r operator.Ref, lost bool) {
	h := n.spans[r]
	if h == nil || h.send == nil {
		return
	}
	outer := []txn.Cmp{operator.Acting(w.l, operator.Identity{Node: n.name, Session: n.session})}
	if h.send.Term != 0 {
		outer = append(outer, operator.Leading(w.l, h.send.Term))
	}
	res := w.apply(n.lease, outer, h.send.Part)
	if lost {
		h.unknown = true
		return
	}
	if res.Outcome == txn.Fenced && h.unknown {
		res = w.readBack(h.send.Part)
	}
	h.unknown = false
	if res.Outcome == txn.Fenced && w.present(n.session) == nil {
		w.stopAll(n)
		return
	}
	a := operator.Answer{Done: res.Outcome == txn.Done, Mod: res.Revision}
	if res.Earlier {
		a.Mod = res.Found[h.send.Key].Mod
	}
	if !a.Done || res.Earlier {
		if s, ok := w.span(r); ok {
			a.Found = &s
		}
		a.Held = w.claim(r)
	}
	h.send = nil
	w.step(n, r, a)
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

// opened lets the workload's Open return: the sink accepts the token or refuses it.
func (w *world) opened(n *node, r operator.Ref) {
	h := n.spans[r]
	if h == nil || h.opening == 0 {
		return
	}
	token := h.opening
	h.opening = 0
	if w.sink[r] > token {
		if c := w.claim(r); w.present(n.session) != nil && c != nil && c.Session == n.session && c.Mod == h.Claim.Mod {
			w.broken = fmt.Sprintf("the sink refuses %s, which holds a valid claim on %s", n.name, r.ID)
		}
		w.step(n, r, operator.OpenFailed{Err: "the sink is ahead"})
		return
	}
	w.sink[r] = token
	h.running = token
	w.step(n, r, operator.Opened{})
}

func (w *world) openFailed(n *node, r operator.Ref, why string) {
	if h := n.spans[r]; h != nil && h.opening != 0 {
		h.opening = 0
		w.step(n, r, operator.OpenFailed{Err: why})
	}
}

func (w *world) closed(n *node, r operator.Ref) {
	if h := n.spans[r]; h != nil && h.closing {
		h.closing, h.running = false, 0
		w.step(n, r, operator.Closed{At: record.At(7)})
	}
}

// next carries out what follows from the records. Nodes take asks at once; every place that may be chosen is pick's.
func (w *world) next(r operator.Ref, pick string) {
	for _, a := range operator.Next(w.records(r)) {
		w.logf("leader: %s", action(a))
		s, _ := w.span(r)
		switch a := a.(type) {
		case operator.AskClose:
			w.ask(a.Owner.Session, r, operator.AskEnd{Span: s, Term: w.term})
		case operator.Reopen:
			w.ask(a.Owner.Session, r, operator.AskOpen{Span: s, From: s.Checkpoint, Term: w.term})
		case operator.Place:
			if a.Only != "" {
				pick = a.Only
			}
			if n := w.nodes[pick]; n != nil {
				w.ask(n.session, r, operator.AskOpen{Span: s, From: s.Checkpoint, Term: w.term, By: a.By})
			}
		case operator.Release:
			w.ask(a.Owner.Session, r, operator.AskRelease{Span: s})
		case operator.AcceptRemove:
			w.accept(r, record.KindRemove, "")
		case operator.Fail:
			w.lead(operator.End(w.l, operator.EarlyEnd{Members: []operator.Held{{Span: s}}, Outcome: record.OutcomeFailed, Error: a.Why}, epoch))
		case operator.Drop:
			w.lead(operator.DropClaim(w.l, r, a.Claim, a.Present))
		}
	}
}

func (w *world) ask(session int64, r operator.Ref, ev operator.Event) {
	if n := w.present(session); n != nil && !n.dead {
		w.step(n, r, ev)
	}
}

func (w *world) expire(n *node) { w.store.Expire(n.lease) }

// history counts how often each operator has ended.
func (w *world) history() map[string]record.Outcome {
	m := map[string]record.Outcome{}
	w.store.Scan(w.l.HistoryOf(ks), func(_ string, kv txn.KV) bool {
		h, err := record.DecodeHistory(kv.Value)
		if err != nil {
			w.broken = err.Error()
		}
		m[h.Intent.Operator] = h.Outcome
		return true
	})
	return m
}

// check states what must hold whenever nothing is in the middle of a step.
func (w *world) check() string {
	if w.broken != "" {
		return w.broken
	}
	for _, a := range w.procs {
		for r, h := range a.spans {
			if h.running == 0 {
				continue
			}
			for _, b := range w.procs {
				o := b.spans[r]
				if b == a || o == nil || o.running == 0 || o.running < h.running {
					continue
				}
				if o.running == h.running {
					return fmt.Sprintf("%s and %s run %s with one token", a.name, b.name, r.ID)
				}
				if w.present(a.session) != nil {
					return fmt.Sprintf("two owners of %s: %s still has its session", r.ID, a.name)
				}
			}
		}
	}
	return ""
}

func describe(s operator.Send) string {
	var b []string
	for _, op := range s.Part.Then {
		verb := "put"
		if op.Delete {
			verb = "delete"
		}
		if op.Leased {
			verb = "put leased"
		}
		b = append(b, verb+" "+strings.TrimPrefix(op.Key, "/spanward/c/"))
	}
	return strings.Join(b, ", ")
}

func say(s operator.Say) string {
	names := []string{"", "claimed", "done", "refused", "open failed", "close failed", "aborted"}
	t := names[s.Result]
	if s.Operator != "" {
		t += " operator=" + s.Operator
	}
	if s.Holder != "" {
		t += " holder=" + s.Holder
	}
	if s.Err != "" {
		t += ": " + s.Err
	}
	return t
}

func action(a operator.Action) string {
	switch a := a.(type) {
	case operator.AskClose:
		return "ask " + a.Owner.Node + " to close"
	case operator.Reopen:
		return "ask " + a.Owner.Node + " to open again"
	case operator.Place:
		to := "any node"
		if a.Only != "" {
			to = a.Only
		}
		return fmt.Sprintf("place on %s (%s): %s", to, record.ByName(a.By), a.Why)
	case operator.Release:
		return "ask " + a.Owner.Node + " to release"
	case operator.AcceptRemove:
		return "accept a remove"
	case operator.Fail:
		return "fail: " + a.Why
	case operator.Drop:
		return "drop the claim of " + a.Claim.Node
	case operator.Wait:
		return fmt.Sprintf("wait for %s %s", []string{"", "actor", "lapse", "stream", "keyspace"}[a.For], a.Node)
	}
	return "?"
}

// show prints the stored records of one span.
func (w *world) show(r operator.Ref) {
	s, ok := w.span(r)
	if !ok {
		w.logf("span: none")
	} else {
		w.logf("span: owner=%s intent=%s handed_off=%t checkpoint=%v", s.Owner.Node, intentName(s), s.Intent != nil && s.Intent.HandedOff, s.Checkpoint)
	}
	if c := w.claim(r); c != nil {
		w.logf("claim: %s by %s", record.StageName(c.Stage), c.Node)
	}
	hs := w.history()
	for _, id := range slices.Sorted(maps.Keys(hs)) {
		w.logf("history: %s %s", id, record.OutcomeName(hs[id]))
	}
}

func intentName(s operator.Span) string {
	if s.Intent == nil {
		return "none"
	}
	return record.KindName(s.Intent.Kind)
}
