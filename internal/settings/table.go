package settings

import (
	"time"

	"github.com/spanward/spanward/scheduler"
)

// Values are what the control plane works with. Of a layer that need not have all of them the zero value is none.
type Values struct {
	OpenTimeout, CloseTimeout time.Duration
	Settle                    time.Duration

	MassLossShare  float64
	MassLossLeast  int
	MassLossWindow time.Duration
	MassLossHold   time.Duration

	AskRetry, AskRetryMax   time.Duration
	OpenRetry, OpenRetryMax time.Duration

	InFlight, DrainInFlight int
	ProgressInterval        time.Duration

	HistoryAge   time.Duration
	HistoryCount int

	BalanceTolerance, BalanceLoadTolerance                        float64
	BalanceCooldown, BalanceWarmUp                                time.Duration
	BalanceInFlight, BalanceNodeInFlight, BalanceKeyspaceInFlight int

	LoadMeasure          string
	SplitLoad, SplitSize float64
	SplitAfter           time.Duration
	MergeLoad, MergeSize float64
	MergeAfter           time.Duration
	ReshapeMinAge        time.Duration
	ReshapeInFlight      int
	MaxSpans             int

	// Planners tells of each planner, by its place in Planners, whether it is on.
	Planners [plannerCount]string
}

const (
	day = 24 * time.Hour
	// LongestWindow and LongestHold are together how far back somebody has to remember lost nodes.
	LongestWindow = time.Minute
	// LongestHold is the other part.
	LongestHold = 10 * time.Minute
	// LongestTimeout bounds how patient somebody may want to be.
	LongestTimeout = day
	// ShortestHistoryAge leaves everybody time to repeat a request whose outcome he does not know.
	ShortestHistoryAge = 5 * time.Minute
)

// Scope says whose a setting is.
type Scope string

// The scopes.
const (
	Cluster  Scope = "cluster"
	Keyspace Scope = "keyspace"
	// Both: a keyspace may have its own value, else that of the cluster counts.
	Both Scope = "both"
)

// Setting is a row of the table.
type Setting struct {
	Name  string
	Scope Scope
	// Flag of `spanward maintainer` that gives the value where nothing is stored, "" for none.
	Flag string
	// Help is one line.
	Help string

	quantity
}

var table = append(own, planners()...)

