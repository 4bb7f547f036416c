package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/span"
)

const ks = "k"

// world writes histories as the design says they look: every builder gives one transaction that is right, which a test
// may spoil before it is applied. It is a second reading of the design, not the code that runs.
type world struct {
	tb      testing.TB
	layout  keys.Layout
	auditor *Auditor
	rev     int64
	store   map[string]Change
	seq     int
	leases  int64
	buckets map[span.ID]uint32
	// applied sees every transaction, in order; last are the changes of the last one.
	applied func(*tx)
	last    []Change
}

// tx is one transaction: what it puts, on which lease, and what it deletes. It may be the end of a lease.
type tx struct {
	revoke int64
	puts   map[string][]byte
	leases map[string]int64
	dels   map[string]bool
}

func newTx() *tx {
	return &tx{puts: map[string][]byte{}, leases: map[string]int64{}, dels: map[string]bool{}}
}

func (x *tx) put(key string, value []byte) *tx { x.puts[key] = value; return x }
func (x *tx) leased(key string, value []byte, lease int64) *tx {
	x.leases[key] = lease
	return x.put(key, value)
}
func (x *tx) del(key string) *tx { x.dels[key] = true; return x }

// forget takes a key out of the transaction.
func (x *tx) forget(key string) {
	delete(x.puts, key)
	delete(x.dels, key)
}

func newWorld(tb testing.TB) *world {
	layout, err := keys.New("test")
	if err != nil {
		tb.Fatal(err)
	}
	return &world{tb: tb, layout: layout, auditor: New(layout, ""), rev: 1, store: map[string]Change{}, buckets: map[span.ID]uint32{}}
}

func (w *world) changes(x *tx) []Change {
	var out []Change
	for _, k := range slices.Sorted(maps.Keys(x.puts)) {
		c := Change{Key: k, Value: x.puts[k], Create: w.rev, Mod: w.rev, Lease: x.leases[k]}
		if old, ok := w.store[k]; ok {
			c.Create = old.Create
		}
		out = append(out, c)
	}
	for _, k := range slices.Sorted(maps.Keys(x.dels)) {
		out = append(out, Change{Key: k, Deleted: true, Mod: w.rev})
	}
	return out
}

func (w *world) apply(xs ...*tx) {
	w.tb.Helper()
	for _, x := range xs {
		w.rev++
		if w.applied != nil {
			w.applied(x)
		}
		changes := w.changes(x)
		w.last = changes
		if err := w.auditor.Apply(w.rev, changes); err != nil {
			w.tb.Fatal(err)
		}
		for _, c := range changes {
			if c.Deleted {
				delete(w.store, c.Key)
			} else {
				w.store[c.Key] = c
			}
		}
	}
}

func (w *world) list() []Change {
	var out []Change
	for _, k := range slices.Sorted(maps.Keys(w.store)) {
		out = append(out, w.store[k])
	}
	return out
}

func must[T any](w *world, key string, decode func([]byte) (T, error)) T {
	w.tb.Helper()
	c, ok := w.store[key]
	if !ok {
		w.tb.Fatalf("no %s", key)
	}
	v, err := decode(c.Value)
	if err != nil {
		w.tb.Fatal(err)
	}
	return v
}

func (w *world) spanKey(id span.ID) string  { return w.layout.Span(ks, id) }
func (w *world) claimKey(id span.ID) string { return w.layout.Operator(ks, id) }
func (w *world) span(id span.ID) record.Span {
	w.tb.Helper()
	return must(w, w.spanKey(id), record.DecodeSpan)
}

func (w *world) claim(id span.ID) (record.Claim, bool) {
	if _, ok := w.store[w.claimKey(id)]; !ok {
		return record.Claim{}, false
	}
	return must(w, w.claimKey(id), record.DecodeClaim), true
}

func (w *world) keyspace() record.Keyspace {
	return must(w, w.layout.Keyspace(ks), record.DecodeKeyspace)
}

func (w *world) ids() []span.ID {
	var out []span.ID
	for _, k := range slices.Sorted(maps.Keys(w.store)) {
		if id, ok := strings.CutPrefix(k, w.layout.Spans(ks)); ok {
			out = append(out, span.ID(id))
		}
	}
	return out
}

func (w *world) term() int64               { return w.store[w.layout.Leader()].Mod }
func (w *world) session(node string) int64 { return w.store[w.layout.Node(node)].Create }
func (w *world) lease(node string) int64   { return w.store[w.layout.Node(node)].Lease }

// nextOperator is a new id of the present term.
func (w *world) nextOperator() string {
	w.seq++
	return fmt.Sprintf("%d-%d", w.term(), w.seq)
}

func (w *world) lead() *tx {
	w.leases++
	l := record.Leader{Maintainer: "m", Instance: fmt.Sprint("i", w.leases)}
	return newTx().leased(w.layout.Leader(), record.EncodeLeader(l), w.leases)
}

