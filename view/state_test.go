package view_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// The way to a state must not show in it: change by change, or all at once, or in pages, it is the same.
func TestStateDoesNotRememberItsWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var etcd store
		s := view.NewState(layout)
		for range rapid.IntRange(1, 30).Draw(t, "revisions") {
			changes := etcd.commit(drawRevision(t))
			s.Apply(etcd.revision, changes)
		}
		list := etcd.list()
		fresh := view.NewState(layout)
		cut := rapid.IntRange(0, len(list)).Draw(t, "page")
		fresh.Load(etcd.revision, list[:cut])
		fresh.Load(etcd.revision, list[cut:])
		if d := cmp.Diff(view.Dump(fresh), view.Dump(s)); d != "" {
			t.Fatalf("(-listed +followed):\n%s", d)
		}
		for _, c := range list {
			s.Apply(etcd.revision+1, []view.Change{{Key: c.Key, Deleted: true}})
		}
		empty := view.NewState(layout)
		empty.Apply(etcd.revision+1, nil)
		if d := cmp.Diff(view.Dump(empty), view.Dump(s)); d != "" && len(list) > 0 {
			t.Fatalf("residue after everything was deleted:\n%s", d)
		}
	})
}

// What the indexes answer is what going through all records gives.
func TestIndexesAgreeWithTheRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var etcd store
		s := view.NewState(layout)
		for range rapid.IntRange(1, 30).Draw(t, "revisions") {
			changes := etcd.commit(drawRevision(t))
			s.Apply(etcd.revision, changes)
		}
		want, got := newExpected(etcd.list()), newExpected(nil)
		for _, session := range s.Owners() {
			for sp := range s.OwnedBy(session) {
				got.add("owned", session, sp.Ref)
			}
		}
		for _, session := range s.Claimants() {
			for c := range s.ClaimedBy(session) {
				got.add("claimed", session, c.Ref)
			}
		}
		for sp := range s.Ownerless() {
			got.add("ownerless", "", sp.Ref)
		}
		for sp := range s.WithIntent() {
			got.add("intent", "", sp.Ref)
		}
		for _, ks := range []string{"a", "b"} {
			for _, id := range []span.ID{"1-1.0", "1-1.1", "2-1.0", "2-2.0", "2-2.1"} {
				if p := s.Durable(operator.Ref{Keyspace: ks, ID: id}); p.Known {
					got.add("durable", p.At, operator.Ref{Keyspace: ks, ID: id})
				}
			}
		}
		for _, id := range []string{"r1", "r2", "r3"} {
			if r := s.Request(id); r != nil {
				got.add("request", id, operator.Ref{})
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("(-records +indexes):\n%s", d)
		}
	})
}

// expected is what a simple pass over raw records finds.
type expected map[string][]operator.Ref

func (e expected) add(kind string, of any, ref operator.Ref) {
	key := fmt.Sprint(kind, " ", of)
	e[key] = append(e[key], ref)
	slices.SortFunc(e[key], func(a, b operator.Ref) int { return cmpRefs(a, b) })
}

func cmpRefs(a, b operator.Ref) int {
	if a.Keyspace != b.Keyspace {
		return map[bool]int{true: -1, false: 1}[a.Keyspace < b.Keyspace]
	}
	return map[bool]int{true: -1, false: 1}[a.ID < b.ID]
}

