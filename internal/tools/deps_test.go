package tools

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	root     = "../.."
	depsPage = root + "/docs/dependencies.md"
)

// TestDependenciesAreExplained: whoever adds a dependency says why, and whoever drops one drops the reason.
func TestDependenciesAreExplained(t *testing.T) {
	why := explained(t)
	used := map[string]bool{}
	for _, line := range directives(t, root+"/go.mod", "require") {
		if !strings.HasSuffix(line, "// indirect") {
			used[strings.Fields(line)[0]] = true
		}
	}
	mods, err := filepath.Glob("*.mod")
	if err != nil || len(mods) == 0 {
		t.Fatalf("no tool modules found: %v", err)
	}
	for _, mod := range mods {
		for _, tool := range directives(t, mod, "tool") {
			used[tool] = true
		}
	}

	for _, dep := range slices.Sorted(maps.Keys(used)) {
		if why[dep] == "" {
			t.Errorf("%s: no reason given for %s; add a row that says why it is needed", depsPage, dep)
		}
	}
	for _, dep := range slices.Sorted(maps.Keys(why)) {
		if !used[dep] {
			t.Errorf("%s: %s is not a direct dependency any more; drop its row", depsPage, dep)
		}
	}
}

// explained returns the rows "| `path` | reason |" of the page.
func explained(t *testing.T) map[string]string {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| *(.*?) *\\|$")
	found := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(read(t, depsPage), -1) {
		if _, twice := found[m[1]]; twice {
			t.Errorf("%s: two rows for %s", depsPage, m[1])
		}
		found[m[1]] = m[2]
	}
	return found
}

// directives returns the arguments of one directive of a module file, given on its line or in a block.
func directives(t *testing.T, file, directive string) []string {
	t.Helper()
	var found []string
	inBlock := false
	for line := range strings.Lines(read(t, file)) {
		line = strings.TrimSpace(line)
		switch arg, single := strings.CutPrefix(line, directive+" "); {
		case single && arg == "(":
			inBlock = true
		case single:
			found = append(found, arg)
		case line == ")":
			inBlock = false
		case inBlock && line != "":
			found = append(found, line)
		}
	}
	if len(found) == 0 {
		t.Fatalf("%s: no %s directive found", file, directive)
	}
	return found
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
