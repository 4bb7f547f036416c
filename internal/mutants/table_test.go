package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// The table cannot rot: the code of every row is there, once, and so is the test.
func TestTheTableFitsTheCode(t *testing.T) {
	names, edits := map[string]bool{}, map[string]string{}
	for _, m := range table() {
		if names[m.name] || m.name == "" || m.rule == "" {
			t.Errorf("%q: a row needs a name of its own, and a rule", m.name)
		}
		names[m.name] = true
		changed, err := m.apply(root)
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		if same := edits[string(changed)]; err == nil && same != "" {
			t.Errorf("%s does the same as %s", m.name, same)
		}
		edits[string(changed)] = m.name
		if err := testExists(filepath.Join(root, m.dir()), m.test); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// testExists looks for the function of a test. Subtests are only known when they run.
func testExists(dir, test string) error {
	name, _, _ := strings.Cut(test, "/")
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return err
	}
	decl := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name) + `\(t \*testing\.T\)`)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if decl.Match(b) {
			return nil
		}
	}
	return fmt.Errorf("%s has no test %s", dir, name)
}