func newExpected(list []view.Change) expected {
	e := expected{}
	positions := map[operator.Ref]record.Position{}
	requests := map[string]bool{}
	request := func(id string) { requests[id] = true }
	for _, c := range list {
		p, err := layout.Parse(c.Key)
		if err != nil {
			continue
		}
		ref := operator.Ref{Keyspace: p.Keyspace, ID: p.Span}
		switch p.Kind {
		case keys.Span:
			sp, err := record.DecodeSpan(c.Value)
			if err != nil {
				continue
			}
			positions[ref] = positions[ref].Max(sp.Checkpoint)
			if sp.Owner.Nobody() {
				e.add("ownerless", "", ref)
			} else {
				e.add("owned", sp.Owner.Session, ref)
			}
			if sp.Intent != nil {
				e.add("intent", "", ref)
				request(sp.Intent.RequestID)
			}
		case keys.Operator:
			if cl, err := record.DecodeClaim(c.Value); err == nil {
				e.add("claimed", cl.Session, ref)
			}
		case keys.Progress:
			bucket, _ := record.DecodeProgress(c.Value)
			for id, at := range bucket {
				ref.ID = id
				positions[ref] = positions[ref].Max(record.At(at))
			}
		case keys.History:
			if h, err := record.DecodeHistory(c.Value); err == nil {
				request(h.Intent.RequestID)
				if h.Cause != nil {
					request(h.Cause.RequestID)
				}
			}
		case keys.Keyspace:
			if ks, err := record.DecodeKeyspace(c.Value); err == nil {
				listed := false
				for _, r := range ks.Requests {
					request(r.ID)
					listed = listed || ks.Pending != nil && r.ID == ks.Pending.RequestID
				}
				if ks.Pending != nil && !listed {
					request(ks.Pending.RequestID)
				}
			}
		case keys.Config:
			if cfg, err := record.DecodeConfig(c.Value); err == nil {
				for _, r := range cfg.Requests {
					request(r.ID)
				}
			}
		case keys.NodeConfig:
			if nc, err := record.DecodeNodeConfig(c.Value); err == nil {
				for _, r := range nc.Requests {
					request(r.ID)
				}
			}
		}
	}
	for ref, p := range positions {
		if p.Known {
			e.add("durable", p.At, ref)
		}
	}
	delete(requests, "")
	for id := range requests {
		e.add("request", id, operator.Ref{})
	}
	return e
}

func TestLookup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Cut the whole range at random keys, then take some of the pieces out.
		cuts := rapid.SliceOfNDistinct(rapid.StringN(1, 3, 3), 0, 6, rapid.ID[string]).Draw(t, "cuts")
		slices.Sort(cuts)
		var changes []view.Change
		var ranges []span.Range
		for i, start := range append([]string{""}, cuts...) {
			end := ""
			if i < len(cuts) {
				end = cuts[i]
			}
			if r := (span.Range{Start: start, End: end}); rapid.IntRange(0, 3).Draw(t, "hole") > 0 {
				ranges = append(ranges, r)
				changes = append(changes, view.Change{
					Key: layout.Span("a", span.ID(fmt.Sprint("s", i))), Value: record.EncodeSpan(record.Span{Range: r}), Mod: 2,
				})
			}
		}
		s := view.NewState(layout)
		s.Apply(2, changes)
		key := rapid.OneOf(rapid.StringN(0, 3, 3), rapid.SampledFrom(append(cuts, ""))).Draw(t, "key")
		i := slices.IndexFunc(ranges, func(r span.Range) bool { return r.Contains(key) })
		switch found := s.Lookup("a", key); {
		case found == nil && i >= 0:
			t.Fatalf("%q is in %v, and not found", key, ranges[i])
		case found != nil && (i < 0 || found.Range != ranges[i]):
			t.Fatalf("%q found in %v", key, found.Range)
		}
		to := rapid.StringN(0, 3, 3).Draw(t, "to")
		asked := span.Range{Start: key, End: to}
		if asked.Empty() {
			return
		}
		var want, got []span.Range
		for _, r := range ranges {
			if r.Overlaps(asked) {
				want = append(want, r)
			}
		}
		for sp := range s.Overlapping("a", asked) {
			got = append(got, sp.Range)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("overlapping %v:\n%s", asked, d)
		}
	})
}

func put(key string, value []byte, mod int64) view.Change {
	return view.Change{Key: key, Value: value, Create: mod, Mod: mod}
}

