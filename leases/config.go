package leases

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// Limits of a session's TTL. etcd counts in whole seconds and raises anything below two to its own minimum.
const (
	MinTTL = 2 * time.Second
	MaxTTL = 10 * time.Minute
)

// Config says how long a session lasts without an answer and how hard it tries to get one.
type Config struct {
	// TTL is how long etcd keeps the session of a silent process: whole seconds, from MinTTL to MaxTTL. Shorter finds a
	// dead process sooner, longer survives longer pauses of etcd and of this process: two thirds of it, less the margin.
	TTL time.Duration
	// Margin is how long before etcd could drop the lease the right to act ends. Zero means 500 ms or TTL/5, whichever
	// is smaller. etcd never drops a lease early, and clocks drift by microseconds in one TTL, so all of the margin is
	// for the process itself: to be scheduled, to see the end (see pollInterval) and to have what it sent last arrive.
	// A garbage collection or a busy machine takes tens of milliseconds; half a second is ten times that, and still
	// leaves four fifths of the shortest TTL.
	Margin time.Duration
	// TryTimeout bounds one attempt to renew. Zero means TTL/6, which is also the maximum, so that several attempts at
	// different endpoints fit between the moment a renewal is due, at 3/10 of the TTL, and the end.
	TryTimeout time.Duration
	// Clock measures the right to act. Nil means Boottime.
	Clock Clock
	// Healthy, if not nil, is asked before each renewal; it is withheld while the answer is no. A process that makes no
	// progress loses its session that way, like one that is gone. It must not block.
	Healthy func() bool
	// Logger is told about trouble. Nil means silence.
	Logger *zap.Logger
}

func (c Config) withDefaults() Config {
	if c.Margin == 0 {
		c.Margin = min(500*time.Millisecond, c.TTL/5)
	}
	if c.TryTimeout == 0 {
		c.TryTimeout = c.TTL / 6
	}
	if c.Clock == nil {
		c.Clock = Boottime
	}
	if c.Healthy == nil {
		c.Healthy = func() bool { return true }
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.TTL < MinTTL || c.TTL > MaxTTL || c.TTL%time.Second != 0 {
		errs = append(errs, fmt.Errorf("session TTL %v: want whole seconds from %v to %v", c.TTL, MinTTL, MaxTTL))
	}
	if c.Margin < 0 || c.Margin > c.TTL/2 {
		errs = append(errs, fmt.Errorf("session margin %v: want at most half of the TTL %v", c.Margin, c.TTL))
	}
	if c.TryTimeout < 0 || c.TryTimeout > c.TTL/6 {
		errs = append(errs, fmt.Errorf("timeout of a renewal %v: want at most a sixth of the TTL %v", c.TryTimeout, c.TTL))
	}
	return errors.Join(errs...)
}

// pollInterval is how often the end of the right is looked for. A timer alone would not do: timers stand still in a
// suspend, so after one the end would be seen late by as long as the suspend took.
func (c Config) pollInterval() time.Duration {
	return min(max(c.TTL/20, 50*time.Millisecond), 250*time.Millisecond)
}

// renewInterval is how long after the last answered renewal was sent the next one is due. It is a little less than a
// third of the TTL, so that whoever expects a sign of life every third is not disappointed by the way it takes.
func (c Config) renewInterval() time.Duration { return c.TTL * 3 / 10 }
