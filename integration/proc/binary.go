package proc

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// binaries are built once for each set of tags and removed by [Main].
var binaries = struct {
	sync.Mutex
	dir   string
	built map[string]string
}{built: map[string]string{}}

// Binary builds cmd/spanward, with the failpoint tag if asked for, and returns its path.
func Binary(tb testing.TB, failpoints bool) string {
	tb.Helper()
	tags := ""
	if failpoints {
		tags = "failpoint"
	}
	path, err := build(tags)
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

func build(tags string) (string, error) {
	binaries.Lock()
	defer binaries.Unlock()
	if path, ok := binaries.built[tags]; ok {
		return path, nil
	}
	if binaries.dir == "" {
		dir, err := os.MkdirTemp("", "spanward-bin-")
		if err != nil {
			return "", err
		}
		binaries.dir = dir
	}
	path := filepath.Join(binaries.dir, "spanward"+tags)
	cmd := exec.Command("go", "build", "-tags", tags, "-o", path, "github.com/spanward/spanward/cmd/spanward")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build spanward: %w\n%s", err, out)
	}
	binaries.built[tags] = path
	return path, nil
}

// Main runs the tests of a package and removes the binaries afterwards.
func Main(m *testing.M) int {
	code := m.Run()
	binaries.Lock()
	defer binaries.Unlock()
	if binaries.dir != "" {
		_ = os.RemoveAll(binaries.dir)
	}
	return code
}
