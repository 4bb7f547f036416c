package mirror

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

func genKey(t *rapid.T, name string) string {
	return string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 'b', '/', 0xfe, 0xff}), 0, 4).Draw(t, name))
}

func genRange(t *rapid.T, name string) span.Range {
	for {
		r := span.Range{Start: genKey(t, name+" start"), End: genKey(t, name+" end")}
		if !r.Empty() {
			return r
		}
	}
}

// Names go there and back, keep their order, and are in the mapped range exactly if the key is in the range.
func TestMappingIsAnOrderedBijection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := mapping{strip: genKey(t, "strip"), prepend: genKey(t, "prepend")}
		a, b := m.strip+genKey(t, "a"), m.strip+genKey(t, "b")
		da, ok := m.key(a)
		db, _ := m.key(b)
		if !ok {
			t.Fatalf("%q is not mirrored", a)
		}
		if back, ok := m.back(da); !ok || back != a {
			t.Fatalf("%q became %q and then %q", a, da, back)
		}
		if (a < b) != (da < db) {
			t.Fatalf("order of %q and %q changed", a, b)
		}
		r := genRange(t, "range")
		clipped, some := m.clip(r)
		if r.Contains(a) != (some && m.dest(clipped).Contains(da)) {
			t.Fatalf("%q in %v is %v, but %q in %v", a, r, r.Contains(a), da, m.dest(clipped))
		}
	})
}

func TestOwnKeysAreNotMirrored(t *testing.T) {
	for _, m := range []mapping{{}, {strip: "/spanward-mirror/x/"}, {strip: "a", prepend: "/spanward-mirror"}} {
		for _, key := range []string{ownPrefix + "x/y", "a/z"} {
			if dest, ok := m.key(key); ok && (strings.HasPrefix(dest, ownPrefix) || strings.HasPrefix(key, ownPrefix)) {
				t.Errorf("%+v mirrors %q to %q", m, key, dest)
			}
		}
	}
}

// Whatever is taken over in whatever order: every key keeps its token or gets a greater one, keeps its revision, and is in one
// segment.
func TestAbsorbKeepsEveryKey(t *testing.T) {
	keys := []string{"", "\x00", "a", "aa", "b", "ba", "c", "\xff", "\xff\xff"}
	rapid.Check(t, func(t *rapid.T) {
		var all []segment
		for token := uint64(1); token < 6; token++ {
			own := segment{ID: segmentID(token, "s"), Token: token, Range: genRange(t, "own")}
			revs, tokens := look(all, keys)
			taken := overlapping(all, own.Range, own.ID)
			all = slices.DeleteFunc(all, func(s segment) bool { return s.Range.Overlaps(own.Range) })
			own, left := absorb(own, taken, everyone)
			all = append(append(all, left...), own)
			newRevs, newTokens := look(all, keys)
			if d := cmp.Diff(revs, newRevs); d != "" {
				t.Fatalf("revisions changed by taking %v:\n%s", own.Range, d)
			}
			for _, k := range keys {
				want := tokens[k]
				if own.Range.Contains(k) {
					want = token
				}
				if newTokens[k] != want {
					t.Fatalf("token of %q is %d, want %d", k, newTokens[k], want)
				}
			}
			// It copies some hole, and moves on.
			i := len(all) - 1
			for _, h := range holes(all[i].Parts, own.Range) {
				if rapid.Bool().Draw(t, "copy") {
					all[i].Parts = with(all[i].effective(), h, int64(token*10))
				}
			}
			all[i].At = rapid.Int64Range(0, int64(token*10)).Draw(t, "at")
		}
	})
}

// look gives the revision and the token of every key; -1 and 0 where there are none.
func look(all []segment, keys []string) (map[string]int64, map[string]uint64) {
	revs, tokens := map[string]int64{}, map[string]uint64{}
	for _, k := range keys {
		revs[k] = -1
		for _, s := range all {
			if s.Range.Contains(k) {
				if tokens[k] != 0 {
					panic(fmt.Sprintf("%q is in two segments", k))
				}
				tokens[k] = s.Token
				revs[k] = revOf(s.effective(), k)
			}
		}
	}
	return revs, tokens
}

func TestSegmentsAreStoredAsTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := segment{
			ID: "x", Token: rapid.Uint64().Draw(t, "token"), Range: genRange(t, "range"), Source: rapid.Uint64().Draw(t, "source"),
			Mapping: mapping{strip: genKey(t, "strip"), prepend: genKey(t, "prepend")},
			Leased:  rapid.Bool().Draw(t, "leased"), Sealed: rapid.Uint64().Draw(t, "sealed"),
			Vacant: rapid.Bool().Draw(t, "vacant"), Span: "1-1.0", Node: "n",
		}
		for range rapid.IntRange(0, 3).Draw(t, "parts") {
			s.Parts = append(s.Parts, part{genRange(t, "part"), rapid.Int64Min(1).Draw(t, "rev")})
		}
		text, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeSegment("x", []byte(text))
		if d := cmp.Diff(s, back, cmp.AllowUnexported(mapping{})); err != nil || d != "" {
			t.Fatalf("%v\n%s", err, d)
		}
	})
}

// Groups are never reordered or split, no key is twice in a transaction, and limits hold unless one group alone breaks them.
func TestPackTakesWhatMayTravelTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var gs []group
		for i := range rapid.IntRange(1, 12).Draw(t, "groups") {
			g := group{rev: int64(i + 1)}
			for range rapid.IntRange(1, 5).Draw(t, "changes") {
				g.add(change{key: genKey(t, "key"), put: true, value: make([]byte, rapid.IntRange(0, 100).Draw(t, "size"))})
			}
			gs = append(gs, g)
		}
		n := pack(gs, mapping{}, 8, 600)
		if n < 1 {
			t.Fatal("nothing fits")
		}
		seen, ops, size := map[string]bool{}, 0, 0
		fits := func(g group) bool {
			ok := true
			for _, c := range g.changes {
				ok = ok && !seen[c.key]
			}
			return ok && ops+len(g.changes) <= 8 && size+g.bytes(mapping{}) <= 600
		}
		for i, g := range gs {
			if i > 0 && i < n && !fits(g) {
				t.Fatalf("group %d of %d does not fit", i, n)
			}
			if i == n && fits(g) {
				t.Fatalf("group %d would have fitted", i)
			}
			if i >= n {
				break
			}
			ops, size = ops+len(g.changes), size+g.bytes(mapping{})
			for _, c := range g.changes {
				seen[c.key] = true
			}
		}
	})
}

func TestGroupKeepsTheLastChangeOfAKey(t *testing.T) {
	for _, n := range []int{3, smallGroup, smallGroup + 1, 500} {
		var g group
		for i := range n {
			g.add(change{key: fmt.Sprint(i / 2), value: fmt.Append(nil, i)})
		}
		g.distinct()
		if len(g.changes) != (n+1)/2 {
			t.Errorf("%d changes of %d keys: %d left", n, (n+1)/2, len(g.changes))
		}
		for _, c := range g.changes[:len(g.changes)-1] {
			if string(c.value) != oddValue(c.key) {
				t.Errorf("key %s has value %s", c.key, c.value)
			}
		}
	}
}

// oddValue is the second of the two values that a key was given.
func oddValue(key string) string {
	var n int
	_, _ = fmt.Sscan(key, &n)
	return fmt.Sprint(2*n + 1)
}

// TestNestedKeepsEtcdsRule folds operations and counts as etcd does.
func TestNestedKeepsEtcdsRule(t *testing.T) {
	for _, n := range []int{1, 127, 128, 129, 1024, 4032, 4096, 20000} {
		ops := make([]clientv3.Op, n)
		for i := range ops {
			ops[i] = clientv3.OpPut(fmt.Sprint(i), "")
		}
		folded, ok := nested(ops, txnSlots)
		if !ok {
			t.Fatalf("%d operations do not fit", n)
		}
		leaves, err := count(folded, txnSlots)
		if err != nil || leaves != n {
			t.Errorf("%d operations became %d: %v", n, leaves, err)
		}
	}
	if _, ok := nested(make([]clientv3.Op, 1_000_000), txnSlots); ok {
		t.Error("a million operations must not fit")
	}
}

func count(ops []clientv3.Op, budget int) (int, error) {
	if len(ops) > budget {
		return 0, fmt.Errorf("%d operations in %d slots", len(ops), budget)
	}
	n := 0
	for _, op := range ops {
		if !op.IsTxn() {
			n++
			continue
		}
		_, then, _ := op.Txn()
		inner, err := count(then, budget-len(ops))
		if err != nil {
			return 0, err
		}
		n += inner
	}
	return n, nil
}

