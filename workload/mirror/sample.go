package mirror

import (
	"math/rand/v2"
	"slices"
)

const (
	// sampleKeys is how many keys split keys are chosen from.
	sampleKeys = 128
	// sampleEnough is how many there must be before any are proposed.
	sampleEnough = 64
	// sampleOldest is after about how many times its size a sample has forgotten what it held, so that it follows the
	// load of today and not of the whole life of the span.
	sampleOldest = 16
	// splitKeys is how many are proposed. A span that is far too hot is split into as many and one more at once.
	splitKeys = 7
)

// A sample is a reservoir of the keys that were written. A key that carries more of the load is in it more often, so that
// equal shares of the sample are equal shares of the load.
type sample struct {
	keys []string
	// weight is that of all that the sample stands for, mean that of one of them, of which n were seen.
	weight, mean float64
	n            int
	rnd          *rand.Rand
}

func newSample() *sample { return &sample{rnd: rand.New(rand.NewPCG(sampleKeys, splitKeys))} } //nolint:gosec // not a secret

// add takes a key with what it weighs.
func (s *sample) add(key string, weight float64) {
	s.n = min(s.n+1, sampleKeys*sampleOldest)
	s.mean += (weight - s.mean) / float64(s.n)
	if len(s.keys) < sampleKeys {
		s.keys, s.weight = append(s.keys, key), s.weight+weight
		return
	}
	s.weight = min(s.weight+weight, sampleKeys*(sampleOldest+1)*s.mean)
	if s.rnd.Float64()*s.weight < weight*sampleKeys {
		s.keys[s.rnd.IntN(sampleKeys)] = key
	}
}

// cuts gives the keys that cut the sample into equal shares: ascending, and each with keys before it, which makes it a
// key that its span can be split at. There are none while the sample is small, or nearly all of one key. As long as the
// former ones cut nearly as well they stay, since a sample never stands still.
func (s *sample) cuts(former []string) []string {
	if len(s.keys) < sampleEnough {
		return nil
	}
	keys := slices.Sorted(slices.Values(s.keys))
	var out []string
	for i := 1; i <= splitKeys; i++ {
		if k := keys[i*len(keys)/(splitKeys+1)]; k > keys[0] && (len(out) == 0 || k > out[len(out)-1]) {
			out = append(out, k)
		}
	}
	if near(keys, former, out) {
		return former
	}
	return out
}

// near says whether each key of a is at most half a share away from that of b.
func near(sorted, a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, _ := slices.BinarySearch(sorted, a[i])
		y, _ := slices.BinarySearch(sorted, b[i])
		if off := x - y; max(off, -off) > len(sorted)/(splitKeys+1)/2 || a[i] <= sorted[0] {
			return false
		}
	}
	return true
}
