package audit

import (
	"strings"
	"testing"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

const alphabet = "abcdefgh"

// drawRange draws a range over one-letter keys.
func drawRange(t *rapid.T) span.Range {
	i := rapid.IntRange(0, len(alphabet)-1).Draw(t, "start")
	j := rapid.IntRange(i+1, len(alphabet)).Draw(t, "end")
	r := span.Range{Start: alphabet[i : i+1]}
	if j < len(alphabet) {
		r.End = alphabet[j : j+1]
	}
	return r
}

// The highest token of a range is that of its keys, looked at one by one.
func TestHighestIsThatOfTheKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, model := newHighest[int](), map[string]uint64{}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			r, token := drawRange(t), uint64(rapid.IntRange(1, 9).Draw(t, "token"))
			h.raise(r, token, int(token))
			want, asked := uint64(0), drawRange(t)
			for _, key := range strings.Split(alphabet, "") {
				if r.Contains(key) {
					model[key] = max(model[key], token)
				}
				if asked.Contains(key) {
					want = max(want, model[key])
				}
			}
			got, found := h.max(asked)
			if got.token != want || found != (want > 0) || got.note != int(want) {
				t.Fatalf("max of %s is %d noted %d, want %d", asked, got.token, got.note, want)
			}
		}
	})
}

// The sweep finds two owners exactly if some pair of tenures overlaps in time and keys, and counts every key's openings.
func TestSweepFindsWhatPairsShow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ts []tenure
		for range rapid.IntRange(1, 8).Draw(t, "tenures") {
			from := rapid.Int64Range(0, 40).Draw(t, "from")
			end := from + rapid.Int64Range(1, 15).Draw(t, "length")
			l := eventLine{At: from, keys: drawRange(t), Token: uint64(len(ts))}
			ts = append(ts, tenure{first: l, last: l, from: from, end: end})
		}
		sortTenures(ts)
		want := false
		for i, a := range ts {
			for _, b := range ts[:i] {
				want = want || a.from < b.end && b.from < a.end && a.first.keys.Overlaps(b.first.keys)
			}
		}
		if got := len(twoOwners(ts)) > 0; got != want {
			t.Fatalf("two owners: %v, want %v: %v", got, want, ts)
		}
		openings := map[string]int{}
		for _, s := range gaps("k", ts) {
			for _, key := range strings.Split(alphabet, "") {
				if s.Range.Contains(key) {
					openings[key] += s.Openings
				}
			}
		}
		for _, key := range strings.Split(alphabet, "") {
			n := 0
			for _, x := range ts {
				if x.first.keys.Contains(key) {
					n++
				}
			}
			if openings[key] != n {
				t.Fatalf("key %s was opened %d times, not %d", key, n, openings[key])
			}
		}
	})
}

// One revision may come in several answers, and what comes after the end is not judged.
func TestAnswersAreJoinedAndEnd(t *testing.T) {
	w := newWorld(t)
	w.apply(w.lead())
	span1 := record.EncodeSpan(record.Span{Range: span.Range{End: "m"}})
	half := func(key string, value []byte, rev int64) clientv3.WatchResponse {
		return clientv3.WatchResponse{Events: []*clientv3.Event{{
			Type: clientv3.EventTypePut, Kv: &mvccpb.KeyValue{Key: []byte(key), Value: value, CreateRevision: rev, ModRevision: rev},
		}}}
	}
	x := w.begin(1)
	r := &replay{layout: w.layout, auditor: New(w.layout, ""), last: 6}
	for _, resp := range []clientv3.WatchResponse{
		half(w.spanKey("a"), span1, 5),
		half(w.layout.Keyspace(ks), x.puts[w.layout.Keyspace(ks)], 5),
		half(w.spanKey("b"), span1, 7), // overlaps, after the end
	} {
		if err := r.answer(resp); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.report(); !got.OK || r.reached != 6 || r.auditor.Revision() != 5 {
		t.Errorf("reached %d: %+v", r.reached, got)
	}
	if err := r.answer(clientv3.WatchResponse{Canceled: true}); err == nil {
		t.Error("a watch that etcd ended")
	}
}
