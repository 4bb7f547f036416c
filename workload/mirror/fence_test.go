package mirror

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

func ownOf(token uint64, r span.Range) segment {
	name := fmt.Sprint("s", token)
	return segment{ID: segmentID(token, name), Token: token, Range: r, Source: 7, Span: name, Node: "n"}
}

var everyone = trust{all: true}

func newFencer(t testing.TB) fencer {
	return fencer{kv: etcdtest.Start(t).Client(t), keys: newLayout("c", "ks")}
}

func (f fencer) sink(t testing.TB, s segment, resume bool) *etcdSink {
	t.Helper()
	seg, rev, err := f.open(t.Context(), s, trust{all: resume})
	if err != nil {
		t.Fatalf("open %v: %v", s.Range, err)
	}
	return &etcdSink{f: f, seg: seg, rev: rev, ops: batchOps, bytes: batchBytes}
}

func one(rev int64, key, value string) []group {
	return []group{{rev: rev, changes: []change{{key: key, value: []byte(value), put: true}}}}
}

// One transaction claims many spans, so a node opens neighbours with one token, all at once. They do not disturb each
// other.
func TestNeighboursWithOneToken(t *testing.T) {
	f := newFencer(t)
	var g errgroup.Group
	for i := range 8 {
		own := segment{
			ID: segmentID(7, fmt.Sprint("s", i)), Token: 7, Source: 7, Span: fmt.Sprint("s", i), Node: "n",
			Range: span.Range{Start: fmt.Sprint(i), End: fmt.Sprint(i + 1)},
		}
		g.Go(func() error {
			seg, rev, err := f.open(t.Context(), own, trust{})
			if err != nil {
				return fmt.Errorf("open %v: %w", own.Range, err)
			}
			s := &etcdSink{f: f, seg: seg, rev: rev, ops: batchOps, bytes: batchBytes}
			return s.apply(t.Context(), one(5, own.Range.Start+"k", "v"))
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// However the new range lies over the old one: the old owner can write nothing any more, not even outside of it, and
// what is outside stays fenced.
func TestNewerOpenFencesTheOlderOwner(t *testing.T) {
	f := newFencer(t)
	token := uint64(0)
	for name, r := range map[string]span.Range{
		"equal": {Start: "b", End: "y"}, "narrower": {Start: "f", End: "g"}, "wider": {}, "left": {End: "c"}, "right": {Start: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			token += 10
			old := f.sink(t, ownOf(token, span.Range{Start: "b", End: "y"}), false)
			if err := old.store(t.Context(), []part{{old.seg.Range, 1}}, false); err != nil {
				t.Fatal(err)
			}
			if err := old.apply(t.Context(), one(5, "f", "old")); err != nil {
				t.Fatal(err)
			}
			now := f.sink(t, ownOf(token+1, r), true)
			before := data(t, f.kv)
			for what, write := range map[string]func() error{
				"data":     func() error { return old.apply(t.Context(), one(6, "b", "stale")) },
				"position": func() error { return old.move(t.Context(), 7) },
				"parts":    func() error { return old.store(t.Context(), nil, false) },
				"settle":   func() error { return old.settle(t.Context()) },
				"copy":     func() error { return old.copyOps(t.Context(), []clientv3.Op{clientv3.OpPut("f", "stale")}, nil) },
			} {
				if err := write(); !errors.Is(err, errFenced) {
					t.Errorf("%s of the old owner: %v", what, err)
				}
			}
			sameData(t, before, data(t, f.kv))
			if got := revOf(now.seg.effective(), "f"); now.seg.Range.Contains("f") && got != 5 {
				t.Errorf("took over at %d, want 5", got)
			}
			if err := now.apply(t.Context(), one(6, r.Start+"k", "new")); err != nil {
				t.Errorf("the new owner: %v", err)
			}
			if _, _, err := f.open(t.Context(), ownOf(token-1, span.Range{Start: "b", End: "y"}), everyone); !fault.Is(err, fault.Refused) {
				t.Errorf("an older token opened: %v", err)
			}
		})
	}
}

// A zombie that keeps writing while it is taken over must neither keep the new owner out nor slip a write in between
// what that read and what it took.
func TestBusyOwnerIsTakenOverExactly(t *testing.T) {
	f := newFencer(t)
	old := f.sink(t, ownOf(1, span.Range{}), false)
	if err := old.store(t.Context(), []part{{span.Range{}, 1}}, false); err != nil {
		t.Fatal(err)
	}
	last, rev := int64(1), int64(1)
	hook := hookKV{f.kv, func() {
		rev++
		if err := old.apply(t.Context(), one(rev, "k", fmt.Sprint(rev))); err == nil {
			last = rev
		} else if !errors.Is(err, errFenced) {
			t.Error(err)
		}
	}}
	now := fencer{kv: hook, keys: f.keys}.sink(t, ownOf(2, span.Range{End: "x"}), true)
	if got := revOf(now.seg.effective(), "k"); got != last {
		t.Errorf("took over at %d; the old owner had written %d", got, last)
	}
	if d := data(t, f.kv)["k"]; d != fmt.Sprint(last) {
		t.Errorf("the destination has %s, want %d", d, last)
	}
}

// hookKV does something before every transaction.
type hookKV struct {
	clientv3.KV
	before func()
}

func (k hookKV) Txn(ctx context.Context) clientv3.Txn {
	k.before()
	return k.KV.Txn(ctx)
}

// Of openings at the same time, overlapping ones agree on one winner a key, and disjoint ones do not disturb each other.
func TestConcurrentOpeningsLeaveOneOwnerPerKey(t *testing.T) {
	f := newFencer(t)
	ranges := []span.Range{{}, {Start: "b", End: "d"}, {Start: "c"}, {End: "c"}, {Start: "x", End: "y"}, {Start: "c", End: "e"}}
	sinks := make([]*etcdSink, 24)
	var wg errgroup.Group
	for i := range sinks {
		wg.Go(func() error {
			s, rev, err := f.open(t.Context(), ownOf(uint64(i+1), ranges[i%len(ranges)]), everyone)
			if err == nil {
				sinks[i] = &etcdSink{f: f, seg: s, rev: rev, ops: batchOps, bytes: batchBytes}
			} else if !fault.Is(err, fault.Refused) && !errors.Is(err, errFenced) {
				return err
			}
			return nil
		})
	}
	if err := wg.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b", "c", "d", "e", "xx", "z"} {
		var writers []uint64
		for _, s := range sinks {
			if s == nil || !s.seg.Range.Contains(key) {
				continue
			}
			if err := s.apply(t.Context(), one(1, key, "v")); err == nil {
				writers = append(writers, s.seg.Token)
			} else if !errors.Is(err, errFenced) {
				t.Fatal(err)
			}
		}
		if len(writers) > 1 {
			t.Errorf("%s is written with tokens %v", key, writers)
		}
	}
	if sinks[len(sinks)-1] == nil {
		t.Error("the greatest token was refused")
	}
}

// Opening again with the same token, after an answer was lost, finds what the first try had taken.
func TestOpenIsRepeatable(t *testing.T) {
	f := newFencer(t)
	old := f.sink(t, ownOf(1, span.Range{}), false)
	if err := old.store(t.Context(), []part{{span.Range{}, 9}}, false); err != nil {
		t.Fatal(err)
	}
	var n int
	var mu sync.Mutex
	for lost := 1; lost < 5; lost++ {
		n = 0
		lossy := loseKV{f.kv, func() bool { mu.Lock(); defer mu.Unlock(); n++; return n == lost }}
		own := ownOf(uint64(lost+1), span.Range{Start: "b", End: "c"})
		if _, _, err := (fencer{kv: lossy, keys: f.keys}).open(t.Context(), own, everyone); err == nil && lost < 3 {
			t.Fatal("nothing was lost")
		}
		s := f.sink(t, own, true)
		if got := revOf(s.seg.effective(), "b"); got != 9 {
			t.Errorf("lost answer %d: position %d, want 9", lost, got)
		}
	}
	all, _, err := f.list(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ranges := make([]span.Range, len(all))
	for i, s := range all {
		ranges[i] = s.Range
	}
	if _, _, overlap := span.Overlapping(ranges); overlap || !span.Covers(ranges, span.Range{}) {
		t.Errorf("segments are %v", ranges)
	}
}

// loseKV loses answers.
type loseKV struct {
	clientv3.KV
	lose func() bool
}

func (k loseKV) Txn(ctx context.Context) clientv3.Txn { return loseTxn{k.KV.Txn(ctx), k.lose} }

type loseTxn struct {
	clientv3.Txn
	lose func() bool
}

func (t loseTxn) If(c ...clientv3.Cmp) clientv3.Txn  { t.Txn = t.Txn.If(c...); return t }
func (t loseTxn) Then(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(o...); return t }
func (t loseTxn) Else(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(o...); return t }

func (t loseTxn) Commit() (*clientv3.TxnResponse, error) {
	r, err := t.Txn.Commit()
	if t.lose() {
		return nil, errNoAnswer
	}
	return r, err
}

func TestOpenTakesOverManySegments(t *testing.T) {
	f := newFencer(t)
	for i := range 150 {
		s := f.sink(t, ownOf(uint64(i+1), span.Range{Start: fmt.Sprintf("%03d", i), End: fmt.Sprintf("%03d", i+1)}), false)
		if err := s.store(t.Context(), []part{{s.seg.Range, int64(i + 1)}}, false); err != nil {
			t.Fatal(err)
		}
	}
	s := f.sink(t, ownOf(1000, span.Range{Start: "0005", End: "149"}), true)
	if lowest(s.seg.Parts) != 1 || highest(s.seg.Parts) != 149 || len(holes(s.seg.Parts, s.seg.Range)) > 0 {
		t.Errorf("took over %v", s.seg.Parts)
	}
	all, _, err := f.list(t.Context())
	if err != nil || len(all) != 3 {
		t.Errorf("%d segments are left, want the own one and a remainder on each side: %v", len(all), err)
	}
}

func TestBrokenRecordIsNamed(t *testing.T) {
	f := newFencer(t)
	put(t, f.kv, f.keys.fence("x"), "garbage")
	_, _, err := f.open(t.Context(), ownOf(1, span.Range{}), everyone)
	if e, ok := fault.As(err); !ok || e.Value != f.keys.fence("x") {
		t.Errorf("got %v", err)
	}
}
