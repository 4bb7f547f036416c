//go:build race

package explore

// The exploration has no goroutines that share anything, so the race detector only makes it slow.
const underRace = true
