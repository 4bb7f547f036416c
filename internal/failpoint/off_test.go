//go:build !failpoint

package failpoint_test

import (
	"context"
	"strings"
	"testing"

	"github.com/spanward/spanward/internal/failpoint"
	"github.com/spanward/spanward/internal/fault"
)

// A test that arms failpoints in a binary that has none would pass for the wrong reason.
func TestUntaggedBuildRefusesTheVariable(t *testing.T) {
	_, err := failpoint.FromEnv(env(map[string]string{failpoint.EnvPoints: "maintainer/any/resign/after=exit"}))
	want := `SPANWARD_FAILPOINTS "maintainer/any/resign/after=exit": this binary is built without failpoints; unset the variable, or build with -tags failpoint`
	if err == nil || err.Error() != want || fault.ExitCode(err) != 2 || failpoint.Enabled {
		t.Errorf("got %v", err)
	}
}

// Production code must not die of a name; a test with a hook must not miss it.
func TestMisspelledNameWithoutTheTag(t *testing.T) {
	const wrong = "dispatcher/move/clsoe/before"
	var none *failpoint.Set
	if err := none.Hit(t.Context(), wrong); err != nil {
		t.Errorf("nil: %v", err)
	}
	set := failpoint.NewHook(func(context.Context, string) error { t.Error("the hook was called"); return nil })
	if err := set.Hit(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), wrong) {
		t.Errorf("hook: %v", err)
	}
}
