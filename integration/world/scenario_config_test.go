package world

import (
	"context"
	"fmt"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/settings"
)

// askConfig changes settings of the whole cluster.
func askConfig(w *World, _ []string) error {
	return w.call(func(ctx context.Context) error {
		_, err := w.Control().SetConfig(ctx, &controlv1.SetConfigRequest{RequestId: "r1", Set: map[string]string{"settle": "700ms", "in-flight": "99"}})
		return err
	})
}

// configured: all of it is set, whoever leads now.
func configured(w *World) string {
	if text := w.unsettled(ks, 2); text != "" {
		return text
	}
	ctx, cancel := w.ctx()
	defer cancel()
	resp, err := w.Control().GetConfig(ctx, &controlv1.GetConfigRequest{})
	if err != nil {
		return err.Error()
	}
	got := map[string]string{}
	for _, v := range resp.GetConfig().GetValues() {
		if v.GetOrigin() == "cluster" && v.GetKey() != settings.PlannerSetting(settings.PlannerBalance) {
			got[v.GetKey()] = v.GetValue()
		}
	}
	if len(got) != 2 || got["settle"] != "700ms" || got["in-flight"] != "99" {
		return fmt.Sprint("configured: ", got)
	}
	return ""
}
