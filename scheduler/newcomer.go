package scheduler

import "time"

const (
	// failingOn is how many spans must have failed last on one node before balance gives it no more.
	failingOn = 3
	// longestWarmUp bounds how long a node that is lost again and again must be there before balance gives it spans.
	longestWarmUp = 10 * time.Minute
)

// Unready is why balance gives nothing to a node that may be given what nobody owns, "" if it may: the node opens more spans
// than balance alone, which has at most so many in flight there, would have it open, or too many have failed there last.
func Unready(opening, inFlight, failing int) string {
	switch {
	case opening > inFlight:
		return "catching up"
	case failing >= failingOn:
		return "failing"
	}
	return ""
}

// WarmUp is how long a node must be there to be worth a move: base, and twice as long for each time that it was lost lately, or
// each of its returns would move spans to it only for them to be lost with it.
func WarmUp(base time.Duration, node string, lately []Loss) time.Duration {
	for _, l := range lately {
		if l.Node == node {
			base = min(2*base, max(base, longestWarmUp))
		}
	}
	return base
}
