package audit

import (
	"testing"
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// standard is a keyspace of two spans, a up to m and b from there, both owned by n1; n2 is there, too.
func standard(tb testing.TB) *world {
	w := newWorld(tb)
	w.apply(w.lead())
	w.apply(w.start("n1"), w.start("n2"))
	w.apply(w.begin(2))
	w.apply(w.newSpan("a", span.Range{End: "m"}))
	w.apply(w.newSpan("b", span.Range{Start: "m"}))
	w.apply(w.complete())
	w.apply(w.claims("n1", record.StageOpening, "a", "b"))
	w.apply(w.commit("a"))
	w.apply(w.commit("b"))
	w.apply(w.report("a", 10))
	return w
}

func moveClaimed(w *world) {
	w.apply(w.accept(record.KindMove, "a"))
	w.apply(w.claims("n1", record.StageClosing, "a"))
}

func moveHandedOff(w *world) {
	moveClaimed(w)
	w.apply(w.handOff("a", 20))
}

func removeClaimed(w *world) {
	w.apply(w.accept(record.KindRemove, "b"))
	w.apply(w.claims("n1", record.StageClosing, "b"))
}

func removedB(w *world) {
	removeClaimed(w)
	w.apply(w.remove("b"))
}

func splitClaimed(w *world) {
	w.apply(w.accept(record.KindSplit, "a"))
	w.apply(w.claims("n1", record.StageClosing, "a"))
}

func splitOf(at string) func(*world) *tx {
	return func(w *world) *tx {
		r := w.span("a").Range
		return w.swap([]span.ID{"a"}, []span.ID{"a0", "a1"}, []span.Range{{Start: r.Start, End: at}, {Start: at, End: r.End}})
	}
}

// swapReady makes room at the end of the keyspace and adds a span there.
func (w *world) swapReady(id span.ID, r span.Range) *tx {
	w.apply(w.accept(record.KindSplit, "b"))
	w.apply(w.claims("n1", record.StageClosing, "b"))
	w.apply(w.swap([]span.ID{"b"}, []span.ID{"b0", "b1"}, []span.Range{{Start: "m", End: r.Start}, r}))
	w.apply(w.commit("b1"))
	w.apply(w.accept(record.KindRemove, "b1"))
	w.apply(w.claims("n1", record.StageClosing, "b1"))
	w.apply(w.remove("b1"))
	return w.add(id, r)
}

// removeAll deletes the keyspace as a whole.
func (w *world) removeAll() *tx {
	k := w.keyspace()
	k.State = record.KeyspaceDeleting
	k.RangeGeneration++
	w.apply(newTx().put(w.layout.Keyspace(ks), record.EncodeKeyspace(k)))
	for _, id := range w.ids() {
		w.apply(w.accept(record.KindRemove, id))
		w.apply(w.claims("n1", record.StageClosing, id))
		w.apply(w.remove(id))
	}
	w.apply(newTx().del(w.layout.Keyspace(ks)))
	k.State = record.KeyspaceRunning
	return newTx().put(w.layout.Keyspace(ks), record.EncodeKeyspace(k))
}

// pause accepts an operator that pauses the keyspace.
func (w *world) pause() *tx {
	k := w.keyspace()
	k.State = record.KeyspacePaused
	k.RangeGeneration++
	k.Pending = &record.Intent{Operator: w.nextOperator(), Kind: record.KindKeyspace, By: record.ByUser}
	return newTx().put(w.layout.Keyspace(ks), record.EncodeKeyspace(k))
}

// paused ends it.
func (w *world) paused() *tx {
	k := w.keyspace()
	h := record.History{Intent: *k.Pending, Outcome: record.OutcomeDone, FinishedAt: time.Unix(9, 0)}
	k.Pending = nil
	return newTx().put(w.layout.Keyspace(ks), record.EncodeKeyspace(k)).put(w.layout.History(ks, h.Intent.Operator), record.EncodeHistory(h))
}

// endAll ends an operator that nobody has begun.
func (w *world) endAll(o record.Outcome, ids ...span.ID) *tx {
	x := w.finish(newTx(), o, ids...)
	for _, id := range ids {
		s := w.span(id)
		s.Intent = nil
		x.put(w.spanKey(id), record.EncodeSpan(s))
	}
	return x
}

// endedBy cancels the operator of a span for a request.
func (w *world) endedBy(request string, id span.ID) *tx {
	x := w.endAll(record.OutcomeCancelled, id)
	for k, v := range onlyHistories(w, x.puts) {
		h, _ := record.DecodeHistory(v)
		h.Cause = &record.Cause{By: record.ByUser, RequestID: request, Body: []byte(request)}
		x.put(k, record.EncodeHistory(h))
	}
	return x
}

func onlyHistories(w *world, puts map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for k, v := range puts {
		if p, err := w.layout.Parse(k); err == nil && p.Operator != "" {
			out[k] = v
		}
	}
	return out
}

// operatorBefore is the last operator whose id was given out but one.
func (w *world) operatorBefore() string {
	w.seq -= 2
	defer func() { w.seq++ }()
	return w.nextOperator()
}

func rangeOf(start, end string) span.Range { return span.Range{Start: start, End: end} }
