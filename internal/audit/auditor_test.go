package audit

import (
	"slices"
	"strings"
	"testing"

	"github.com/spanward/spanward/internal/record"
)

// mistake is one transaction, which is right, and one way to spoil it, which violates the named invariant; after a colon
// comes what the message must say where another rule would notice, too.
type mistake struct {
	name, want string
	setup      func(*world)
	tx         func(*world) *tx
	bad        func(*world, *tx)
}

func TestEveryInvariantCanFail(t *testing.T) {
	for _, c := range slices.Concat(coverageCases, operatorCases, ownerCases, monotoneCases) {
		t.Run(c.name, func(t *testing.T) {
			w := standard(t)
			if c.setup != nil {
				c.setup(w)
			}
			w.apply(c.tx(w))
			if vs, _ := w.auditor.Violations(); len(vs) > 0 {
				t.Fatalf("the history without the mistake is reported: %v", vs)
			}
			w = standard(t)
			if c.setup != nil {
				c.setup(w)
			}
			x := c.tx(w)
			c.bad(w, x)
			w.apply(x)
			vs, _ := w.auditor.Violations()
			if !slices.ContainsFunc(vs, as(c.want)) {
				t.Fatalf("no violation of %s in %v", c.want, vs)
			}
		})
	}
}

// as recognises a violation by "invariant" or "invariant: part of the message".
func as(want string) func(Violation) bool {
	invariant, says, _ := strings.Cut(want, ": ")
	return func(v Violation) bool { return v.Invariant == invariant && strings.Contains(v.Message, says) }
}

// A value that nobody can read is a problem as long as it is there, and nothing is concluded from it.
func TestGarbageIsAProblemAndNoViolation(t *testing.T) {
	w := standard(t)
	moveClaimed(w)
	good := newTx()
	for _, k := range []string{w.spanKey("a"), w.claimKey("a"), w.layout.Keyspace(ks), w.layout.Progress(ks, 0), w.layout.Leader()} {
		good.leased(k, w.store[k].Value, w.store[k].Lease)
		w.apply(newTx().leased(k, []byte{0xff}, w.store[k].Lease))
	}
	w.apply(newTx().put(w.layout.Root()+"what", nil).put(w.layout.NodeConfig("n1"), []byte{0xff}))
	if got := len(w.auditor.Problems()); got != 7 {
		t.Errorf("%d problems: %v", got, w.auditor.Problems())
	}
	good.del(w.layout.Root() + "what").del(w.layout.NodeConfig("n1"))
	delete(good.puts, w.layout.Leader())
	w.apply(good, w.lead())
	if got := w.auditor.Problems(); len(got) > 0 {
		t.Errorf("problems that are gone: %v", got)
	}
	w.apply(w.handOff("a", 20))
	if vs, _ := w.auditor.Violations(); len(vs) > 0 {
		t.Errorf("%v", vs)
	}
}

func TestSettled(t *testing.T) {
	for _, c := range []struct {
		name, want string
		setup      func(*world)
	}{
		{"everything runs", "", func(*world) {}},
		{"an owner whose session is over", NoResidue, func(w *world) { w.apply(w.lose("n1")) }},
		{"nobody is there at all", "", func(w *world) { w.apply(w.lose("n1"), w.lose("n2")) }},
		{"a claim whose session is over", NoResidue + ": a claim of n1", func(w *world) { moveClaimed(w); w.apply(newTx().del(w.layout.Node("n1"))) }},
		{"a claim", Ends + ": still holds", moveClaimed},
		{"a pause", Ends + ": operator", func(w *world) { w.apply(w.pause()) }},
		{"an intent", Ends, func(w *world) { w.apply(w.accept(record.KindMove, "a")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := standard(t)
			c.setup(w)
			if vs, _ := w.auditor.Violations(); len(vs) > 0 {
				t.Fatalf("before it settled: %v", vs)
			}
			w.auditor.Settle()
			vs, _ := w.auditor.Violations()
			if c.want == "" && len(vs) > 0 || c.want != "" && !slices.ContainsFunc(vs, as(c.want)) {
				t.Errorf("want %q, got %v", c.want, vs)
			}
		})
	}
}

// What stands when the history begins is judged as far as it can be.
func TestLoadJudgesWhatStands(t *testing.T) {
	for _, c := range []struct {
		name, want string
		spoil      func(w *world) *tx
	}{
		{"overlap", Coverage, func(w *world) *tx { return w.newSpan("c", rangeOf("a", "b")) }},
		{"claim without a span", NoResidue, func(w *world) *tx {
			x := w.claims("n1", record.StageOpening, "a")
			return newTx().put(w.claimKey("zz"), x.puts[w.claimKey("a")])
		}},
		{"two owners to come", OneOwner, func(w *world) *tx { return w.claims("n2", record.StageOpening, "a") }},
		{"in flight and ended", NoLoss, func(w *world) *tx {
			w.apply(w.accept(record.KindMove, "a"))
			return w.finish(newTx(), record.OutcomeDone, "a")
		}},
		{"one request twice", AtMostOnce, func(w *world) *tx {
			w.apply(w.accept(record.KindMove, "a"))
			x := w.accept(record.KindMove, "b")
			w.edit(x, "b", func(s *record.Span) { s.Intent.RequestID = w.span("a").Intent.RequestID })
			return x
		}},
		{"half a merge", OneOperator, func(w *world) *tx {
			x := w.accept(record.KindMerge, "a", "b")
			x.forget(w.spanKey("b"))
			return x
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := standard(t)
			w.apply(c.spoil(w))
			a := New(w.layout, "")
			if err := a.Load(w.rev, w.list()); err != nil {
				t.Fatal(err)
			}
			vs, _ := a.Violations()
			if len(vs) == 0 || slices.ContainsFunc(vs, func(v Violation) bool { return v.Invariant != c.want }) {
				t.Errorf("want %s, got %v", c.want, vs)
			}
		})
	}
}

func TestFeedingOutOfOrderIsRefused(t *testing.T) {
	w := standard(t)
	if err := w.auditor.Apply(w.rev, nil); err == nil {
		t.Error("a revision twice")
	}
	if err := w.auditor.Load(w.rev+1, nil); err == nil {
		t.Error("a list in the middle")
	}
}

func TestFindingsAreBounded(t *testing.T) {
	var f findings
	for i := range maxViolations + 5 {
		f.add([]Violation{{Revision: int64(i)}, {Revision: int64(i)}})
	}
	if len(f.kept) != maxViolations || f.more != 5 {
		t.Errorf("%d kept, %d more", len(f.kept), f.more)
	}
	var r recent[int]
	for i := range maxRemembered + 2 {
		r.add(i)
	}
	if r.has(0) || r.has(1) || !r.has(2) || !r.has(maxRemembered+1) || len(r.set) != maxRemembered {
		t.Errorf("remembers %d", len(r.set))
	}
}