func (w *world) start(node string) *tx {
	w.leases++
	n := record.Node{Name: node, Instance: fmt.Sprint("i", w.leases), TTL: time.Second, Lease: w.leases}
	return newTx().leased(w.layout.Node(node), record.EncodeNode(n), w.leases)
}

// lose is the end of a node's lease: everything on it goes in one revision.
func (w *world) lose(node string) *tx {
	x, lease := newTx(), w.lease(node)
	x.revoke = lease
	for k, c := range w.store {
		if c.Lease == lease {
			x.del(k)
		}
	}
	return x
}

func (w *world) begin(spans int) *tx {
	k := record.Keyspace{Workload: "gate", State: record.KeyspaceCreating, ExpectedSpans: int64(spans), CreatedBy: w.nextOperator()}
	return newTx().put(w.layout.Keyspace(ks), record.EncodeKeyspace(k))
}

func (w *world) newSpan(id span.ID, r span.Range) *tx {
	return newTx().put(w.spanKey(id), record.EncodeSpan(record.Span{Range: r}))
}

func (w *world) complete() *tx {
	k := w.keyspace()
	k.State = record.KeyspaceRunning
	k.RangeGeneration++
	h := record.History{Intent: record.Intent{Operator: k.CreatedBy, Kind: record.KindKeyspace, By: record.ByUser}, Outcome: record.OutcomeDone}
	return newTx().put(w.layout.Keyspace(ks), record.EncodeKeyspace(k)).
		put(w.layout.History(ks, k.CreatedBy), record.EncodeHistory(h))
}

func (w *world) add(id span.ID, r span.Range) *tx {
	k := w.keyspace()
	k.RangeGeneration++
	i := record.Intent{Operator: w.nextOperator(), Kind: record.KindAdd, By: record.ByUser, Spans: []string{string(id)}, RequestID: "add-" + string(id)}
	return w.newSpan(id, r).put(w.layout.Keyspace(ks), record.EncodeKeyspace(k)).
		put(w.layout.History(ks, i.Operator), record.EncodeHistory(record.History{Intent: i, Outcome: record.OutcomeDone, Ranges: []span.Range{r}}))
}

// accept puts the intent into the records of its spans.
func (w *world) accept(kind record.Kind, ids ...span.ID) *tx {
	op := w.nextOperator()
	i := record.Intent{Operator: op, Kind: kind, By: record.ByUser, RequestID: "r-" + op, Body: []byte(op)}
	for _, id := range ids {
		i.Spans = append(i.Spans, string(id))
	}
	x := newTx()
	for _, id := range ids {
		s := w.span(id)
		s.Intent = &i
		x.put(w.spanKey(id), record.EncodeSpan(s))
	}
	return x
}

// claims is the claim of one node for several spans.
func (w *world) claims(node string, stage record.Stage, ids ...span.ID) *tx {
	x := newTx()
	for _, id := range ids {
		c := record.Claim{Stage: stage, Node: node, Session: w.session(node), Term: w.term(), By: record.ByPlacement}
		if i := w.span(id).Intent; i != nil {
			c.Operator, c.Kind, c.By = i.Operator, i.Kind, i.By
		}
		x.leased(w.claimKey(id), record.EncodeClaim(c), w.lease(node))
	}
	return x
}

func (w *world) durable(id span.ID) record.Position {
	at := w.span(id).Checkpoint
	if c, ok := w.store[w.layout.Progress(ks, w.buckets[id])]; ok {
		p, _ := record.DecodeProgress(c.Value)
		if v, ok := p[id]; ok {
			at = at.Max(record.At(v))
		}
	}
	return at
}

// finish puts the history of the operator in the records of the spans.
func (w *world) finish(x *tx, o record.Outcome, ids ...span.ID) *tx {
	h := record.History{Intent: *w.span(ids[0]).Intent, Outcome: o}
	for _, id := range ids {
		h.Ranges = append(h.Ranges, w.span(id).Range)
	}
	return x.put(w.layout.History(ks, h.Intent.Operator), record.EncodeHistory(h))
}

func (w *world) commit(id span.ID) *tx {
	c, _ := w.claim(id)
	s := w.span(id)
	x := newTx().del(w.claimKey(id))
	if s.Intent != nil && s.Intent.Kind == record.KindMove {
		w.finish(x, record.OutcomeDone, id)
		s.Intent = nil
	}
	gen := uint64(0)
	if _, ok := w.store[w.layout.Cluster()]; ok {
		gen = must(w, w.layout.Cluster(), record.DecodeCluster).Generation
	}
	s.Owner = record.Owner{Node: c.Node, Session: c.Session, Token: gen<<48 | uint64(w.store[w.claimKey(id)].Mod)}
	s.Checkpoint = w.durable(id)
	return x.put(w.spanKey(id), record.EncodeSpan(s))
}

