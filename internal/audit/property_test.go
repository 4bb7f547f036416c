package audit

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// action is something that may happen next; nil where it may not.
type action func(t *rapid.T, w *world, id span.ID) *tx

// actions are all transactions of the design, each with what it compares.
var actions = map[string]action{
	"lead": func(_ *rapid.T, w *world, _ span.ID) *tx { return w.lead() },
	"start": func(t *rapid.T, w *world, _ span.ID) *tx {
		if n := anyNode(t); w.session(n) == 0 {
			return w.start(n)
		}
		return nil
	},
	"lose": func(t *rapid.T, w *world, _ span.ID) *tx {
		if n := anyNode(t); w.session(n) != 0 {
			return w.lose(n)
		}
		return nil
	},
	"trim": func(_ *rapid.T, w *world, _ span.ID) *tx {
		if x := w.trim(); w.term() != 0 && len(x.dels) > 0 {
			return x
		}
		return nil
	},
	"node key deleted by hand": func(t *rapid.T, w *world, _ span.ID) *tx {
		if n := anyNode(t); w.session(n) != 0 {
			return newTx().del(w.layout.Node(n))
		}
		return nil
	},
	"accept": func(t *rapid.T, w *world, id span.ID) *tx {
		kind := rapid.SampledFrom([]record.Kind{record.KindMove, record.KindRemove, record.KindSplit}).Draw(t, "kind")
		if _, claimed := w.claim(id); claimed || w.span(id).Intent != nil {
			return nil
		}
		return w.accept(kind, id)
	},
	"accept merge": func(_ *rapid.T, w *world, id span.ID) *tx {
		if next := w.next(id); next != "" && w.free(id) && w.free(next) {
			return w.accept(record.KindMerge, id, next)
		}
		return nil
	},
	"open":    openAction,
	"close":   closeAction,
	"proceed": proceedAction,
	"abort": func(_ *rapid.T, w *world, id span.ID) *tx {
		if c, ok := w.claim(id); ok && c.Stage == record.StageOpening && w.session(c.Node) == c.Session {
			return w.abort(id)
		}
		return nil
	},
	"cancel": func(_ *rapid.T, w *world, id span.ID) *tx {
		s := w.span(id)
		c, ok := w.claim(id)
		if ok && c.Stage == record.StageClosing && w.session(c.Node) == c.Session && s.Intent.Kind != record.KindMerge {
			return w.cancel(id)
		}
		return nil
	},
	"supersede": func(_ *rapid.T, w *world, id span.ID) *tx {
		s := w.span(id)
		c, claimed := w.claim(id)
		if s.Intent == nil || s.Intent.Kind == record.KindMerge || claimed && (c.Stage == record.StageOpening || w.session(c.Node) != c.Session) {
			return nil
		}
		return w.supersede(id)
	},
	"end": func(_ *rapid.T, w *world, id span.ID) *tx {
		s := w.span(id)
		if _, claimed := w.claim(id); claimed || s.Intent == nil || s.Intent.HandedOff {
			return nil
		}
		ids := members(s.Intent)
		for _, id := range ids {
			if _, claimed := w.claim(id); claimed {
				return nil
			}
		}
		return w.endAll(record.OutcomeFailed, ids...)
	},
	"hand back": func(_ *rapid.T, w *world, id span.ID) *tx {
		if _, claimed := w.claim(id); !claimed && w.owned(id) {
			return w.handBack(id)
		}
		return nil
	},
	"report": func(t *rapid.T, w *world, id span.ID) *tx {
		if c, claimed := w.claim(id); !w.owned(id) || claimed && c.Stage == record.StageOpening {
			return nil
		}
		return w.report(id, w.durable(id).At+uint64(rapid.IntRange(0, 3).Draw(t, "raise")))
	},
	"drop claim": func(_ *rapid.T, w *world, id span.ID) *tx {
		if c, ok := w.claim(id); ok && w.session(c.Node) != c.Session {
			return newTx().del(w.claimKey(id))
		}
		return nil
	},
	"add": func(_ *rapid.T, w *world, _ span.ID) *tx {
		var all []span.Range
		for _, id := range w.spansOnly() {
			all = append(all, w.span(id).Range)
		}
		if holes := span.Holes(all, span.Range{}); len(holes) > 0 {
			return w.add(w.newID(), holes[0])
		}
		return nil
	},
	"garbage": func(_ *rapid.T, w *world, _ span.ID) *tx {
		return newTx().put(w.layout.Root()+"strange", []byte{1}).put(w.layout.Span(ks, "garbage"), []byte{0xff})
	},
}

