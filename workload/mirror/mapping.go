package mirror

import (
	"strings"

	"github.com/spanward/spanward/span"
)

// ownPrefix is where mirrors keep their fences and checkpoints at a destination. Keys under it are never mirrored,
// reconciled or compared, at either side, so that a destination can itself be the source of another mirror.
const ownPrefix = "/spanward-mirror/"

// mapping renames keys: it strips one prefix and prepends another. It keeps the order of keys, which is what lets two
// sorted listings be merged.
type mapping struct{ strip, prepend string }

// key is the destination's name of a source key, and false for one that is not mirrored.
func (m mapping) key(source string) (string, bool) {
	rest, ok := strings.CutPrefix(source, m.strip)
	if !ok || strings.HasPrefix(source, ownPrefix) {
		return "", false
	}
	dest := m.prepend + rest
	return dest, !strings.HasPrefix(dest, ownPrefix)
}

// back is the source's name of a destination key, and false for one that no source key is mirrored to.
func (m mapping) back(dest string) (string, bool) {
	rest, ok := strings.CutPrefix(dest, m.prepend)
	if !ok {
		return "", false
	}
	source := m.strip + rest
	again, ok := m.key(source)
	return source, ok && again == dest
}

// clip is the part of a source range whose keys are mirrored, and false if there is none.
func (m mapping) clip(r span.Range) (span.Range, bool) { return r.Intersect(prefixRange(m.strip)) }

// dest is where the keys of a clipped source range are at the destination.
func (m mapping) dest(r span.Range) span.Range {
	out := span.Range{Start: m.prepend + strings.TrimPrefix(r.Start, m.strip)}
	if r.End == prefixRange(m.strip).End {
		out.End = prefixRange(m.prepend).End
		return out
	}
	out.End = m.prepend + strings.TrimPrefix(r.End, m.strip)
	return out
}

// prefixRange has the keys that begin with p.
func prefixRange(p string) span.Range {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] < 0xff {
			return span.Range{Start: p, End: p[:i] + string([]byte{p[i] + 1})}
		}
	}
	return span.Range{Start: p}
}
