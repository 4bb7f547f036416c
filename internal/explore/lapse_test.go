package explore

import (
	"testing"
	"time"

	"github.com/spanward/spanward/operator"
)

// In the states a session that is gone counts as lapsing exactly as long as its process may act. That is what LapsesAt has
// to promise, and here it is tried on every small history of a session: when it renewed its lease, what of that its leader
// was told, how it ended, and how late that was seen.
func TestNoRightToActOutlivesTheLapse(t *testing.T) {
	const ttl, margin, horizon, lag = 4, 1, 9, 2
	tried := 0
	for renewed := range 1 << horizon { // a bit for each moment; the first is when the lease was granted
		renewed |= 1
		last := 0
		for at := range horizon {
			if renewed>>at&1 == 1 {
				if at >= last+ttl {
					break // the lease was gone by then
				}
				last = at
			}
		}
		until := last + ttl - margin
		for declared := -1; declared <= last; declared++ {
			if declared >= 0 && renewed>>declared&1 == 0 {
				continue
			}
			try := func(what string, ended, evicted bool, gone int) {
				for seen := gone; seen <= gone+lag; seen++ {
					tried++
					l := operator.Loss{
						SeenAt: time.Duration(seen), Declared: time.Duration(declared + ttl - margin), Known: declared >= 0,
						Ended: ended, Evicted: evicted, TTL: ttl,
					}
					at := operator.LapsesAt(l)
					if !ended && at < time.Duration(until) || at < l.SeenAt || at > l.SeenAt+l.TTL {
						t.Fatalf("%s: renewed last at %d, may act until %d, lapses at %d: %+v", what, last, until, at, l)
					}
				}
			}
			for late := range lag {
				try("expired", false, false, last+ttl+late)
			}
			for at := last; at < last+ttl; at++ {
				try("clean", true, false, at)
				try("evicted", false, true, at)
				if declared < 0 || declared == last {
					// By hand. If the leader was last told of an earlier renewal it cannot know; the documentation says so.
					try("revoked", false, false, at)
				}
			}
		}
	}
	if tried == 0 {
		t.Error("nothing was tried")
	}
	t.Logf("%d histories", tried)
}
