package world

import (
	"context"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/settings"
)

// askSettings sets what the scheduler goes by, in pairs of a name and a value; what follows is its own decision.
func askSettings(keyspace string, pairs ...string) func(*World, []string) error {
	set := map[string]string{}
	for n := 0; n < len(pairs); n += 2 {
		set[pairs[n]] = pairs[n+1]
	}
	return func(w *World, _ []string) error {
		return w.call(func(ctx context.Context) error {
			_, err := w.Control().SetConfig(ctx, &controlv1.SetConfigRequest{RequestId: "r1", Keyspace: keyspace, Set: set})
			return err
		})
	}
}

// calm has balance leave everything where it is, so that spans stay where a scenario has brought them.
func (w *World) calm() {
	w.t.Helper()
	err := w.call(func(ctx context.Context) error {
		_, err := w.Control().SetScheduler(ctx, &controlv1.SetSchedulerRequest{RequestId: "calm", Name: settings.PlannerBalance, Paused: true})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// balanced: no node has both spans.
func balanced(w *World) string {
	if text := w.unsettled(ks, 2); text != "" {
		return text
	}
	ids := w.ids(ks)
	if on := w.owner(ids[0]); on == w.owner(ids[1]) {
		return "both spans are on " + on
	}
	return ""
}
