package operator_test

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// Whatever dies, whenever, with answers lost and asks delayed: no key has two owners or none that is recorded, nothing is
// forgotten while it runs, and once the faults end every accepted operator has ended exactly once and every span runs.
func TestNothingIsLostOrDoneTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.covered = span.Range{Start: "a", End: "g"}
		f := &fuzz{w: w, accepted: map[string]bool{}, asked: map[string]bool{}}
		for _, n := range []string{"n1", "n2", "n3"} {
			w.start(n)
		}
		for id, rg := range map[span.ID]span.Range{"s1": {Start: "a", End: "c"}, "s2": {Start: "c", End: "e"}, "s3": {Start: "e", End: "g"}} {
			w.add(operator.Ref{Keyspace: ks, ID: id}, rg)
		}
		if rapid.Bool().Draw(rt, "all run") {
			f.settle(rt)
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			f.step(rt)
			f.check(rt)
		}
		f.settle(rt)
		w.keyspace = record.KeyspacePaused
		f.rest(rt, func(s operator.Span) bool { return !s.Owner.Nobody() })
		w.keyspace = record.KeyspaceDeleting
		f.rest(rt, func(operator.Span) bool { return true })
	})
}

// step is mostly what goes on by itself, sometimes a command, sometimes a fault.
func (f *fuzz) step(t *rapid.T) {
	switch n := rapid.IntRange(0, 99).Draw(t, "step"); {
	case n < 45:
		f.progress(t)
	case n < 65:
		f.w.next(f.ref(t), f.name(t))
	case n < 88:
		f.command(t)
	default:
		f.fault(t)
	}
}

// due is something that a process waits for: the answer of a transaction, or of a call into a workload.
type due struct {
	n *node
	r operator.Ref
}

// progress lets one thing happen that somebody waits for.
func (f *fuzz) progress(t *rapid.T) {
	var all []due
	for _, n := range f.w.procs {
		for r, h := range n.spans {
			if h.send != nil || h.opening != 0 || h.holding || h.closing || h.group != nil && h.group.send != nil {
				all = append(all, due{n, r})
			}
		}
	}
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, func(a, b due) int {
		return cmp.Or(cmp.Compare(a.n.session, b.n.session), cmp.Compare(a.r.ID, b.r.ID))
	})
	d := rapid.SampledFrom(all).Draw(t, "due")
	fails := rapid.IntRange(0, 9).Draw(t, "fails") == 0
	switch h := d.n.spans[d.r]; {
	case h.opening != 0 && fails:
		f.w.openFailed(d.n, d.r, "disk")
	case h.opening != 0:
		f.w.opened(d.n, d.r)
	case h.holding && fails:
		f.w.holdFailed(d.n, d.r)
	case h.holding:
		f.w.heldAt(d.n, d.r, f.position(t))
	case h.closing && fails:
		f.w.closeFailed(d.n, d.r, "disk")
	case h.closing && (h.send == nil || rapid.Bool().Draw(t, "close first")):
		f.w.closed(d.n, d.r)
	default:
		f.w.deliver(d.n, d.r, fails)
	}
}

func (f *fuzz) command(t *rapid.T) {
	switch rapid.IntRange(0, 11).Draw(t, "command") {
	case 0, 1:
		f.accept(record.Intent{Kind: record.KindMove, To: f.name(t)}, f.ref(t))
	case 2:
		f.accept(record.Intent{Kind: record.KindRemove}, f.ref(t))
	case 3, 4:
		f.split(f.ref(t))
	case 5, 6:
		f.merge(t)
	case 7, 8:
		f.w.revoke(f.busy(t), false)
	case 9, 10:
		f.asked[f.w.revoke(f.busy(t), true)] = true
	case 11:
		f.w.keyspace = rapid.SampledFrom([]record.KeyspaceState{record.KeyspacePaused, record.KeyspaceRunning}).Draw(t, "state")
	}
}

func (f *fuzz) fault(t *rapid.T) {
	switch rapid.IntRange(0, 6).Draw(t, "fault") {
	case 0:
		f.kill(t)
	case 1:
		f.w.expire(f.proc(t)) // the process may live on: a zombie
	case 2, 3:
		f.w.start(f.name(t))
	case 4:
		f.w.takeOver()
	case 5:
		f.ev(t, operator.Broken{Err: "disk"})
	case 6:
		f.ev(t, operator.Stop{})
	}
}

type fuzz struct {
	w *world
	// accepted operators, and those whose acceptance an actor was asked for.
	accepted, asked map[string]bool
}

// refs are all spans that have a record or that a process holds.
func (f *fuzz) refs() []operator.Ref {
	set := map[operator.Ref]bool{}
	for _, s := range f.w.all() {
		set[s.Ref] = true
	}
	for _, n := range f.w.procs {
		for r := range n.spans {
			set[r] = true
		}
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b operator.Ref) int { return cmp.Compare(a.ID, b.ID) })
}

func (f *fuzz) ref(t *rapid.T) operator.Ref {
	refs := f.refs()
	if len(refs) == 0 {
		return operator.Ref{Keyspace: ks, ID: "none"}
	}
	return rapid.SampledFrom(refs).Draw(t, "span")
}

// busy is a span with something in flight, if there is one.
func (f *fuzz) busy(t *rapid.T) operator.Ref {
	var refs []operator.Ref
	for _, s := range f.w.all() {
		if s.Intent != nil || f.w.claim(s.Ref) != nil {
			refs = append(refs, s.Ref)
		}
	}
	if len(refs) == 0 {
		return f.ref(t)
	}
	return rapid.SampledFrom(refs).Draw(t, "busy")
}

