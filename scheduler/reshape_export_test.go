package scheduler

import (
	"time"

	"github.com/spanward/spanward/operator"
)

// ExplainReshape is what Explain has of splits and merges.
func ExplainReshape(f *Fleet, r operator.Ref, now time.Time) string {
	return f.explainReshape(f.items[r], now)
}
