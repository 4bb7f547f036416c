package mirror

import (
	"context"
	"math"
	"slices"

	"github.com/spanward/spanward/span"
)

// maxProbes bounds how often a source is asked for one set of keys.
const maxProbes = 96

// A probe gives the first key of a range, and how many there are.
type probe func(ctx context.Context, r span.Range) (first string, keys int64, err error)

// A mark is a place in a range with the number of keys before it.
type mark struct {
	at     string
	before int64
	key    bool // there is a key at it
}

// cutsByRank finds keys that cut a range into shares with about as many keys each. Every answer of the source tells of
// one more key how many are before it, and the next question goes where a cut is wanted most: into the middle between
// the two neighbours that are known. It neither lists the range nor reads more than one key for a question; all questions
// together make etcd count each key a few times.
func cutsByRank(ctx context.Context, r span.Range, ask probe) ([]string, error) {
	first, keys, err := ask(ctx, r)
	if err != nil || keys < sampleEnough {
		return nil, err
	}
	marks := []mark{{at: first, key: true}, {at: r.End, before: keys}}
	var way scout
	for range maxProbes - 1 {
		i := widest(marks, keys)
		if i < 0 {
			break
		}
		x, ok := way.between(marks[i].at, marks[i+1].at)
		if !ok {
			break
		}
		first, found, err := ask(ctx, span.Range{Start: x, End: marks[i+1].at})
		if err != nil {
			return nil, err
		}
		way.found(found > 0)
		before := max(marks[i].before, marks[i+1].before-found) // keys come and go between two questions
		fresh := []mark{{at: x, before: before, key: found > 0 && first == x}}
		if found > 0 && first > x {
			fresh = append(fresh, mark{at: first, before: before, key: true})
		}
		marks = slices.Insert(marks, i+1, fresh...)
	}
	return chosen(marks, keys), nil
}

// wanted is how many keys should be before the cut i.
func wanted(keys int64, i int) int64 { return keys * int64(i) / (splitKeys + 1) }

// nearest gives the key that is known to be closest to a cut, and by how many keys it is off. The first key is none to
// cut at.
func nearest(marks []mark, want int64) (i int, off int64) {
	i, off = -1, math.MaxInt64
	for j, m := range marks {
		if d := max(m.before-want, want-m.before); m.key && m.before > 0 && d < off {
			i, off = j, d
		}
	}
	return i, off
}

// widest gives the gap that holds the cut which is furthest off, and -1 once all of them are good enough.
func widest(marks []mark, keys int64) int {
	gap, worst := -1, keys/(splitKeys+1)/4
	for i := 1; i <= splitKeys; i++ {
		want := wanted(keys, i)
		_, off := nearest(marks, want)
		if off <= worst {
			continue
		}
		j := slices.IndexFunc(marks, func(m mark) bool { return m.before >= want })
		// Where the keys of a gap cannot be told apart any more, it is as narrow as it gets.
		if j > 0 && marks[j].before-marks[j-1].before > 1 {
			gap, worst = j-1, off
		}
	}
	return gap
}

// chosen gives the best of the known keys for each cut.
func chosen(marks []mark, keys int64) []string {
	var out []string
	for i := 1; i <= splitKeys; i++ {
		j, _ := nearest(marks, wanted(keys, i))
		if j >= 0 && (len(out) == 0 || marks[j].at > out[len(out)-1]) {
			out = append(out, marks[j].at)
		}
	}
	return out
}

// A scout chooses where to ask next. It knows how keys look: they begin alike, and go on with digits and letters.
type scout struct {
	// lost says that the last question found nothing, and then jump how many bytes of a prefix are tried together.
	lost bool
	jump int
}

func (s *scout) found(some bool) {
	if s.lost = !some; some {
		s.jump = 0
	}
}

// between gives a place after the key a and before b, which is beyond every key if it is empty; false if there is none.
func (s *scout) between(a, b string) (string, bool) {
	same := commonPrefix(a, b)
	if s.lost {
		// Perhaps all keys of the gap have more in common with the first of them than with its end.
		s.jump = max(1, 2*s.jump)
		if x := prefixRange(a[:min(same+s.jump, len(a))]).End; x > a && (b == "" || x < b) {
			return x, true
		}
	}
	return middle(a, b, same)
}

func commonPrefix(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// middle is a place at which half of the keys between a and b can be expected.
func middle(a, b string, same int) (string, bool) {
	end := beyondBytes
	if b != "" {
		end = int(b[same]) // a < b: b goes on where they part
	}
	if c, ok := middleByte(byteAt(a, same), end); ok {
		return a[:same] + string([]byte{c}), true
	}
	if b != "" && len(b) > same+1 {
		return b[:same+1], true // what goes on like a is on one side, what goes on like b on the other
	}
	for n := same + 1; n <= len(a); n++ {
		if c, ok := middleByte(byteAt(a, n), beyondBytes); ok {
			return a[:n] + string([]byte{c}), true
		}
	}
	return "", false
}

// beyondBytes is a bound that no byte reaches.
const beyondBytes = 256

// byteAt is -1 after the end.
func byteAt(s string, i int) int {
	if i < len(s) {
		return int(s[i])
	}
	return -1
}

// middleByte is the byte after first and before end that has half of what is usual between them on each side.
func middleByte(first, end int) (byte, bool) {
	if end-first < 2 {
		return 0, false
	}
	all := 0
	for c := first; c < end; c++ {
		all += usual(c)
	}
	before, c := usual(first), first+1
	for c+1 < end && 2*before < all {
		before += usual(c)
		c++
	}
	return byte(c), true //nolint:gosec // between two bytes
}

// usual is how often a byte is where keys part, roughly. In a key that ends there, nothing is.
func usual(c int) int {
	switch {
	case c < 0:
		return 0
	case c >= '0' && c <= '9':
		return 64
	case c >= 'a' && c <= 'z':
		return 8
	case c >= 'A' && c <= 'Z':
		return 4
	}
	return 1
}
