package operator_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// Whatever dies, whenever, with answers lost and asks delayed: no span has two owners, nothing is forgotten while
// it runs, and once the faults end every accepted operator has ended exactly once and every span runs.
func TestNothingIsLostOrDoneTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		f := &fuzz{w: w, accepted: map[string]operator.Ref{}, removed: map[operator.Ref]bool{}}
		for _, n := range []string{"n1", "n2", "n3"} {
			w.start(n)
		}
		for _, id := range []span.ID{"s1", "s2"} {
			r := operator.Ref{Keyspace: ks, ID: id}
			f.refs = append(f.refs, r)
			w.add(r)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"":         func(t *rapid.T) { f.check(t) },
			"next":     func(t *rapid.T) { w.next(f.ref(t), f.name(t)) },
			"deliver":  func(t *rapid.T) { w.deliver(f.proc(t), f.ref(t), false) },
			"lost":     func(t *rapid.T) { w.deliver(f.proc(t), f.ref(t), true) },
			"opened":   func(t *rapid.T) { w.opened(f.proc(t), f.ref(t)) },
			"closed":   func(t *rapid.T) { w.closed(f.proc(t), f.ref(t)) },
			"openFail": func(t *rapid.T) { w.openFailed(f.proc(t), f.ref(t), "disk") },
			"move":     func(t *rapid.T) { f.accept(f.ref(t), record.KindMove, f.name(t)) },
			"remove":   func(t *rapid.T) { f.accept(f.ref(t), record.KindRemove, "") },
			"pause":    func(*rapid.T) { w.keyspace = record.KeyspacePaused },
			"resume":   func(*rapid.T) { w.keyspace = record.KeyspaceRunning },
			"broken":   func(t *rapid.T) { f.ev(t, operator.Broken{Err: "disk"}) },
			"stop":     func(t *rapid.T) { f.ev(t, operator.Stop{}) },
			"takeover": func(*rapid.T) { w.takeOver() },
			"kill":     func(t *rapid.T) { f.kill(t) },
			"expire":   func(t *rapid.T) { w.expire(f.proc(t)) }, // the process may live on: a zombie
			"start":    func(t *rapid.T) { w.start(f.name(t)) },
		})
		f.settle(rt)
		w.keyspace = record.KeyspacePaused
		f.rest(rt, func(r operator.Ref) bool { s, ok := w.span(r); return ok && !s.Owner.Nobody() })
		w.keyspace = record.KeyspaceDeleting
		f.rest(rt, func(r operator.Ref) bool { _, ok := w.span(r); return ok })
	})
}

type fuzz struct {
	w        *world
	refs     []operator.Ref
	accepted map[string]operator.Ref
	removed  map[operator.Ref]bool
}

func (f *fuzz) ref(t *rapid.T) operator.Ref { return rapid.SampledFrom(f.refs).Draw(t, "span") }
func (f *fuzz) name(t *rapid.T) string {
	return rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(t, "node")
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

func (f *fuzz) accept(r operator.Ref, k record.Kind, to string) {
	if id, ok := f.w.accept(r, k, to); ok {
		f.accepted[id] = r
		f.removed[r] = f.removed[r] || k == record.KindRemove
	}
}

func (f *fuzz) check(t *rapid.T) {
	if broken := f.w.check(); broken != "" {
		t.Fatal(broken)
	}
	ended := f.w.history()
	for id, r := range f.accepted {
		s, ok := f.w.span(r)
		inFlight := ok && s.Intent != nil && s.Intent.Operator == id
		if _, done := ended[id]; done == inFlight {
			t.Fatalf("operator %s: in flight %t, in the history %t", id, inFlight, done)
		}
	}
}

// rest lets everybody carry on, with no further fault, until nothing is left of what the keyspace shall not have.
func (f *fuzz) rest(t *rapid.T, has func(operator.Ref) bool) {
	for range 20 {
		f.round()
		f.check(t)
	}
	for _, r := range f.refs {
		if has(r) || f.w.claim(r) != nil {
			f.w.out.Reset()
			f.w.show(r)
			t.Fatalf("%s does not come to rest\n%s", r.ID, f.w.out.String())
		}
	}
}

// round lets everybody do what is due for each span.
func (f *fuzz) round() {
	for _, r := range f.refs {
		f.w.next(r, "n1")
		for _, n := range f.w.procs {
			f.w.deliver(n, r, false)
			f.w.opened(n, r)
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
	for _, r := range f.refs {
		if why := f.clean(r); why != "" {
			f.w.out.Reset()
			f.w.next(r, "n1")
			f.w.show(r)
			t.Fatalf("%s does not settle: %s\n%s", r.ID, why, f.w.out.String())
		}
	}
}

func (f *fuzz) clean(r operator.Ref) string {
	s, ok := f.w.span(r)
	if ok == f.removed[r] {
		// A remove that was accepted ends with the span gone; nothing else takes a span away.
		return fmt.Sprintf("exists %t, removed %t", ok, f.removed[r])
	}
	if !ok {
		return ""
	}
	n := f.w.present(s.Owner.Session)
	switch {
	case s.Intent != nil || f.w.claim(r) != nil:
		return "something is in flight"
	case n == nil:
		return "nobody owns it"
	case n.spans[r] == nil || n.spans[r].running == 0:
		return "its owner does not run it"
	}
	return ""
}
