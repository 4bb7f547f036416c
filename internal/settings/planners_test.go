package settings_test

import (
	"reflect"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/scheduler"
)

// Every setting arrives where it belongs, and none is forgotten.
func TestPlannersGetTheirSettings(t *testing.T) {
	v := settings.Values{
		BalanceTolerance: 0.1, BalanceLoadTolerance: 0.2, BalanceCooldown: 3, BalanceInFlight: 4, BalanceNodeInFlight: 5, BalanceKeyspaceInFlight: 6,
		SplitLoad: 7, SplitSize: 8, SplitAfter: 9, MergeLoad: 10, MergeSize: 11, MergeAfter: 12, ReshapeMinAge: time.Duration(13), MaxSpans: 14,
	}
	balance := scheduler.BalanceConfig{CountTolerance: 0.1, LoadTolerance: 0.2, Cooldown: 3, InFlight: 4, NodeInFlight: 5, KeyspaceInFlight: 6}
	reshape := scheduler.ReshapeConfig{SplitLoad: 7, SplitSize: 8, SplitAfter: 9, MergeLoad: 10, MergeSize: 11, MergeAfter: 12, MinAge: 13, MaxSpans: 14}
	if diff := gocmp.Diff(balance, v.Balance()); diff != "" {
		t.Error(diff)
	}
	if diff := gocmp.Diff(reshape, v.Reshape()); diff != "" {
		t.Error(diff)
	}
	for _, c := range []any{v.Balance(), v.Reshape()} {
		for f, value := range reflect.ValueOf(c).Fields() {
			if value.IsZero() {
				t.Errorf("%T.%s is of no setting", c, f.Name)
			}
		}
	}
}