func (f *fuzz) name(t *rapid.T) string {
	return rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(t, "node")
}

func (f *fuzz) position(t *rapid.T) record.Position {
	if rapid.Bool().Draw(t, "can choose") {
		return record.At(rapid.Uint64Range(8, 12).Draw(t, "position"))
	}
	return record.Position{}
}

func (f *fuzz) proc(t *rapid.T) *node { return rapid.SampledFrom(f.w.procs).Draw(t, "process") }

func (f *fuzz) ev(t *rapid.T, ev operator.Event) {
	n, r := f.proc(t), f.ref(t)
	if n.spans[r] != nil {
		f.w.step(n, r, ev)
	}
}

func (f *fuzz) kill(t *rapid.T) {
	n := f.proc(t)
	f.w.stopAll(n)
	if rapid.Bool().Draw(t, "expires") {
		f.w.expire(n)
	}
}

func (f *fuzz) accept(i record.Intent, refs ...operator.Ref) {
	if id, ok := f.w.accept(i, refs...); ok {
		f.accepted[id] = true
	}
}

func (f *fuzz) split(r operator.Ref) {
	s, ok := f.w.span(r)
	if !ok || s.Range.End[0]-s.Range.Start[0] < 2 {
		return
	}
	f.accept(record.Intent{Kind: record.KindSplit, At: []string{string(s.Range.Start[0] + 1)}}, r)
}

func (f *fuzz) merge(t *rapid.T) {
	spans := f.w.all()
	slices.SortFunc(spans, func(a, b operator.Span) int { return a.Range.Compare(b.Range) })
	first := rapid.IntRange(0, 5).Draw(t, "first")
	last := first + rapid.IntRange(1, 2).Draw(t, "more")
	if last >= len(spans) {
		return
	}
	var refs []operator.Ref
	for n, s := range spans[first : last+1] {
		if n > 0 && s.Range.Start != spans[first+n-1].Range.End {
			return
		}
		refs = append(refs, s.Ref)
	}
	f.accept(record.Intent{Kind: record.KindMerge}, refs...)
}

func (f *fuzz) check(t *rapid.T) {
	if broken := f.w.check(); broken != "" {
		t.Fatal(broken)
	}
	ended := f.w.history()
	inFlight := map[string]int{}
	for _, s := range f.w.all() {
		if i := s.Intent; i != nil {
			if inFlight[i.Operator]++; !f.accepted[i.Operator] && !f.asked[i.Operator] {
				f.accepted[i.Operator] = true // by a leader, for a keyspace that is deleted
			}
		}
	}
	for id := range f.accepted {
		if _, done := ended[id]; done == (inFlight[id] > 0) {
			t.Fatalf("operator %s: in flight %t, in the history %t", id, inFlight[id] > 0, done)
		}
	}
	for id := range f.asked {
		if _, done := ended[id]; done && inFlight[id] > 0 {
			t.Fatalf("operator %s is in flight and in the history", id)
		}
	}
	for _, s := range f.w.all() {
		if i := s.Intent; i != nil && inFlight[i.Operator] != len(i.Spans) {
			t.Fatalf("operator %s is in flight on %d of its %d spans", i.Operator, inFlight[i.Operator], len(i.Spans))
		}
	}
}

// rest lets everybody carry on, with no further fault, until nothing is left of what the keyspace shall not have.
func (f *fuzz) rest(t *rapid.T, has func(operator.Span) bool) {
	for range 30 {
		f.round()
		f.check(t)
	}
	for _, s := range f.w.all() {
		if has(s) || f.w.claim(s.Ref) != nil {
			f.fail(t, s.Ref, "it does not come to rest")
		}
	}
}

func (f *fuzz) fail(t *rapid.T, r operator.Ref, why string) {
	f.w.out.Reset()
	f.w.next(r, "n1")
	f.w.showAll()
	t.Fatalf("%s: %s\n%s", r.ID, why, f.w.out.String())
}

// round lets everybody do what is due for each span.
func (f *fuzz) round() {
	for _, r := range f.refs() {
		f.w.next(r, "n1")
		for _, n := range f.w.procs {
			f.w.deliver(n, r, false)
			f.w.opened(n, r)
			f.w.heldAt(n, r, record.At(9))
			f.w.closed(n, r)
		}
	}
}

// settle lets every dead session end, every process finish what it is at, and the leader carry on, with no
// further fault; then everything must be as it was asked for.
func (f *fuzz) settle(t *rapid.T) {
	f.w.keyspace = record.KeyspaceRunning
	for range 60 {
		for _, n := range f.w.procs {
			if n.dead {
				f.w.expire(n)
			} else if f.w.present(n.session) == nil {
				f.w.stopAll(n) // a zombie notices
			}
		}
		f.w.start("n1")
		f.round()
		f.check(t)
	}
	for _, s := range f.w.all() {
		if why := f.unclean(s); why != "" {
			f.fail(t, s.Ref, why)
		}
	}
}

func (f *fuzz) unclean(s operator.Span) string {
	n := f.w.present(s.Owner.Session)
	switch {
	case s.Intent != nil || f.w.claim(s.Ref) != nil:
		return "something is in flight"
	case n == nil:
		return "nobody owns it"
	case n.spans[s.Ref] == nil || n.spans[s.Ref].running == 0:
		return "its owner does not run it"
	}
	return ""
}
