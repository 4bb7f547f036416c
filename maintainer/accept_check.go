package maintainer

import (
	"maps"
	"slices"
	"strings"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

const (
	// maxRanges bounds the spans of one keyspace creation: about 100,000 are what the whole is laid out for.
	maxRanges = 200_000
	// maxSettingsBytes bounds the names and values of a keyspace's settings, which go along with every ask to open.
	maxSettingsBytes = 16 << 10
)

// checkRanges reads the ranges of a request. They must not overlap each other.
func checkRanges(in []*controlv1.Range) ([]span.Range, error) {
	if len(in) > maxRanges {
		return nil, fault.New(fault.InvalidArgument, "%d of them are too many", len(in)).On("range", "").
			Fix("give at most %d, and add further spans with `spanward span add`", maxRanges)
	}
	out := make([]span.Range, len(in))
	for i, r := range in {
		out[i] = rangeOf(r)
		if err := out[i].Validate(); err != nil {
			return nil, err
		}
	}
	if i, j, bad := span.Overlapping(out); bad {
		return nil, fault.New(fault.RangeOverlap, "overlaps %s, which is in the same request", out[i]).
			On("range", out[j].String()).Fix("give ranges that at most touch")
	}
	if len(out) == 0 {
		out = []span.Range{{}}
	}
	return out, nil
}

func rangeOf(r *controlv1.Range) span.Range {
	return span.Range{Start: string(r.GetStart()), End: string(r.GetEnd())}
}

// checkWorkload refuses a workload that no registered node offers: nothing would ever run, and the name may be mistyped.
func checkWorkload(s *view.State, workload string) error {
	offered := map[string]bool{}
	for n := range s.Nodes() {
		for _, w := range n.Workloads {
			offered[w] = true
		}
	}
	if offered[workload] && workload != "" {
		return nil
	}
	f := fault.New(fault.UnknownWorkload, "no registered node runs it").On("workload", workload)
	if len(offered) == 0 {
		return f.Fix("start a node with `spanward dispatcher --workload` first")
	}
	return f.Fix("use one of %s", strings.Join(slices.Sorted(maps.Keys(offered)), ", "))
}

func checkSettings(set map[string]string) error {
	size := 0
	for name, value := range set {
		if size += len(name) + len(value); name == "" {
			return fault.New(fault.InvalidArgument, "a setting has no name").On("set", "="+value).Fix("write name=value")
		}
	}
	if size > maxSettingsBytes {
		return fault.New(fault.InvalidArgument, "all settings together have %d bytes", size).On("set", "").
			Fix("use at most %d", maxSettingsBytes)
	}
	return nil
}

// validate asks the workload. fresh are ranges that are new to the keyspace, all are fresh and others; what concerns
// pairs of ranges is the same for their union, which is shorter.
func (c *control) validate(workload string, set map[string]string, fresh, all []span.Range) error {
	if err := checkSettings(set); err != nil {
		return err
	}
	if err := settings.CheckKeyspace(set); err != nil {
		return err
	}
	if err := checkRules(set); err != nil {
		return err
	}
	check := c.validators[workload]
	if check == nil {
		return nil
	}
	set = settings.OfWorkload(set)
	for _, r := range fresh {
		if err := check(set, []span.Range{r}); err != nil {
			return explained(err, workload)
		}
	}
	return explained(check(set, span.Union(all)), workload)
}

// explained makes sure that what a workload says about settings reaches the user.
func explained(err error, workload string) error {
	if _, ok := fault.As(err); err == nil || ok {
		return err
	}
	return fault.New(fault.InvalidArgument, "%s refuses them: %v", workload, err).On("set", "").Fix("change the settings").Because(err)
}

// checkState refuses a change that does not fit the state of the keyspace.
func checkState(ks *view.Keyspace, fits ...record.KeyspaceState) error {
	if slices.Contains(fits, ks.State) {
		return nil
	}
	f := fault.New(fault.Refused, "the keyspace is %s", record.KeyspaceStateName(ks.State)).On("keyspace", ks.Name)
	switch ks.State {
	case record.KeyspaceCreating:
		return f.Fix("wait until it is running; if whoever creates it has stopped, repeat that command with --request-id %s, or give it up with `spanward keyspace delete %s`",
			creation(ks).RequestID, ks.Name)
	case record.KeyspacePaused:
		return f.Fix("resume it first")
	default:
		return f.Fix("create another one")
	}
}

func rangesOf(s *view.State, keyspace string) []span.Range {
	out := make([]span.Range, 0, s.SpanCount(keyspace))
	for sp := range s.Spans(keyspace) {
		out = append(out, sp.Range)
	}
	return out
}
