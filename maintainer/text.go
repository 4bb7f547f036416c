package maintainer

import (
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/operator"
)

// refField names a span in the log.
func refField(r operator.Ref) zap.Field {
	return zap.String("span", r.Keyspace+"/"+string(r.ID))
}

// jitter spreads pauses, so that what failed together is not tried again together: between 3/4 and 5/4.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1)
}
