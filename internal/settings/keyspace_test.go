package settings_test

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/internal/settings"
)

// A workload that refuses what it does not know is told of nothing else, and the settings of the keyspace stay as they are.
func TestAWorkloadSeesItsOwnSettingsOnly(t *testing.T) {
	set := map[string]string{"source": "http://a", "load": "bytes"}
	for _, s := range settings.All() {
		if s.OfKeyspace() {
			set[s.Name] = "x"
		}
	}
	n := len(set)
	if diff := gocmp.Diff(map[string]string{"source": "http://a", "load": "bytes"}, settings.OfWorkload(set)); diff != "" {
		t.Error(diff)
	}
	if len(set) != n {
		t.Errorf("%d of %d settings are left", len(set), n)
	}
}
