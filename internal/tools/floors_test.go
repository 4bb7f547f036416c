package tools

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/spanward/spanward"

// floors is the package map. A directory belongs to the entry that is its longest prefix.
var floors = map[string]int{
	"span": 0, "keys": 0, "operator": 0, "scheduler": 0, "api": 0,
	"internal/fault": 0, "internal/record": 0, "internal/settings": 0, "internal/txn": 0,

	"leases": 1, "election": 1, "view": 1,
	"internal/etcdx": 1, "internal/failpoint": 1, "internal/rpcerr": 1,

	"maintainer": 2, "dispatcher": 2, "internal/audit": 2,

	"workload": 3, "client": 3, "web": 3, "internal/output": 3,

	"cmd": 4, "integration": 4, "examples": 4,
	"internal/etcdtest": 4, "internal/explore": 4, "internal/mutants": 4, "internal/sim": 4, "internal/tools": 4,
}

// unreachable is what a package must not depend on, however many imports lie between: whoever embeds the worker SDK
// or the client must not link an etcd server, and the pure floor must stay usable without etcd at all.
var unreachable = []struct{ from, to string }{
	{"dispatcher", "go.etcd.io/etcd/server"},
	{"dispatcher", module + "/maintainer"},
	{"client", "go.etcd.io/etcd/server"},
	{"client", module + "/maintainer"},
	{"workload", "go.etcd.io/etcd/server"},
	{"workload", module + "/maintainer"},
	{"maintainer", module + "/dispatcher"},
	{"operator", "go.etcd.io"},
	{"scheduler", "go.etcd.io"},
	{"keys", "go.etcd.io"},
	{"span", "go.etcd.io"},
}

func TestEveryPackageHasAFloor(t *testing.T) {
	for dir, imports := range graph(t) {
		from, known := floorOf(dir)
		if !known {
			t.Errorf("%s has no floor: give it one here and in .golangci.yml", dir)
		}
		for _, imp := range imports {
			to, ours := strings.CutPrefix(imp, module+"/")
			if above, _ := floorOf(to); ours && above > from {
				t.Errorf("%s (floor %d) imports %s (floor %d)", dir, from, to, above)
			}
		}
	}
}

func TestNothingIsReachedThroughOthers(t *testing.T) {
	imports := graph(t)
	for _, rule := range unreachable {
		for _, dir := range slices.Sorted(maps.Keys(imports)) {
			if !within(dir, rule.from) {
				continue
			}
			if chain := reach(imports, dir, rule.to, map[string]bool{}); chain != nil {
				t.Errorf("%s must not depend on %s: %s", dir, rule.to, strings.Join(chain, " → "))
			}
		}
	}
}

func floorOf(dir string) (floor int, known bool) {
	for ; dir != "." && dir != "/"; dir = path.Dir(dir) {
		if floor, known = floors[dir]; known {
			return floor, true
		}
	}
	return 0, false
}

// reach returns the imports that lead from dir to target, or nil.
func reach(imports map[string][]string, dir, target string, seen map[string]bool) []string {
	if seen[dir] {
		return nil
	}
	seen[dir] = true
	for _, imp := range imports[dir] {
		if within(imp, target) {
			return []string{dir, imp}
		}
		if next, ours := strings.CutPrefix(imp, module+"/"); ours {
			if chain := reach(imports, next, target, seen); chain != nil {
				return append([]string{dir}, chain...)
			}
		}
	}
	return nil
}

func within(pkg, prefix string) bool { return pkg == prefix || strings.HasPrefix(pkg, prefix+"/") }

// graph maps each directory with Go code to the imports of its files that are not tests, whatever their build tags.
func graph(t *testing.T) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); file != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "dist") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		found, err := importsOf(file)
		dir := filepath.ToSlash(rel)
		imports[dir] = append(imports[dir], found...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(imports) < 2 {
		t.Fatalf("found only %d packages below %s", len(imports), root)
	}
	return imports
}

func importsOf(file string) ([]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, spec := range parsed.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		found = append(found, imp)
	}
	return found, nil
}