func TestGarbageIsQuarantinedAndComesBack(t *testing.T) {
	s := view.NewState(layout)
	ref := operator.Ref{Keyspace: "a", ID: "1-1.0"}
	good := record.EncodeSpan(record.Span{Range: span.Range{Start: "b", End: "c"}})
	s.Apply(2, []view.Change{put(layout.Span("a", ref.ID), good, 2)})
	d := s.Apply(3, []view.Change{put(layout.Span("a", ref.ID), []byte("oops"), 3)})
	if s.Span(ref) != nil || s.Lookup("a", "b") != nil || s.SpanCount("a") != 0 {
		t.Error("what nobody can read still counts")
	}
	if s.QuarantinedSpans("a") != 1 || !d.Quarantine || !d.Spans[ref] {
		t.Errorf("nobody is told: %d, %+v", s.QuarantinedSpans("a"), d)
	}
	for q := range s.Quarantined() {
		if q.Since != 3 || q.Reason == "" || q.Foreign() || q.Parsed.Span != ref.ID {
			t.Errorf("%+v", q)
		}
	}
	s.Apply(4, []view.Change{put(layout.Span("a", ref.ID), good, 4)})
	if s.Lookup("a", "b") == nil || s.QuarantinedCount() != 0 || s.QuarantinedSpans("a") != 0 {
		t.Error("a repaired record stays quarantined")
	}
}

func TestRecordsUnderAnotherName(t *testing.T) {
	s := view.NewState(layout)
	s.Apply(2, []view.Change{
		put(layout.Node("n1"), record.EncodeNode(record.Node{Name: "n2", Instance: "i", TTL: 1e9}), 2),
		put(layout.Maintainer("m1"), record.EncodeMaintainer(record.Maintainer{Name: "m2", Instance: "i"}), 2),
		put(layout.History("a", "1-1"), record.EncodeHistory(record.History{
			Intent: record.Intent{Operator: "1-2", Kind: record.KindMove, By: record.ByUser}, Outcome: record.OutcomeDone,
		}), 2),
		put(layout.Root()+"stray", nil, 2),
	})
	if n := s.QuarantinedCount(); n != 4 {
		t.Errorf("%d of 4 are quarantined", n)
	}
}

// A node key that was deleted and made again between two looks is another session, and the first one is gone.
func TestANewSessionEndsTheOld(t *testing.T) {
	s := view.NewState(layout)
	node := record.EncodeNode(record.Node{Name: "n1", Instance: "i", TTL: 1e9})
	s.Apply(2, []view.Change{put(layout.Node("n1"), node, 2)})
	d := s.Apply(9, []view.Change{put(layout.Node("n1"), node, 9)})
	if len(d.Gone) != 1 || d.Gone[0].Session != 2 || s.Session(2) != nil || s.Session(9) == nil {
		t.Errorf("gone %v", d.Gone)
	}
}

func TestLineage(t *testing.T) {
	s := view.NewState(layout)
	entry := func(kind record.Kind, outcome record.Outcome) view.Change {
		return put(layout.History("a", "3-1"), record.EncodeHistory(record.History{
			Intent: record.Intent{
				Operator: "3-1", Kind: kind, By: record.ByUser, Spans: []string{"1-1.0"}, Results: []string{"3-1.0", "3-1.1"},
			},
			Outcome: outcome,
		}), 5)
	}
	parent := operator.Ref{Keyspace: "a", ID: "1-1.0"}
	s.Apply(5, []view.Change{entry(record.KindSplit, record.OutcomeFailed)})
	if got := s.Successors(parent); got != nil {
		t.Errorf("a split that failed made %v", got)
	}
	s.Apply(6, []view.Change{entry(record.KindSplit, record.OutcomeDone)})
	if d := cmp.Diff([]span.ID{"3-1.0", "3-1.1"}, s.Successors(parent)); d != "" {
		t.Error(d)
	}
	if s.Successors(operator.Ref{Keyspace: "a", ID: "3-1.0"}) != nil {
		t.Error("a child is its own successor")
	}
	if h := s.HistoriesOf(operator.Ref{Keyspace: "a", ID: "3-1.1"}); len(h) != 1 || s.Finished("3-1") != h[0] {
		t.Errorf("the child does not know where it came from: %v", h)
	}
}
