package scheduler_test

import (
	"testing"
	"time"

	"github.com/spanward/spanward/scheduler"
)

func TestAWarmUpDoublesWithEachLoss(t *testing.T) {
	losses := []scheduler.Loss{{Node: "n1"}, {Node: "n2"}, {Node: "n1"}}
	for _, c := range []struct {
		base   time.Duration
		node   string
		losses int
		want   time.Duration
	}{
		{5 * time.Second, "n3", 3, 5 * time.Second},
		{5 * time.Second, "n2", 3, 10 * time.Second},
		{5 * time.Second, "n1", 3, 20 * time.Second},
		{5 * time.Second, "n1", 1, 10 * time.Second},
		{4 * time.Minute, "n1", 3, 10 * time.Minute},
		{time.Hour, "n1", 3, time.Hour}, // never less than what somebody has set
	} {
		if got := scheduler.WarmUp(c.base, c.node, losses[:c.losses]); got != c.want {
			t.Errorf("%s after %d losses: %v, not %v", c.node, c.losses, got, c.want)
		}
	}
}

func TestUnready(t *testing.T) {
	for _, c := range []struct {
		opening, inFlight, failing int
		want                       string
	}{
		{0, 16, 0, ""},
		{16, 16, 2, ""},
		{17, 16, 0, "catching up"},
		{0, 16, 3, "failing"},
	} {
		if got := scheduler.Unready(c.opening, c.inFlight, c.failing); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