func (w *world) handOff(id span.ID, at uint64) *tx {
	s := w.span(id)
	i := *s.Intent
	i.HandedOff = true
	s.Intent, s.Owner, s.Checkpoint = &i, record.Owner{}, s.Checkpoint.Max(record.At(at))
	return newTx().del(w.claimKey(id)).put(w.spanKey(id), record.EncodeSpan(s))
}

func (w *world) handBack(id span.ID) *tx {
	s := w.span(id)
	s.Owner = record.Owner{}
	return newTx().put(w.spanKey(id), record.EncodeSpan(s))
}

func (w *world) abort(id span.ID) *tx {
	c, _ := w.claim(id)
	s := w.span(id)
	x := newTx().del(w.claimKey(id))
	if s.Owner.Session == c.Session {
		s.Owner = record.Owner{}
		x.put(w.spanKey(id), record.EncodeSpan(s))
	}
	return x
}

func (w *world) remove(id span.ID) *tx {
	return w.finish(newTx(), record.OutcomeDone, id).del(w.claimKey(id)).del(w.spanKey(id))
}

// cancel turns the claim to close into one to open again.
func (w *world) cancel(id span.ID) *tx {
	c, _ := w.claim(id)
	s := w.span(id)
	x := w.finish(newTx(), record.OutcomeCancelled, id)
	s.Intent = nil
	c.Stage, c.Operator, c.Kind = record.StageOpening, "", 0
	return x.put(w.spanKey(id), record.EncodeSpan(s)).leased(w.claimKey(id), record.EncodeClaim(c), w.lease(c.Node))
}

// supersede replaces operator and claim by those of a remove.
func (w *world) supersede(id span.ID) *tx {
	x := w.finish(newTx(), record.OutcomeCancelled, id)
	s := w.span(id)
	op := w.nextOperator()
	s.Intent = &record.Intent{Operator: op, Kind: record.KindRemove, By: record.ByUser, Spans: []string{string(id)}}
	x.put(w.spanKey(id), record.EncodeSpan(s))
	if c, ok := w.claim(id); ok {
		c.Operator, c.Kind = op, record.KindRemove
		x.leased(w.claimKey(id), record.EncodeClaim(c), w.lease(c.Node))
	}
	return x
}

// swap replaces parents by children, claimed by whoever closed the parents.
func (w *world) swap(parents []span.ID, children []span.ID, ranges []span.Range) *tx {
	c, claimed := w.claim(parents[0])
	x := w.finish(newTx(), record.OutcomeDone, parents...)
	at := w.durable(parents[0])
	for _, id := range parents {
		at = at.Min(w.durable(id))
		x.del(w.spanKey(id))
		if claimed {
			x.del(w.claimKey(id))
		}
	}
	for i, id := range children {
		x.put(w.spanKey(id), record.EncodeSpan(record.Span{Range: ranges[i], Checkpoint: at}))
		if claimed {
			mine := record.Claim{Stage: record.StageOpening, Node: c.Node, Session: c.Session, Term: c.Term, By: c.By}
			x.leased(w.claimKey(id), record.EncodeClaim(mine), w.lease(c.Node))
		}
	}
	return x
}

// report raises the progress entry of a span.
func (w *world) report(id span.ID, at uint64) *tx {
	if _, ok := w.buckets[id]; !ok {
		w.buckets[id] = uint32(len(w.buckets) % 3)
	}
	key, p := w.layout.Progress(ks, w.buckets[id]), record.Progress{}
	if c, ok := w.store[key]; ok {
		p, _ = record.DecodeProgress(c.Value)
	}
	p[id] = at
	return newTx().put(key, record.EncodeProgress(p))
}

// edit changes the span record that the transaction puts.
func (w *world) edit(x *tx, id span.ID, change func(*record.Span)) {
	s, err := record.DecodeSpan(x.puts[w.spanKey(id)])
	if err != nil {
		w.tb.Fatal(err)
	}
	change(&s)
	x.put(w.spanKey(id), record.EncodeSpan(s))
}

// editClaim changes the claim that the transaction puts.
func (w *world) editClaim(x *tx, id span.ID, change func(*record.Claim)) {
	c, err := record.DecodeClaim(x.puts[w.claimKey(id)])
	if err != nil {
		w.tb.Fatal(err)
	}
	change(&c)
	x.puts[w.claimKey(id)] = record.EncodeClaim(c)
}

// forgetHistories leaves all history entries out.
func (w *world) forgetHistories(x *tx) {
	for k := range x.puts {
		if strings.HasPrefix(k, w.layout.AllHistory()) {
			delete(x.puts, k)
		}
	}
}

// trim forgets the first of the operators that are over.
func (w *world) trim() *tx {
	for _, k := range slices.Sorted(maps.Keys(w.store)) {
		if strings.HasPrefix(k, w.layout.AllHistory()) {
			return newTx().del(k)
		}
	}
	return newTx()
}
