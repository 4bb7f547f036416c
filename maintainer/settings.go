package maintainer

import "time"

// baseLimit is how long the opening or closing of a single span of the keyspace may take.
func (l *loop) baseLimit(keyspace string, opening bool) time.Duration {
	own := l.tuned.Of(l.state.Keyspace(keyspace).Settings)
	if opening {
		return own.OpenTimeout
	}
	return own.CloseTimeout
}
