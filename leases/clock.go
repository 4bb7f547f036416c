package leases

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Clock tells the time since some fixed moment. It never goes back, and it should go on while the machine is suspended.
type Clock func() time.Duration

// Boottime is CLOCK_BOOTTIME: the time since the machine started, suspends included. Go's own clock and timers stand
// still in a suspend, so by them a lease of five seconds would seem to hold for a whole night.
func Boottime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Every Linux since 2.6.39 has this clock; without it no promise of this package can be kept.
		panic(fmt.Sprintf("clock_gettime(CLOCK_BOOTTIME): %v", err))
	}
	return time.Duration(ts.Nano())
}

// Virtual returns a clock for tests that follows package time, so it is virtual in a synctest bubble.
func Virtual() Clock {
	start := time.Now()
	return func() time.Duration { return time.Hour + time.Since(start) }
}
