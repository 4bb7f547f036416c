package failpoint_test

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"testing"

	"github.com/spanward/spanward/internal/failpoint"
)

func none(string) string { return "" }

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestNamesAreWellFormed(t *testing.T) {
	names := failpoint.Names()
	form := regexp.MustCompile(`^(maintainer|dispatcher)/(any|keyspace|add|remove|move|split|merge|placement|cancel|supersede|evict|node|drain|balance|load|config)/[a-z-]+/(before|after)$`)
	for _, name := range names {
		if !form.MatchString(name) {
			t.Errorf("%s is not role/operator/step/before|after", name)
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("not sorted, or one is there twice: %v", names)
	}
	for _, name := range []string{"maintainer/move/accept/before", "maintainer/any/orphan/after", "dispatcher/remove/delete/after"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is gone", name)
		}
	}
	names[0] = "changed"
	if failpoint.Names()[0] == "changed" {
		t.Error("a caller can change the registry")
	}
}

func TestNothingArmed(t *testing.T) {
	set, err := failpoint.FromEnv(none)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*failpoint.Set{nil, set, {}} {
		for _, name := range failpoint.Names() {
			if err := s.Hit(t.Context(), name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestHookDecides(t *testing.T) {
	killed := errors.New("killed")
	type key struct{}
	var seen []string
	set := failpoint.NewHook(func(ctx context.Context, name string) error {
		seen = append(seen, name)
		if ctx.Value(key{}) == "die" {
			return killed
		}
		return nil
	})
	const name = "dispatcher/move/close/before"
	if err := set.Hit(t.Context(), name); err != nil {
		t.Errorf("got %v", err)
	}
	if err := set.Hit(context.WithValue(t.Context(), key{}, "die"), name); !errors.Is(err, killed) {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(seen, []string{name, name}) {
		t.Errorf("the hook saw %v", seen)
	}
}
