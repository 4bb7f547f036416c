package operator_test

import (
	"fmt"
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
	// sink has the highest token of each key; keys are single letters.
	sink map[byte]uint64
	// covered is the range that spans, and removes that were done, must cover.
	covered span.Range
	out     strings.Builder
	// keyspace is the state of the only keyspace.
	keyspace record.KeyspaceState
	// broken is the first violation of an invariant that the world noticed itself.
	broken string
}

const ks = "k"

func newWorld(tb testing.TB) *world {
	l, err := keys.New("c")
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{l: l, store: txn.NewStore(), nodes: map[string]*node{}, sink: map[byte]uint64{}, keyspace: record.KeyspaceRunning}
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

// member is a span with what is known around it.
func (w *world) member(r operator.Ref) (operator.Member, bool) {
	s, ok := w.span(r)
	if !ok {
		return operator.Member{}, false
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
	return m, true
}

func (w *world) records(r operator.Ref) operator.Records {
	m, ok := w.member(r)
	if !ok {
		return operator.Records{}
	}
	rec := operator.Records{Members: []operator.Member{m}, Keyspace: w.keyspace}
	if m.Intent == nil {
		return rec
	}
	for _, id := range m.Intent.Spans {
		if o, ok := w.member(operator.Ref{Keyspace: ks, ID: span.ID(id)}); ok && o.ID != r.ID && o.Intent != nil && o.Intent.Operator == m.Intent.Operator {
			rec.Members = append(rec.Members, o)
		}
	}
	if m.Intent.To != "" {
		_, alive := w.store.Get(w.l.Node(m.Intent.To))
		if alive {
			rec.Target = operator.Alive
		}
	}
	return rec
}

func (w *world) add(r operator.Ref, rg span.Range) {
	w.apply(0, nil, operator.PutNewSpan(w.l, operator.Keyspace{}, operator.Span{Ref: r, Span: record.Span{Range: rg}}))
}

// all are the spans that have a record.
func (w *world) all() []operator.Span {
	var out []operator.Span
	w.store.Scan(w.l.Spans(ks), func(key string, kv txn.KV) bool {
		s, err := record.DecodeSpan(kv.Value)
		if err != nil {
			w.broken = err.Error()
		}
		out = append(out, operator.Span{Ref: operator.Ref{Keyspace: ks, ID: span.ID(key[strings.LastIndex(key, "/")+1:])}, Span: s, Mod: kv.Mod})
		return true
	})
	return out
}

// accept puts an operator into the records of its spans.
func (w *world) accept(i record.Intent, refs ...operator.Ref) (string, bool) {
	spans := make([]operator.Span, len(refs))
	for n, r := range refs {
		s, ok := w.span(r)
		if !ok || s.Intent != nil {
			return "", false
		}
		spans[n] = s
		i.Spans = append(i.Spans, string(r.ID))
	}
	accepted := w.newIntent(i)
	accepted.From = spans[0].Owner.Node
	res := w.lead(operator.Accept(w.l, spans, accepted))
	return accepted.Operator, res.Outcome == txn.Done
}

func (w *world) newIntent(i record.Intent) *record.Intent {
	w.seq++
	i.Operator, i.By = fmt.Sprintf("%d-%d", w.term, w.seq), record.ByUser
	switch i.Kind {
	case record.KindSplit:
		for n := range len(i.At) + 1 {
			i.Results = append(i.Results, fmt.Sprintf("%s.%d", i.Operator, n))
		}
	case record.KindMerge:
		i.Results = []string{i.Operator + ".0"}
	}
	return i.Marked(record.Mark{Stage: record.StageQueued, At: epoch})
}

// revoke cancels the operator on a span, or supersedes whatever holds it with a remove, as the leader does: by itself
// where nobody acts, else by asking the actor. It returns the id of the remove.
func (w *world) revoke(r operator.Ref, supersede bool) string {
	rec := w.records(r)
	if len(rec.Members) == 0 || rec.Members[0].Intent == nil && !supersede {
		return ""
	}
	m := rec.Members[0]
	cause := record.Cause{By: record.ByUser, RequestID: fmt.Sprint(w.seq), Reason: "asked"}
	var next *record.Intent
	if supersede {
		if m.Intent != nil && m.Intent.Kind == record.KindRemove {
			return ""
		}
		next = w.newIntent(record.Intent{Kind: record.KindRemove, Spans: []string{string(r.ID)}})
		cause.Operator = next.Operator
	}
	var actor *operator.Claim
	var held []operator.Held
	ask := operator.AskRevoke{Term: w.term, Cause: cause, Successor: next, Of: r.ID}
	for _, o := range rec.Members {
		if o.Claim != nil {
			actor = o.Claim
		}
		held = append(held, operator.Held{Span: o.Span})
		ask.Members = append(ask.Members, o.Span)
	}
	switch {
	case actor != nil:
		ask.Operator = actor.Operator
		for _, o := range rec.Members {
			if o.Claim != nil {
				w.ask(actor.Session, o.Ref, ask)
				break
			}
		}
	case m.Intent == nil:
		id, _ := w.accept(record.Intent{Kind: record.KindRemove}, r)
		return id
	case next == nil && m.Intent.HandedOff:
		return ""
	default:
		w.lead(operator.End(w.l, operator.EarlyEnd{
			Members: held, Outcome: record.OutcomeCancelled, Error: operator.EndText(cause), Cause: &cause, Successor: next, Of: r.ID,
		}, epoch))
	}
	if next == nil {
		return ""
	}
	return next.Operator
}

var epoch = time.Unix(1_000_000, 0).UTC()

// next carries out what follows from the records. Nodes take asks at once; every place that may be chosen is pick's.
func (w *world) next(r operator.Ref, pick string) {
	for _, a := range operator.Next(w.records(r)) {
		w.logf("leader: %s", action(a))
		s, _ := w.span(r)
		switch a := a.(type) {
		case operator.AskClose:
			w.askClose(a)
		case operator.Reopen:
			w.ask(a.Owner.Session, r, operator.AskOpen{Span: s, From: s.Checkpoint, Term: w.term})
		case operator.Place:
			if a.Only != "" {
				pick = a.Only
			}
			at, _ := w.span(a.Span)
			if n := w.nodes[pick]; n != nil {
				w.ask(n.session, a.Span, operator.AskOpen{Span: at, From: at.Checkpoint, Term: w.term, By: a.By})
			}
		case operator.Release:
			w.ask(a.Owner.Session, r, operator.AskRelease{Span: s})
		case operator.AcceptRemove:
			w.revoke(r, true)
		case operator.Fail:
			w.lead(operator.End(w.l, operator.EarlyEnd{Members: heldBy(a.Members), Outcome: record.OutcomeFailed, Error: a.Why}, epoch))
		case operator.Swap:
			p, err := operator.SwapOwnerless(w.l, heldBy(a.Members), epoch)
			if err != nil {
				w.broken = err.Error()
				return
			}
			w.lead(p)
		case operator.Drop:
			w.lead(operator.DropClaim(w.l, a.Span, a.Claim, a.Present))
		}
	}
}

func heldBy(members []operator.Member) []operator.Held {
	var out []operator.Held
	for _, m := range members {
		out = append(out, operator.Held{Span: m.Span})
	}
	return out
}

func (w *world) askClose(a operator.AskClose) {
	spans := make([]operator.Span, len(a.Spans))
	from := make([]record.Position, len(a.Spans))
	for n, r := range a.Spans {
		spans[n], _ = w.span(r)
		from[n] = spans[n].Checkpoint
	}
	if len(spans) == 1 {
		w.ask(a.Owner.Session, a.Spans[0], operator.AskEnd{Span: spans[0], From: from[0], Term: w.term})
		return
	}
	if n := w.present(a.Owner.Session); n != nil && !n.dead {
		w.merge(n, spans, from)
	}
}

func (w *world) ask(session int64, r operator.Ref, ev operator.Event) {
	if n := w.present(session); n != nil && !n.dead {
		w.step(n, r, ev)
	}
}

func (w *world) expire(n *node) { w.store.Expire(n.lease) }

// history counts how each operator has ended.
func (w *world) history() map[string]record.Outcome {
	m := map[string]record.Outcome{}
	w.eachHistory(func(h record.History) { m[h.Intent.Operator] = h.Outcome })
	return m
}

func (w *world) eachHistory(f func(record.History)) {
	w.store.Scan(w.l.HistoryOf(ks), func(_ string, kv txn.KV) bool {
		h, err := record.DecodeHistory(kv.Value)
		if err != nil {
			w.broken = err.Error()
		}
		f(h)
		return true
	})
}

// check states what must hold whenever nothing is in the middle of a step.
func (w *world) check() string {
	if w.broken != "" {
		return w.broken
	}
	if why := w.checkRanges(); why != "" {
		return why
	}
	for _, a := range w.procs {
		for r, h := range a.spans {
			if h.running == 0 {
				continue
			}
			for _, b := range w.procs {
				for q, o := range b.spans {
					if why := w.twoOwners(a, r, h, b, q, o); why != "" {
						return why
					}
				}
			}
		}
	}
	return ""
}

// twoOwners: where two instances share a key, the one with the smaller token must be of a session that is over.
func (w *world) twoOwners(a *node, r operator.Ref, h *held, b *node, q operator.Ref, o *held) string {
	if o == h || o.running == 0 || o.running < h.running || !h.Span.Range.Overlaps(o.Span.Range) {
		return ""
	}
	if o.running == h.running {
		return fmt.Sprintf("%s runs %s and %s runs %s with one token", a.name, r.ID, b.name, q.ID)
	}
	if w.present(a.session) != nil {
		return fmt.Sprintf("two owners: %s runs %s and still has its session, %s runs %s", a.name, r.ID, b.name, q.ID)
	}
	return ""
}

// checkRanges: spans never overlap, and what covers the keyspace changes only by removes.
func (w *world) checkRanges() string {
	var ranges []span.Range
	for _, s := range w.all() {
		ranges = append(ranges, s.Range)
	}
	if i, j, ok := span.Overlapping(ranges); ok {
		return fmt.Sprintf("spans overlap: %v and %v", ranges[i], ranges[j])
	}
	w.eachHistory(func(h record.History) {
		if h.Intent.Kind == record.KindRemove && h.Outcome == record.OutcomeDone {
			ranges = append(ranges, h.Ranges...)
		}
	})
	if w.covered.End != "" && !span.Covers(ranges, w.covered) {
		return fmt.Sprintf("%v is not covered by %v", w.covered, ranges)
	}
	return ""
}
