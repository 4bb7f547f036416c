package maintainer

import (
	"maps"
	"time"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/settings"
)

// ownSettings are the settings of a keyspace that are the control plane's own, with a check for each of them. No workload
// sees them.
var ownSettings = ofKeyspaces()

func ofKeyspaces() map[string]func(value string) error {
	out := map[string]func(string) error{}
	for _, s := range settings.All() {
		if s.OfKeyspace() {
			out[s.Name] = s.Accepts
		}
	}
	return out
}

// checkOwnSettings checks those that are there.
func checkOwnSettings(set map[string]string) error {
	for name, check := range ownSettings {
		value, ok := set[name]
		if !ok {
			continue
		}
		if f, bad := fault.As(check(value)); bad {
			return f.On(name, value)
		}
	}
	return nil
}

// workloadSettings are the settings without the control plane's own.
func workloadSettings(set map[string]string) map[string]string {
	out := set
	for name := range ownSettings {
		if _, ok := set[name]; ok {
			if len(out) == len(set) {
				out = maps.Clone(set)
			}
			delete(out, name)
		}
	}
	return out
}

// baseLimit is how long the opening or closing of a single span of the keyspace may take.
func (l *loop) baseLimit(keyspace string, opening bool) time.Duration {
	own := l.tuned.Of(l.state.Keyspace(keyspace).Settings)
	if opening {
		return own.OpenTimeout
	}
	return own.CloseTimeout
}
