package scheduler_test

import (
	"slices"
	"testing"
	"time"

	"github.com/spanward/spanward/scheduler"
)

const s = time.Second

func lose(at time.Duration, names ...string) (out []scheduler.Loss) {
	for _, n := range names {
		out = append(out, scheduler.Loss{Node: n, At: at})
	}
	return out
}

func TestMassLoss(t *testing.T) {
	for _, tc := range []struct {
		name    string
		present []string
		losses  []scheduler.Loss
		now     time.Duration
		holding bool
		missing []string
	}{
		{"one of five dies", []string{"b", "c", "d", "e"}, lose(100*s, "a"), 101 * s, false, nil},
		{"two of two die: too few to tell", nil, lose(100*s, "a", "b"), 101 * s, false, nil},
		{"three of six is not more than half", []string{"d", "e", "f"}, lose(100*s, "a", "b", "c"), 101 * s, false, nil},
		{"three of five in one moment", []string{"d", "e"}, lose(100*s, "a", "b", "c"), 101 * s, true, []string{"a", "b", "c"}},
		{"three of five, one after the other", []string{"d", "e"}, append(append(lose(90*s, "a"), lose(95*s, "b")...), lose(100*s, "c")...), 101 * s, false, nil},
		{"one has come back", []string{"a", "d", "e"}, lose(100*s, "a", "b", "c"), 104 * s, true, []string{"b", "c"}},
		{"all have come back", []string{"a", "b", "c", "d", "e"}, lose(100*s, "a", "b", "c"), 104 * s, false, nil},
		{"they do not come back", []string{"d", "e"}, lose(100*s, "a", "b", "c"), 113 * s, false, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := scheduler.MassLoss(scheduler.HoldConfig{}, tc.now, tc.present, tc.losses)
			if h.Holding(tc.now) != tc.holding || tc.holding && !slices.Equal(h.Missing, tc.missing) {
				t.Fatalf("%+v, holding %v; want %v %v", h, h.Holding(tc.now), tc.holding, tc.missing)
			}
		})
	}
}