var own = []Setting{
	{
		Name: "open-timeout", Scope: Both, Flag: "open-timeout", quantity: duration(func(v *Values) *time.Duration { return &v.OpenTimeout }, time.Minute, time.Millisecond, LongestTimeout),
		Help: "how long the opening of one span may take, unless an initial copy gets further, before it is tried elsewhere",
	},
	{
		Name: "close-timeout", Scope: Both, Flag: "close-timeout", quantity: duration(func(v *Values) *time.Duration { return &v.CloseTimeout }, time.Minute, time.Millisecond, LongestTimeout),
		Help: "how long the closing of one span may take before it is shown as stuck",
	},
	{
		Name: "settle", Scope: Cluster, quantity: duration(func(v *Values) *time.Duration { return &v.Settle }, 500*time.Millisecond, time.Millisecond, time.Minute),
		Help: "how long a new leader waits for registered nodes to connect before it places spans freely",
	},
	{
		Name: "mass-loss.share", Scope: Cluster, quantity: share(func(v *Values) *float64 { return &v.MassLossShare }, 0.5, 0.01, 1),
		Help: "failover is held when more than this share of all nodes is lost at once; 1 never holds it",
	},
	{
		Name: "mass-loss.least", Scope: Cluster, quantity: count(func(v *Values) *int { return &v.MassLossLeast }, 3, 1, 100_000),
		Help: "failover is held only when at least so many nodes are lost at once",
	},
	{
		Name: "mass-loss.window", Scope: Cluster, quantity: duration(func(v *Values) *time.Duration { return &v.MassLossWindow }, 2*time.Second, 100*time.Millisecond, LongestWindow),
		Help: "the time within which nodes must be lost to count as lost at once",
	},
	{
		Name: "mass-loss.hold", Scope: Cluster, quantity: duration(func(v *Values) *time.Duration { return &v.MassLossHold }, 10*time.Second, 100*time.Millisecond, LongestHold),
		Help: "how long failover is held at most for such nodes to come back",
	},
	{
		Name: "ask-retry", Scope: Cluster, quantity: duration(func(v *Values) *time.Duration { return &v.AskRetry }, 2*time.Second, 10*time.Millisecond, time.Hour),
		Help: "how long the leader waits for a node to answer before it asks again; it doubles each time",
	},
	{
		Name: "ask-retry.max", Scope: Cluster, quantity: duration(func(v *Values) *time.Duration { return &v.AskRetryMax }, 30*time.Second, 10*time.Millisecond, time.Hour),
		Help: "the longest such wait",
	},
	{
		Name: "open-retry", Scope: Cluster, quantity: duration(func(v *Values) *time.Duration { return &v.OpenRetry }, time.Second, 10*time.Millisecond, time.Hour),
		Help: "how long the leader waits after an opening that failed; it doubles each time",
	},
	{
		Name: "open-retry.max", Scope: Cluster, quantity: duration(func(v *Values) *time.Duration { return &v.OpenRetryMax }, time.Minute, 10*time.Millisecond, time.Hour),
		Help: "the longest such wait",
	},
	{
		Name: "in-flight", Scope: Cluster, quantity: count(func(v *Values) *int { return &v.InFlight }, 512, 1, 100_000),
		Help: "the most asks that one node has not answered yet",
	},
	{
		Name: "drain.in-flight", Scope: Cluster, quantity: count(func(v *Values) *int { return &v.DrainInFlight }, 64, 1, 100_000),
		Help: "the most spans that the drain of one node moves at a time",
	},
	{
		Name: "progress-interval", Scope: Cluster, quantity: duration(func(v *Values) *time.Duration { return &v.ProgressInterval }, 10*time.Second, 100*time.Millisecond, time.Hour),
		Help: "how often checkpoints are stored; a span whose node dies goes back by up to this much",
	},
	{
		Name: "history-age", Scope: Cluster, Flag: "history-age", quantity: duration(func(v *Values) *time.Duration { return &v.HistoryAge }, 7*day, ShortestHistoryAge, 100*365*day),
		Help: "how long finished operators, and request ids, are remembered",
	},
	{
		Name: "history-count", Scope: Cluster, Flag: "history-count", quantity: count(func(v *Values) *int { return &v.HistoryCount }, 10_000, 1, 1_000_000),
		Help: "how many finished operators are remembered in each keyspace",
	},
	{
		Name: "balance.tolerance", Scope: Cluster, quantity: share(func(v *Values) *float64 { return &v.BalanceTolerance }, 0.1, 0.01, 1),
		Help: "how far apart the numbers of spans of two nodes may be, as a part of their mean, before spans are moved; one span always may",
	},
	{
		Name: "balance.load-tolerance", Scope: Cluster, quantity: share(func(v *Values) *float64 { return &v.BalanceLoadTolerance }, 0.25, 0.01, 1),
		Help: "the same for the loads that spans report",
	},
	{
		Name: "balance.cooldown", Scope: Cluster, quantity: duration(func(v *Values) *time.Duration { return &v.BalanceCooldown }, time.Minute, time.Millisecond, day),
		Help: "how long a span stays where it has come to before balance moves it again",
	},
	{
		Name: "balance.in-flight", Scope: Cluster, quantity: count(func(v *Values) *int { return &v.BalanceInFlight }, 32, 1, 100_000),
		Help: "the most moves that balance has in flight",
	},
	{
		Name: "balance.in-flight.node", Scope: Cluster, quantity: count(func(v *Values) *int { return &v.BalanceNodeInFlight }, 16, 1, 100_000),
		Help: "the most of them that one node takes part in",
	},
	{
		Name: "balance.in-flight.keyspace", Scope: Cluster, quantity: count(func(v *Values) *int { return &v.BalanceKeyspaceInFlight }, 32, 1, 100_000),
		Help: "the most of them that concern one keyspace",
	},
	{
		Name: "balance.warm-up", Scope: Cluster, quantity: duration(func(v *Values) *time.Duration { return &v.BalanceWarmUp }, 5*time.Second, time.Millisecond, time.Hour),
		Help: "how long a node must be there before balance moves spans to it; it doubles each time that the node is lost within some minutes",
	},
	{
		Name: "load.measure", Scope: Both, quantity: choice(func(v *Values) *string { return &v.LoadMeasure }, MeasureLoad, MeasureLag, MeasureSize, MeasureNone),
		Help: "which reported number is the load of a span, that nodes are balanced by; none balances by numbers of spans alone",
	},
	{
		Name: "split.load", Scope: Both, quantity: number(func(v *Values) *float64 { return &v.SplitLoad }, 0, 0, 1e18),
		Help: "a span whose load stays above this is split; 0 splits none",
	},
	{
		Name: "split.size", Scope: Both, quantity: number(func(v *Values) *float64 { return &v.SplitSize }, 0, 0, 1e18),
		Help: "a span whose size stays above this is split; 0 splits none",
	},
	{
		Name: "split.after", Scope: Both, quantity: duration(func(v *Values) *time.Duration { return &v.SplitAfter }, 30*time.Second, time.Millisecond, day),
		Help: "how long a span must stay above either of them, in all that is reported meanwhile",
	},
	{
		Name: "merge.load", Scope: Both, quantity: number(func(v *Values) *float64 { return &v.MergeLoad }, 0, 0, 1e18),
		Help: "neighbours whose loads together stay below this are merged; 0 merges none",
	},
	{
		Name: "merge.size", Scope: Both, quantity: number(func(v *Values) *float64 { return &v.MergeSize }, 0, 0, 1e18),
		Help: "such neighbours are merged only if their sizes together are below this, too; 0 is no limit",
	},
	{
		Name: "merge.after", Scope: Both, quantity: duration(func(v *Values) *time.Duration { return &v.MergeAfter }, 10*time.Minute, time.Millisecond, day),
		Help: "how long neighbours must stay that cold",
	},
	{
		Name: "reshape.min-age", Scope: Both, quantity: duration(func(v *Values) *time.Duration { return &v.ReshapeMinAge }, 5*time.Minute, time.Millisecond, day),
		Help: "how old a span must be before it is split or merged for its load",
	},
	{
		Name: "reshape.in-flight", Scope: Cluster, quantity: count(func(v *Values) *int { return &v.ReshapeInFlight }, 4, 1, 10_000),
		Help: "the most splits and merges for load that are in flight",
	},
	{
		Name: "max-spans", Scope: Both, quantity: count(func(v *Values) *int { return &v.MaxSpans }, 200_000, 1, 10_000_000),
		Help: "the most spans that a keyspace may have, whoever asks for them",
	},
	{
		Name: scheduler.SettingRequire, Scope: Keyspace, quantity: rule(scheduler.SettingRequire),
		Help: "labels that a node must have to run a span of the keyspace: zone=a|b,disk=ssd",
	},
	{
		Name: scheduler.SettingPrefer, Scope: Keyspace, quantity: rule(scheduler.SettingPrefer),
		Help: "labels of nodes that get its spans before others do, written the same",
	},
	{
		Name: scheduler.SettingSpread, Scope: Keyspace, quantity: rule(scheduler.SettingSpread),
		Help: "a label over whose values its spans are spread evenly: zone",
	},
	{
		Name: scheduler.SettingPin, Scope: Keyspace, quantity: rule(scheduler.SettingPin),
		Help: "ranges whose spans run on one node and nowhere else: a:c=n1,m:=n2",
	},
}

// OfCluster and OfKeyspace say where it can be set.
func (s Setting) OfCluster() bool { return s.Scope != Keyspace }

// OfKeyspace is the other half.
func (s Setting) OfKeyspace() bool { return s.Scope != Cluster }

// pairs are settings of which the first must not exceed the second.
var pairs = []struct {
	first, second string
	wrong         func(Values) bool
}{
	{"ask-retry", "ask-retry.max", func(v Values) bool { return v.AskRetry > v.AskRetryMax }},
	{"open-retry", "open-retry.max", func(v Values) bool { return v.OpenRetry > v.OpenRetryMax }},
}

// All are the settings, in the order of the table.
func All() []Setting { return table }

// Find gives a setting by its name.
func Find(name string) (Setting, bool) {
	for _, s := range table {
		if s.Name == name {
			return s, true
		}
	}
	return Setting{}, false
}

// Defaults are the values of a cluster that nobody has configured.
func Defaults() Values {
	var v Values
	for _, s := range table {
		s.reset(&v)
	}
	return v
}