func anyNode(t *rapid.T) string { return rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(t, "node") }

func members(i *record.Intent) []span.ID {
	var out []span.ID
	for _, id := range i.Spans {
		out = append(out, span.ID(id))
	}
	return out
}

func openAction(t *rapid.T, w *world, id span.ID) *tx {
	n, s := anyNode(t), w.span(id)
	if _, claimed := w.claim(id); claimed || w.session(n) == 0 || w.owned(id) && s.Owner.Session != w.session(n) {
		return nil
	}
	if w.owned(id) && s.Intent != nil {
		return nil
	}
	return w.claims(n, record.StageOpening, id)
}

// closeAction claims an accepted operator; a merge claims all its spans, if one session owns them.
func closeAction(_ *rapid.T, w *world, id span.ID) *tx {
	s := w.span(id)
	if s.Intent == nil || s.Intent.HandedOff {
		return nil
	}
	ids := []span.ID{id}
	if s.Intent.Kind == record.KindMerge {
		ids = members(s.Intent)
	}
	for _, m := range ids {
		if _, claimed := w.claim(m); claimed || !w.owned(m) || w.span(m).Owner.Session != s.Owner.Session {
			return nil
		}
	}
	return w.claims(s.Owner.Node, record.StageClosing, ids...)
}

// proceedAction is the last transaction of whatever is claimed, or the swap of a leader.
func proceedAction(t *rapid.T, w *world, id span.ID) *tx {
	s := w.span(id)
	c, claimed := w.claim(id)
	switch {
	case !claimed && s.Intent != nil && s.Intent.Kind == record.KindSplit && !w.owned(id):
		return w.anySplit(t, id)
	case !claimed || w.session(c.Node) != c.Session:
		return nil
	case c.Stage == record.StageOpening:
		return w.commit(id)
	case s.Intent.Kind == record.KindMove:
		return w.handOff(id, w.durable(id).At+1)
	case s.Intent.Kind == record.KindRemove:
		return w.remove(id)
	case s.Intent.Kind == record.KindSplit:
		return w.anySplit(t, id)
	}
	ids := members(s.Intent)
	var rs []span.Range
	for _, m := range ids {
		rs = append(rs, w.span(m).Range)
	}
	whole, err := span.Merge(rs...)
	if err != nil {
		t.Fatal(err)
	}
	return w.swap(ids, []span.ID{w.newID()}, []span.Range{whole})
}

func (w *world) anySplit(t *rapid.T, id span.ID) *tx {
	r := w.span(id).Range
	at := r.Start + rapid.StringMatching(`[a-c]{1,2}`).Draw(t, "at")
	rs, err := r.Split(at)
	if err != nil {
		return nil
	}
	return w.swap([]span.ID{id}, []span.ID{w.newID(), w.newID()}, rs)
}

func (w *world) newID() span.ID {
	w.seq++
	return span.ID(fmt.Sprintf("s%d", w.seq))
}

func (w *world) owned(id span.ID) bool {
	o := w.span(id).Owner
	return !o.Nobody() && w.session(o.Node) == o.Session
}

func (w *world) free(id span.ID) bool {
	_, claimed := w.claim(id)
	return !claimed && w.span(id).Intent == nil
}

// next is the span that begins where this one ends.
func (w *world) next(id span.ID) span.ID {
	end := w.span(id).Range.End
	for _, other := range w.spansOnly() {
		if end != "" && w.span(other).Range.Start == end {
			return other
		}
	}
	return ""
}

