package keys_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/span"
)

var genName = rapid.StringMatching(`[a-z0-9][a-z0-9._-]{0,62}`)

func layout(t rapid.TB, cluster string) keys.Layout {
	t.Helper()
	l, err := keys.New(cluster)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// genParsed draws a key of any kind, as its parts.
var genParsed = rapid.Custom(func(t *rapid.T) keys.Parsed {
	p := keys.Parsed{Kind: keys.Kind(rapid.IntRange(int(keys.Leader), int(keys.History)).Draw(t, "kind"))}
	switch p.Kind {
	case keys.Maintainer, keys.Node, keys.NodeConfig:
		p.Name = genName.Draw(t, "name")
	case keys.Keyspace, keys.Span, keys.Operator, keys.Progress, keys.History:
		p.Keyspace = genName.Draw(t, "keyspace")
	}
	switch p.Kind {
	case keys.Span, keys.Operator:
		p.Span = span.ID(genName.Draw(t, "span"))
	case keys.Progress:
		p.Bucket = rapid.Uint32().Draw(t, "bucket")
	case keys.History:
		p.Operator = genName.Draw(t, "operator")
	}
	return p
})

// build calls the one builder of the kind.
func build(l keys.Layout, p keys.Parsed) string {
	switch p.Kind {
	case keys.Leader:
		return l.Leader()
	case keys.Cluster:
		return l.Cluster()
	case keys.Config:
		return l.Config()
	case keys.Maintainer:
		return l.Maintainer(p.Name)
	case keys.Node:
		return l.Node(p.Name)
	case keys.NodeConfig:
		return l.NodeConfig(p.Name)
	case keys.Keyspace:
		return l.Keyspace(p.Keyspace)
	case keys.Span:
		return l.Span(p.Keyspace, p.Span)
	case keys.Operator:
		return l.Operator(p.Keyspace, p.Span)
	case keys.Progress:
		return l.Progress(p.Keyspace, p.Bucket)
	case keys.History:
		return l.History(p.Keyspace, p.Operator)
	}
	return "no builder for " + p.Kind.String()
}

// prefixes are those that have to hold the key, the narrowest last.
func prefixes(l keys.Layout, p keys.Parsed) []string {
	return map[keys.Kind][]string{
		keys.Leader:     {l.Root()},
		keys.Cluster:    {l.Root()},
		keys.Config:     {l.Root()},
		keys.Maintainer: {l.Root(), l.Maintainers()},
		keys.Node:       {l.Root(), l.Nodes()},
		keys.NodeConfig: {l.Root(), l.NodeConfigs()},
		keys.Keyspace:   {l.Root(), l.Keyspaces()},
		keys.Span:       {l.Root(), l.AllSpans(), l.Spans(p.Keyspace)},
		keys.Operator:   {l.Root(), l.AllOperators(), l.Operators(p.Keyspace)},
		keys.Progress:   {l.Root(), l.AllProgress(), l.ProgressOf(p.Keyspace)},
		keys.History:    {l.Root(), l.AllHistory(), l.HistoryOf(p.Keyspace)},
	}[p.Kind]
}

func TestBuildersAndParserAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := genName.Draw(t, "cluster")
		l := layout(t, name)
		want := genParsed.Draw(t, "want")
		key := build(l, want)
		if got, err := l.Parse(key); err != nil || got != want {
			t.Fatalf("%s is %+v, %v", key, got, err)
		}
		for _, prefix := range prefixes(l, want) {
			if !strings.HasPrefix(key, prefix) || !strings.HasSuffix(prefix, "/") {
				t.Fatalf("%s is not under %s", key, prefix)
			}
			if p, err := l.Parse(prefix); err == nil {
				t.Fatalf("the prefix %s is taken for %+v", prefix, p)
			}
		}
		if l.ClusterName() != name {
			t.Fatalf("ClusterName = %s", l.ClusterName())
		}
	})
}

// A key belongs to one kind and one cluster, and to the narrowest prefix of its own keyspace only.
func TestKeysDoNotCollide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few and similar names, so that one being the start of another is common.
		few := rapid.SampledFrom([]string{"a", "ab", "a-", "a.b", "0"})
		l, other := layout(t, few.Draw(t, "cluster")), layout(t, few.Draw(t, "other"))
		p, q := genParsed.Draw(t, "p"), genParsed.Draw(t, "q")
		p.Keyspace, q.Keyspace = rename(few, t, p.Keyspace), rename(few, t, q.Keyspace)
		if (build(l, p) == build(other, q)) != (p == q && l == other) {
			t.Fatalf("%s and %s", build(l, p), build(other, q))
		}
		ours := prefixes(l, p)
		if strings.HasPrefix(build(l, q), ours[len(ours)-1]) && len(ours) > 1 && (q.Kind != p.Kind || len(ours) > 2 && q.Keyspace != p.Keyspace) {
			t.Fatalf("%s is seen by a watch of %s", build(l, q), ours[len(ours)-1])
		}
		if l != other {
			if _, err := other.Parse(build(l, p)); !errors.Is(err, keys.ErrForeign) {
				t.Fatalf("%v reads %s", other, build(l, p))
			}
		}
	})
}

