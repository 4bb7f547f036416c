package mirror

import (
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/span"
)

func TestCopyReconcilesAndFollows(t *testing.T) {
	p := newPair(t)
	p.put("same", "1")
	p.put("different", "new")
	p.put("missing", "1")
	p.put("bin\x00\xff\\:", "\x00\xff")
	put(t, p.d, "same", "1")
	put(t, p.d, "different", "old")
	put(t, p.d, "extra", "1")
	before := modRevision(t, p.d, "same")

	in, r := p.start(all, unknown)
	p.caughtUp(r)
	sameData(t, data(t, p.s), data(t, p.d))
	if after := modRevision(t, p.d, "same"); after != before {
		t.Error("an equal key was written again")
	}
	p.put("later", "1")
	del(t, p.s, "missing")
	p.put("empty", "")
	p.caughtUp(r)
	sameData(t, data(t, p.s), data(t, p.d))
	if r.copied != 4 {
		t.Errorf("copied %d keys, want 4", r.copied)
	}
	if at := closed(t, in); at != position(p.head()) {
		t.Errorf("closed at %v, the source is at %d", at, p.head())
	}
	p.put("after", "close")
	in, r = p.start(all, position(p.head()-1))
	p.caughtUp(r)
	sameData(t, data(t, p.s), data(t, p.d))
	if r.copied != 0 {
		t.Error("a resumed span was copied again")
	}
	closed(t, in)
}

func modRevision(t testing.TB, c *clientv3.Client, key string) int64 {
	t.Helper()
	r, err := c.Get(t.Context(), key)
	if err != nil || len(r.Kvs) == 0 {
		t.Fatalf("get %s: %v", key, err)
	}
	return r.Kvs[0].ModRevision
}

func TestResumeAfterAbortAppliesEveryChangeOnce(t *testing.T) {
	p := newPair(t)
	from := unknown
	for round := range 4 {
		in, r := p.start(all, from)
		for i := range 20 {
			p.put("hot", fmt.Sprint(round, "-", i))
			p.put(fmt.Sprint("key", i), fmt.Sprint(round))
		}
		if round > 0 {
			del(t, p.s, "key3")
		}
		eventually(t, "started", r.at(1))
		from = r.last.Checkpoint
		in.Abort()
	}
	in, r := p.start(all, from)
	p.caughtUp(r)
	closed(t, in)
	sameData(t, data(t, p.s), data(t, p.d))
	want, have := history(t, p.s, "hot"), history(t, p.d, "hot")
	// What happened before the first copy is not replayed.
	if len(have) == 0 || !strings.HasSuffix(strings.Join(want, " "), strings.Join(have, " ")) {
		t.Errorf("values at the destination are not the last ones of the source in order:\n%v\n%v", want, have)
	}
}

// history is every value that a key ever had.
func history(t testing.TB, c *clientv3.Client, key string) []string {
	t.Helper()
	rev := int64(0)
	var out []string
	for {
		r, err := c.Get(t.Context(), key, clientv3.WithRev(rev))
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Kvs) == 0 {
			return out
		}
		out = append([]string{string(r.Kvs[0].Value)}, out...)
		if rev = r.Kvs[0].ModRevision - 1; rev == 0 || r.Kvs[0].Version == 1 {
			return out
		}
	}
}

func TestTransactionsLandTogether(t *testing.T) {
	p := newPair(t)
	_, r := p.start(all, unknown)
	p.caughtUp(r)
	var ops []clientv3.Op
	for i := range 120 {
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("txn%03d", i), "v"))
	}
	inner := []clientv3.Op{clientv3.OpTxn(nil, ops[:100], nil), clientv3.OpTxn(nil, ops[100:], nil), clientv3.OpPut("top", "v")}
	if _, err := p.s.Txn(t.Context()).Then(inner...).Commit(); err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		if i%100 == 0 {
			p.put(fmt.Sprintf("many%04d", i), "v")
			continue
		}
		put(t, p.s, fmt.Sprintf("many%04d", i), "v")
	}
	del(t, p.s, "many", clientv3.WithPrefix()) // 3000 deletes in one revision
	p.caughtUp(r)
	sameData(t, data(t, p.s), data(t, p.d))
	if a, b := modRevision(t, p.d, "txn000"), modRevision(t, p.d, "top"); a != b {
		t.Errorf("one transaction landed at revisions %d and %d", a, b)
	}
}

func TestCompactedSourceIsComparedAgain(t *testing.T) {
	p := newPair(t)
	in, r := p.start(all, unknown)
	p.put("gone", "1")
	p.put("kept", "1")
	p.caughtUp(r)
	in.Abort()
	from := r.last.Checkpoint
	del(t, p.s, "gone")
	p.put("kept", "2")
	if _, err := p.s.Compact(t.Context(), p.head()); err != nil {
		t.Fatal(err)
	}
	_, r = p.start(all, from)
	p.put("later", "1")
	p.caughtUp(r)
	sameData(t, data(t, p.s), data(t, p.d))
}

func TestPrefixesAreRewritten(t *testing.T) {
	p := newPair(t, "source-prefix", "app/", "dest-prefix", `copy\x3a`)
	p.put("app/a", "1")
	p.put("other", "1")
	put(t, p.d, "copy:extra", "1")
	put(t, p.d, "unrelated", "1")
	_, r := p.start(all, unknown)
	p.put("app/b", "1")
	p.put("apple", "1")
	p.caughtUp(r)
	sameData(t, map[string]string{"copy:a": "1", "copy:b": "1", "unrelated": "1"}, data(t, p.d))

	// Another prefix is another place, whatever was copied to the first one.
	// The span's position is of the first place, so only the data can tell when the second one has caught up.
	p.set["dest-prefix"] = "second/"
	p.start(all, r.last.Checkpoint)
	eventually(t, "copied to the new prefix", func() bool {
		d := data(t, p.d)
		return d["second/a"] == "1" && d["second/b"] == "1"
	})
}

func TestValueThatCannotFitNamesTheKey(t *testing.T) {
	p := newPair(t)
	big := span.Range{Start: "a", End: "m"}
	_, bad := p.start(big, unknown)
	_, good := p.start(span.Range{Start: "m"}, unknown)
	p.caughtUp(bad)
	p.put("b:ig", strings.Repeat("x", 1<<20+512<<10-48))
	p.put("n", "1")
	p.caughtUp(good)
	eventually(t, "an error that names the key", func() bool {
		s, _ := bad.get()
		return strings.Contains(s.Error, `b\x3aig`)
	})
	if s, _ := good.get(); s.Error != "" {
		t.Errorf("another span has the error %q", s.Error)
	}
}

func TestLargestPromisedValueFits(t *testing.T) {
	p := newPair(t)
	p.put("copied", strings.Repeat("x", 1<<20+508<<10-6))
	_, r := p.start(all, unknown)
	p.caughtUp(r)
	p.put("followed", strings.Repeat("y", 1<<20+508<<10-8))
	p.caughtUp(r)
	sameData(t, data(t, p.s), data(t, p.d))
}
