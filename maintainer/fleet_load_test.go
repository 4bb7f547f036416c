package maintainer

import (
	"math"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/scheduler"
)

// Each measure takes its own number, and what was not reported, or can not be added up, is no load.
func TestLoadIsWhatTheMeasureSays(t *testing.T) {
	number := func(x float64) *float64 { return &x }
	lag := int64(1500)
	all := spanKnown{load: number(7), size: number(300), lagMS: &lag, splitKeys: []string{"m"}}
	for _, tt := range []struct {
		name, measure string
		heard         spanKnown
		load, size    float64
	}{
		{"load", settings.MeasureLoad, all, 7, 300},
		{"lag", settings.MeasureLag, all, 1500, 300},
		{"size", settings.MeasureSize, all, 300, 300},
		{"none", settings.MeasureNone, all, unknownLoad, 300},
		{"nothing reported", settings.MeasureLoad, spanKnown{}, unknownLoad, unknownLoad},
		{"no lag", settings.MeasureLag, spanKnown{load: number(7)}, unknownLoad, unknownLoad},
		{"negative", settings.MeasureLoad, spanKnown{load: number(-3), size: number(-1)}, unknownLoad, unknownLoad},
		{"not a number", settings.MeasureLoad, spanKnown{load: number(math.NaN()), size: number(math.Inf(1))}, unknownLoad, unknownLoad},
		{"idle", settings.MeasureLoad, spanKnown{load: number(0), size: number(0)}, 0, 0},
	} {
		want := scheduler.Load{Load: tt.load, Size: tt.size, SplitKeys: tt.heard.splitKeys}
		if diff := gocmp.Diff(want, loadOf(tt.heard, tt.measure)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