// random is a random history, given step by step to each, and what happened in it.
func random(t *rapid.T, tb testing.TB, each func(w *world)) (*world, map[string]int) {
	w := standard(tb)
	done := map[string]int{}
	names := slices.Sorted(maps.Keys(actions))
	// What everything else waits for comes more often.
	names = append(names, slices.Repeat([]string{"start", "accept", "open", "close", "proceed"}, 4)...)
	for range rapid.IntRange(20, 150).Draw(t, "steps") {
		ids := w.spansOnly()
		id := span.ID("")
		name := rapid.SampledFrom(names).Draw(t, "action")
		if len(ids) > 0 {
			id = rapid.SampledFrom(ids).Draw(t, "span")
		} else if name != "add" {
			continue
		}
		if x := actions[name](t, w, id); x != nil {
			w.apply(x)
			done[name]++
			each(w)
		}
	}
	return w, done
}

func (w *world) spansOnly() []span.ID {
	var out []span.ID
	for _, id := range w.ids() {
		if id != "garbage" {
			out = append(out, id)
		}
	}
	return out
}

// A history that follows the design is never reported, and neither is any later part of it.
func TestRightHistoriesAreNotReported(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		var later *Auditor
		cutAt := rapid.IntRange(1, 100).Draw(rt, "list after")
		n := 0
		w, done := random(rt, t, func(w *world) {
			n++
			switch {
			case n == cutAt:
				later = New(w.layout, "")
				if err := later.Load(w.rev, w.list()); err != nil {
					rt.Fatal(err)
				}
			case later != nil:
				if err := later.Apply(w.rev, w.last); err != nil {
					rt.Fatal(err)
				}
			}
		})
		for name, n := range done {
			seen[name] += n
		}
		for _, a := range []*Auditor{w.auditor, later} {
			if a == nil {
				continue
			}
			if vs, _ := a.Violations(); len(vs) > 0 {
				rt.Fatalf("%v", vs)
			}
		}
		if later != nil {
			compareStates(rt, w.auditor, later)
		}
	})
	for name := range actions {
		if seen[name] == 0 {
			t.Errorf("%q never happened", name)
		}
	}
}

// compareStates: what is known of the present does not depend on where an auditor began.
func compareStates(t *rapid.T, a, b *Auditor) {
	for _, d := range []string{
		cmp.Diff(a.now.entries, b.now.entries, cmp.AllowUnexported(ref{})),
		cmp.Diff(a.now.carriers, b.now.carriers, cmp.AllowUnexported(opRef{})),
		cmp.Diff(a.now.ids, b.now.ids),
		cmp.Diff(keysOf(a.now.requests), keysOf(b.now.requests), cmp.AllowUnexported(request{})),
		cmp.Diff(a.now.orderOf(ks).Len(), b.now.orderOf(ks).Len()),
		cmp.Diff(a.Problems(), b.Problems(), cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Revision" }, cmp.Ignore())),
	} {
		if d != "" {
			t.Fatal(d)
		}
	}
}

func keysOf[K comparable, V any](m map[K]V) map[K]bool {
	out := map[K]bool{}
	for k := range m {
		out[k] = true
	}
	return out
}

// A history in which one transaction is spoiled at random may be right by chance, but must never break the auditor.
func TestAnyHistoryIsBearable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := standard(t)
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			x := newTx()
			for range rapid.IntRange(1, 4).Draw(rt, "keys") {
				spoil(rt, w, x)
			}
			w.apply(x)
		}
		w.auditor.Settle()
		if err := New(w.layout, "").Load(w.rev, w.list()); err != nil {
			rt.Fatal(err)
		}
	})
}

// spoil puts a value that some key had under any key of the same kind, or deletes it.
func spoil(t *rapid.T, w *world, x *tx) {
	from, to := w.anyKey(t, "from"), w.anyKey(t, "to")
	switch rapid.IntRange(0, 3).Draw(t, "how") {
	case 0:
		x.forget(to)
		x.del(to)
	case 1:
		x.forget(to)
		x.put(to, []byte{0xff})
	default:
		x.forget(to)
		x.put(to, w.store[from].Value)
	}
}

func (w *world) anyKey(t *rapid.T, label string) string {
	list := w.list()
	if len(list) == 0 {
		return w.layout.Leader()
	}
	return rapid.SampledFrom(list).Draw(t, label).Key
}
