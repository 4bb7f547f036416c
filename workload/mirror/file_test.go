package mirror

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

// filePair mirrors into a directory.
func filePair(t *testing.T) (*pair, string) {
	dir := t.TempDir()
	p := newPair(t, "dest", "file:"+dir)
	return p, dir
}

// lines reads one file.
func lines(t testing.TB, dir, name string) []line {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	var out []line
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", s.Text(), err)
		}
		out = append(out, l)
	}
	return out
}

// replay applies lines as a reader of the files would.
func replay(state map[string]string, ls []line) {
	for _, l := range ls {
		switch l.Op {
		case opPut:
			state[string(l.Key)] = string(l.Value)
		case opDelete:
			delete(state, string(l.Key))
		case opReset:
			for k := range state {
				if (span.Range{Start: string(l.Key), End: string(l.Value)}).Contains(k) {
					delete(state, k)
				}
			}
		}
	}
}

func TestFilesHoldEveryChange(t *testing.T) {
	p, dir := filePair(t)
	p.put("a\x00", "\xff")
	p.put("b", "1")
	in, r := p.start(all, unknown)
	p.caughtUp(r)
	if _, err := p.s.Txn(t.Context()).Then(clientv3.OpPut("c", "1"), clientv3.OpDelete("b")).Commit(); err != nil {
		t.Fatal(err)
	}
	p.put("c", "2")
	p.caughtUp(r)
	at := closed(t, in)
	want := []line{
		{3, false, opPut, []byte("a\x00"), []byte("\xff")},
		{3, true, opPut, []byte("b"), []byte("1")},
		{4, false, opPut, []byte("c"), []byte("1")},
		{4, true, opDelete, []byte("b"), []byte{}},
		{5, true, opPut, []byte("c"), []byte("2")},
	}
	if d := cmp.Diff(want, lines(t, dir, "1-1.0-1.jsonl")); d != "" {
		t.Fatal(d)
	}
	// Split, resumed: the new files go on where the old one ended.
	p.put("a", "x")
	p.put("d", "y")
	_, low := p.start(span.Range{End: "c"}, at)
	_, high := p.start(span.Range{Start: "c"}, at)
	p.caughtUp(low)
	p.caughtUp(high)
	state := map[string]string{}
	for _, name := range []string{"1-1.0-1.jsonl", "1-2.0-2.jsonl", "1-3.0-3.jsonl"} {
		replay(state, lines(t, dir, name))
	}
	sameData(t, data(t, p.s), state)
	if got := lines(t, dir, "1-2.0-2.jsonl"); len(got) != 1 || string(got[0].Key) != "a" {
		t.Errorf("resumed with %v", got)
	}
}

func TestFilesAreDumpedAgainAfterACompaction(t *testing.T) {
	p, dir := filePair(t)
	p.put("gone", "1")
	in, r := p.start(all, unknown)
	p.caughtUp(r)
	at := closed(t, in)
	del(t, p.s, "gone")
	p.put("new", "1")
	if _, err := p.s.Compact(t.Context(), p.head()); err != nil {
		t.Fatal(err)
	}
	in, r = p.start(all, at)
	p.caughtUp(r)
	closed(t, in)
	state := map[string]string{}
	replay(state, lines(t, dir, "1-1.0-1.jsonl"))
	replay(state, lines(t, dir, "1-2.0-2.jsonl"))
	sameData(t, data(t, p.s), state)
}

func TestFilesAreFencedAndMended(t *testing.T) {
	dir := t.TempDir()
	open := func(token uint64, r span.Range) (*fileSink, error) {
		s, err := openFile(t.Context(), fileConfig{dir: dir, name: "c.ks", own: ownOf(token, r), trust: everyone})
		if err != nil {
			return nil, err
		}
		t.Cleanup(s.close)
		return s.(*fileSink), nil
	}
	old, err := open(1, span.Range{})
	if err != nil {
		t.Fatal(err)
	}
	if err := old.store(t.Context(), []part{{span.Range{}, 1}}, false); err != nil {
		t.Fatal(err)
	}
	for rev := int64(2); rev < 5; rev++ {
		if err := old.apply(t.Context(), one(rev, "k", fmt.Sprint(rev))); err != nil {
			t.Fatal(err)
		}
	}
	// Its process dies within a transaction.
	if _, err := old.file.WriteString(`{"rev":5,"txn_end":false,"op":"put","key":"aw==","value":""}` + "\n" + `{"rev":5,"txn_en`); err != nil {
		t.Fatal(err)
	}
	now, err := open(2, span.Range{Start: "j", End: "m"})
	if err != nil {
		t.Fatal(err)
	}
	if got := lowest(now.seg.effective()); got != 4 {
		t.Errorf("goes on at %d, want 4", got)
	}
	if err := old.apply(t.Context(), one(6, "a", "stale")); !errors.Is(err, errFenced) {
		t.Errorf("the old owner wrote: %v", err)
	}
	if got := len(lines(t, dir, "s1-1.jsonl")); got != 3 {
		t.Errorf("%d lines are left, want 3", got)
	}
	if _, err := open(1, span.Range{}); !fault.Is(err, fault.Refused) {
		t.Errorf("an older token opened: %v", err)
	}
	// An answer of its own is lost: settling cuts the incomplete part off.
	if err := now.apply(t.Context(), one(7, "k", "7")); err != nil {
		t.Fatal(err)
	}
	if _, err := now.file.WriteString(`{"rev":8,"txn_end":false,`); err != nil {
		t.Fatal(err)
	}
	if err := now.settle(t.Context()); err != nil || now.seg.At != 7 {
		t.Errorf("settled at %d: %v", now.seg.At, err)
	}
}

func TestLastEndOfLongLines(t *testing.T) {
	for _, size := range []int{0, 1, tailBlock - 40, tailBlock, 3 * tailBlock} {
		f, err := os.Create(filepath.Join(t.TempDir(), "f"))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		for rev := int64(1); rev < 4; rev++ {
			if err := encodeGroup(&b, one(rev, "k", string(make([]byte, size)))[0], mapping{}); err != nil {
				t.Fatal(err)
			}
		}
		want := int64(b.Len())
		b.WriteString(`{"rev":9,"txn_end":false,"op":"put","key":"","value":"` + string(bytes.Repeat([]byte("A"), 4*size)))
		if _, err := f.Write(b.Bytes()); err != nil {
			t.Fatal(err)
		}
		if rev, end, err := lastEnd(f); rev != 3 || end != want || err != nil {
			t.Errorf("lines of %d bytes: revision %d ends at %d of %d: %v", size, rev, end, want, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
