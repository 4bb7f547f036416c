package maintainer

import (
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/view"
)

// settingMaxSpans is the name of the setting that bounds the spans of a keyspace.
const settingMaxSpans = "max-spans"

// checkGrowth refuses spans beyond those that a keyspace may have. Whoever calls holds the lock of the keyspace until they
// are accepted, so that two who ask for the last one do not both get it.
func (c *control) checkGrowth(s *view.State, ks *view.Keyspace, more int) error {
	would := s.SpanCount(ks.Name) + s.QuarantinedSpans(ks.Name) + growing(s, ks.Name) + more
	most := c.tuning.in(s).Of(ks.Settings).MaxSpans
	if would <= most {
		return nil
	}
	return fault.New(fault.Refused, "would have %d spans, and %s is %d", would, settingMaxSpans, most).On("keyspace", ks.Name).
		Fix("merge some of them, or raise the limit with `spanward config set %s=%d --keyspace %s`", settingMaxSpans, would, ks.Name)
}

// growing is how many spans more a keyspace has when the splits in flight are done.
func growing(s *view.State, keyspace string) (n int) {
	for sp := range s.WithIntent() {
		if sp.Keyspace == keyspace && sp.Intent.Kind == record.KindSplit {
			n += len(sp.Intent.At)
		}
	}
	return n
}

// checkFirst refuses a keyspace that would begin with more spans than it may have.
func (c *control) checkFirst(s *view.State, name string, set map[string]string, ranges int) error {
	most := c.tuning.in(s).Of(set).MaxSpans
	if ranges <= most {
		return nil
	}
	return fault.New(fault.Refused, "would have %d spans, and %s is %d", ranges, settingMaxSpans, most).On("keyspace", name).
		Fix("give fewer ranges, or raise the limit for it with --set %s=%d", settingMaxSpans, ranges)
}
