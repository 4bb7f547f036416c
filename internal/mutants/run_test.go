package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// small is a module with one rule and tests of it, of which one notices nothing.
var small = map[string]string{
	"go.mod": "module small\n\ngo 1.26\n",
	"a/a.go": "package a\n\nfunc Sum(a, b int) int {\n\treturn a + b\n}\n",
	"a/a_test.go": `package a

import "testing"

func TestSum(t *testing.T) {
	t.Run("zero", func(t *testing.T) { _ = Sum(0, 0) })
	t.Run("two", func(t *testing.T) {
		if Sum(1, 1) != 2 {
			t.Error("wrong")
		}
	})
}

func TestNothing(*testing.T) {}
`,
	"b/b_test.go": `package b

import "testing"

func TestRed(t *testing.T) { t.Error("always") }
`,
}

func smallModule(t *testing.T) runner {
	t.Helper()
	dir := t.TempDir()
	for name, text := range small {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return runner{root: dir, parallel: maxParallel}
}

func sum(name, instead, test string) mutant {
	return mutant{name: name, file: "a/a.go", old: "return a + b", new: instead, test: test}
}

// Only a mutant that a test has failed for counts as caught; everything else is an error that says what it was.
func TestWhatCountsAsCaught(t *testing.T) {
	r := smallModule(t)
	hangs := sum("hangs as expected", "select {}", "TestSum")
	hangs.hangs = time.Second
	list := []mutant{
		sum("caught", "return a - b", "TestSum"),
		sum("survives", "return a - b", "TestNothing"),
		sum("does not compile", "return c", "TestSum"),
		sum("no such test", "return a - b", "TestOther"),
		sum("ends the process", "panic(a)", "TestSum"),
		hangs,
		{name: "no such code", file: "a/a.go", old: "return a * b", new: "return 0", test: "TestSum"},
		{name: "code twice", file: "a/a.go", old: "int", new: "int8", test: "TestSum"},
		{name: "no such file", file: "a/c.go", old: "x", new: "y", test: "TestSum"},
	}
	want := []struct{ by, err string }{
		{by: "TestSum/two"},
		{err: "survives TestNothing"},
		{err: "undefined: c"},
		{err: "has no test TestOther"},
		{by: "TestSum/zero"},
		{by: "TestSum (does not end)"},
		{err: "0 times"},
		{err: "2 times"},
		{err: "no such file"},
	}
	n := 0
	err := r.mutants(t.Context(), list, func(res result) {
		w := want[n]
		n++
		if res.by != w.by || (res.err == nil) != (w.err == "") || w.err != "" && !strings.Contains(res.err.Error(), w.err) {
			t.Errorf("%s: caught by %q, error %v; want %q, %q", res.name, res.by, res.err, w.by, w.err)
		}
	})
	if n != len(want) || err == nil {
		t.Errorf("%d results, error %v", n, err)
	}
}

// A test that is red anyhow, or not there, proves nothing: that is found out before any mutant runs.
func TestMutantsNeedGreenTests(t *testing.T) {
	r := smallModule(t)
	for _, tt := range []struct {
		m    mutant
		want string
	}{
		{mutant{name: "red", file: "a/a.go", old: "a + b", new: "a", pkg: "b", test: "TestRed"}, "b fails without any change: TestRed"},
		{sum("absent", "return 0", "TestSum/three"), "a has no test TestSum/three"},
	} {
		err := r.unchanged(t.Context(), []mutant{tt.m})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", tt.m.name, err, tt.want)
		}
	}
}

func TestProvePrintsARowForEach(t *testing.T) {
	r := smallModule(t)
	var out bytes.Buffer
	err := prove(t.Context(), r, []mutant{sum("minus", "return a - b", "TestSum"), sum("left", "return a + 0*b", "TestNothing")}, &out)
	if err == nil || !strings.Contains(err.Error(), "1 of 2 mutants were not caught") {
		t.Errorf("error %v", err)
	}
	for _, line := range []string{"2 mutants; without them their tests pass", "a TestSum/two\n", "NOT CAUGHT: it survives TestNothing\n", "1 of 2 caught"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("not printed: %q in\n%s", line, out.String())
		}
	}
}
