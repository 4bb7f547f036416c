package maintainer

import (
	"maps"
	"time"

	"github.com/spanward/spanward/internal/fault"
)

// The settings of a keyspace that are the control plane's own. No workload sees them.
const (
	settingOpenTimeout  = "open-timeout"
	settingCloseTimeout = "close-timeout"
)

// ownSettings has a check for each of them.
var ownSettings = map[string]func(value string) error{
	settingOpenTimeout:  checkTimeout,
	settingCloseTimeout: checkTimeout,
}

// maxTimeout bounds how patient somebody may want to be.
const maxTimeout = 24 * time.Hour

func checkTimeout(value string) error {
	d, err := time.ParseDuration(value)
	if err == nil && d > 0 && d <= maxTimeout {
		return nil
	}
	return fault.New(fault.InvalidArgument, "is no duration between 0 and %v", maxTimeout).Fix("write for example 90s or 5m")
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
	name, d := settingCloseTimeout, l.m.cfg.CloseTimeout
	if opening {
		name, d = settingOpenTimeout, l.m.cfg.OpenTimeout
	}
	if own, err := time.ParseDuration(l.state.Keyspace(keyspace).Settings[name]); err == nil && own > 0 {
		return own
	}
	return d
}
