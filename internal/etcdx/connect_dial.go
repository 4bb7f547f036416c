package etcdx

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// How often a lost connection is tried again. gRPC's own pauses start at a second and grow to two minutes: an etcd that
// restarts within a session's TTL would come back too late for the session.
const (
	redialFirst  = 100 * time.Millisecond
	redialMost   = 500 * time.Millisecond
	redialGrowth = 1.6
	redialJitter = 0.2
	// redialPatience is how long one attempt may take before it is given up.
	redialPatience = 3 * time.Second
)

// DialOptions are the gRPC options of every connection to etcd. Tests that make their own client use them, too.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: redialFirst, Multiplier: redialGrowth, Jitter: redialJitter, MaxDelay: redialMost},
		MinConnectTimeout: redialPatience,
	})}
}
