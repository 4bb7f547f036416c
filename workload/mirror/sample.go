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
	// splitKeys is how many are proposed.
	splitKeys = 3
)

// A sample is a reservoir of the keys that were written. A key that is written more often is in it more often, so that
// equal shares of the sample are equal shares of the load.
type sample struct {
	keys []string
	seen int
	rnd  *rand.Rand
}

func newSample() *sample { return &sample{rnd: rand.New(rand.NewPCG(sampleKeys, splitKeys))} } //nolint:gosec // not a secret

func (s *sample) add(key string) {
	if len(s.keys) < sampleKeys {
		s.keys = append(s.keys, key)
		return
	}
	s.seen = min(s.seen+1, sampleKeys*sampleOldest)
	if i := s.rnd.IntN(sampleKeys + s.seen); i < sampleKeys {
		s.keys[i] = key
	}
}

// cuts gives the keys that cut the sample into equal shares: ascending, and each with keys before it, which makes it a
// key that its span can be split at. There are none while the sample is small, or nearly all of one key.
func (s *sample) cuts() []string {
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
	return out
}