// Comparing two listings and applying what was found makes them equal, and finds nothing where they are.
func TestCompareFindsExactlyWhatDiffers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.MapOfN(rapid.StringMatching(`[a-d]{0,2}`), rapid.StringMatching(`[xy]?`), 0, 8)
		want, have := gen.Draw(t, "want"), gen.Draw(t, "have")
		result, seen := maps.Clone(have), 0
		err := compare(sequence(want), sequence(have), false, func(item) { seen++ }, func(d difference) error {
			switch d.want {
			case nil:
				if _, ok := want[d.have.key]; ok {
					t.Fatalf("%q is at the source", d.have.key)
				}
				delete(result, d.have.key)
			default:
				if v, ok := have[d.want.key]; ok && v == want[d.want.key] {
					t.Fatalf("%q is equal", d.want.key)
				}
				result[d.want.key] = string(d.want.value)
			}
			return nil
		})
		if err != nil || !maps.Equal(result, want) || seen != len(want) {
			t.Fatalf("got %v, want %v, saw %d: %v", result, want, seen, err)
		}
	})
}

func sequence(m map[string]string) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(item{key: k, value: []byte(m[k])}, nil) {
				return
			}
		}
	}
}

func TestCompareEndsWithTheErrorOfEitherSide(t *testing.T) {
	bad := errors.New("bad")
	broken := func(yield func(item, error) bool) { _ = yield(item{key: "a"}, nil) && yield(item{}, bad) }
	ok := sequence(map[string]string{"a": "", "b": "", "c": ""})
	for name, sides := range map[string][2]iter.Seq2[item, error]{"source": {broken, ok}, "destination": {ok, broken}} {
		if err := compare(sides[0], sides[1], false, func(item) {}, func(difference) error { return nil }); !errors.Is(err, bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidate(t *testing.T) {
	base := map[string]string{"source": "http://h1:2379,h2:2379", "dest": "https://h3:2379"}
	with := func(kv ...string) map[string]string {
		m := maps.Clone(base)
		for i := 0; i < len(kv); i += 2 {
			if m[kv[i]] = kv[i+1]; kv[i+1] == "" {
				delete(m, kv[i])
			}
		}
		return m
	}
	for _, tt := range []struct {
		name   string
		set    map[string]string
		ranges []span.Range
		field  string // "" if it is valid
	}{
		{"plain", base, []span.Range{{}}, ""},
		{"file", with("dest", "file:/tmp/x"), nil, ""},
		{"everything", with("source-prefix", "a/", "dest-prefix", `b\x3a`, "leases", "copy", "dest-compact", "10m", "load", "bytes", "dest-user", "u"), nil, ""},
		{"unknown setting", with("sources", "x"), nil, "sources"},
		{"no source", with("source", ""), nil, "source"},
		{"no dest", with("dest", ""), nil, "dest"},
		{"bad url", with("source", "http://"), nil, "source"},
		{"no port", with("dest", "http://host"), nil, "dest"},
		{"port that is no number", with("dest", "ftp:x"), nil, "dest"},
		{"relative directory", with("dest", "file:x"), nil, "dest"},
		{"bad escape", with("source-prefix", `\q`), nil, "source-prefix"},
		{"own prefix", with("dest-prefix", "/spanward-mirror/x"), nil, "dest-prefix"},
		{"leases", with("leases", "yes"), nil, "leases"},
		{"load", with("load", "reads"), nil, "load"},
		{"leases of files", with("leases", "copy", "dest", "file:/x"), nil, "leases"},
		{"compaction", with("dest-compact", "10"), nil, "dest-compact"},
		{"compaction of files", with("dest-compact", "10m", "dest", "file:/x"), nil, "dest-compact"},
		{"range without the prefix", with("source-prefix", "b/"), []span.Range{{Start: "b/"}, {Start: "c"}}, "range"},
		{"one etcd", with("dest", "H2:2379"), []span.Range{{}}, "range"},
		{"one etcd, other keys", with("dest", "h1:2379", "source-prefix", "a/", "dest-prefix", "b/"), []span.Range{{}}, ""},
		{"one etcd, into another range", with("dest", "h1:2379", "dest-prefix", "b"), []span.Range{{Start: "a", End: "b"}, {Start: "ba", End: "bb"}}, "range"},
		{"one etcd, out of every range", with("dest", "h1:2379", "dest-prefix", "b"), []span.Range{{Start: "a", End: "b"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Validate(tt.set, tt.ranges)
			e, ok := fault.As(err)
			if tt.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !ok || e.Field != tt.field || e.Remedy == "" {
				t.Fatalf("got %v, want a fault about %s with a remedy", err, tt.field)
			}
		})
	}
}