func rename(few *rapid.Generator[string], t *rapid.T, ks string) string {
	if ks == "" {
		return ""
	}
	return few.Draw(t, "rename")
}

// Whatever Parse accepts is spelled in the one way in which the builders spell it.
func TestParseAcceptsOneSpelling(t *testing.T) {
	pieces := rapid.SampledFrom([]string{"/", "0", "1", "f", "A", "+", "0x", "_", "-", ".", " ", "\x00", "é", "nodes/", "leader"})
	rapid.Check(t, func(t *rapid.T) {
		l := layout(t, "c")
		// A good key that is missing a part, or has one too many.
		key := build(l, genParsed.Draw(t, "good"))
		from := rapid.IntRange(0, len(key)).Draw(t, "from")
		to := rapid.IntRange(from, min(len(key), from+2)).Draw(t, "to")
		for _, piece := range append(rapid.SliceOfN(pieces, 0, 2).Draw(t, "pieces"), "") {
			edited := key[:from] + piece + key[to:]
			p, err := l.Parse(edited)
			if err == nil && build(l, p) != edited {
				t.Fatalf("%q is read as %+v, which is %q", edited, p, build(l, p))
			}
			if err != nil && (!errors.Is(err, keys.ErrForeign) || p != (keys.Parsed{})) {
				t.Fatalf("%q: %+v, %v", edited, p, err)
			}
		}
	})
}

func TestForeignKeys(t *testing.T) {
	l := layout(t, "c")
	for _, key := range []string{
		"", "/", "leader", "/spanward/", "/spanward/c", "/spanward/c/", "/spanward/d/leader", "/spanward/c//leader",
		"/spanward/c/leader/", "/spanward/c/leaders", "/spanward/c/nodes/", "/spanward/c/nodes/N1", "/spanward/c/nodes/a/b",
		"/spanward/c/spans/ks", "/spanward/c/spans/ks/", "/spanward/c/spans//x", "/spanward/c/spans/ks/x/y",
		"/spanward/c/progress/ks/1", "/spanward/c/progress/ks/0001", "/spanward/c/progress/ks/00A", "/spanward/c/progress/ks/100000000",
		"/spanward/c/unknown/x", "/spanward/c/nodes/" + strings.Repeat("n", 64),
	} {
		_, err := l.Parse(key)
		if !errors.Is(err, keys.ErrForeign) || !strings.Contains(err.Error(), key) {
			t.Errorf("Parse(%q): %v", key, err)
		}
		if _, err := (keys.Layout{}).Parse(key); !errors.Is(err, keys.ErrForeign) {
			t.Errorf("the zero layout reads %q: %v", key, err)
		}
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("n", keys.MaxNameBytes)
	for _, name := range []string{"a", "0", "n1", "a.b_c-d", "812-3.0", "a-", long} {
		if err := keys.CheckName("node", name); err != nil {
			t.Errorf("%q is refused: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"":         "node: does not match [a-z0-9][a-z0-9._-]{0,62}; give a name",
		"N1":       `node "N1": does not match [a-z0-9][a-z0-9._-]{0,62}; use lower-case`,
		"a/b":      `node "a/b": does not match`,
		"-a":       `; start with a lower-case letter or a digit`,
		".":        `; start with`,
		"ä":        `node "ä": does not match`,
		"a\n":      `node "a\n": does not match`,
		long + "n": `; use at most 63 characters`,
	} {
		err := keys.CheckName("node", name)
		if err == nil || !strings.Contains(err.Error(), want) || !fault.Is(err, fault.InvalidName) {
			t.Errorf("CheckName(%q): %v\nwant … %s", name, err, want)
		}
	}
	if _, err := keys.New("Default"); err == nil || !strings.Contains(err.Error(), `cluster "Default"`) {
		t.Errorf("New: %v", err)
	}
}

func TestNamesAreThePattern(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		good := genName.Draw(t, "good")
		if !keys.ValidName(good) {
			t.Fatalf("%q is refused", good)
		}
		at := rapid.IntRange(0, len(good)).Draw(t, "at")
		for c := range 256 {
			other := good[:at] + string([]byte{byte(c)}) + good[at:]
			if keys.ValidName(other) != pattern.MatchString(other) {
				t.Fatalf("%q: %v", other, keys.ValidName(other))
			}
		}
	})
}
