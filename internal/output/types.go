package output

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/spanward/spanward/span"
)

// Span is one of spans[].
type Span struct {
	Keyspace string `json:"keyspace"`
	ID       string `json:"id"`
	// Start and End are null if the record cannot be read: the empty text would say that it is unbounded.
	Start      *Key     `json:"start"`
	End        *Key     `json:"end"`
	State      string   `json:"state"`
	Node       Text     `json:"node"`
	Session    *int64   `json:"session"`
	Token      *uint64  `json:"token"`
	Checkpoint *uint64  `json:"checkpoint"`
	LagMS      *int64   `json:"lag_ms"`
	Load       *float64 `json:"load"`
	Operator   Text     `json:"operator"`
	LastError  Text     `json:"last_error"`
	Lineage    Lineage  `json:"lineage"`
	Copied     *int64   `json:"copied"`
	CopyTotal  *int64   `json:"copy_total"`
	Why        Text     `json:"why"`
	Revision   int64    `json:"revision"`
	// Size is what the workload counts, such as keys.
	Size *float64 `json:"size"`
	// Next is what the scheduler would do with it next, or why nothing; null in lists.
	Next Text `json:"next"`
}

// Lineage is where a span came from and what became of it.
type Lineage struct {
	Parents  []string `json:"parents"`
	Children []string `json:"children"`
}

// Operator is one of operators[].
type Operator struct {
	// ID is null for a placement, which is in flight without having been asked for.
	ID         Text     `json:"id"`
	RequestID  Text     `json:"request_id"`
	Type       string   `json:"type"`
	Keyspace   string   `json:"keyspace"`
	Spans      []string `json:"spans"`
	From       Text     `json:"from"`
	To         Text     `json:"to"`
	At         []Key    `json:"at"`
	Stage      string   `json:"stage"`
	Outcome    string   `json:"outcome"`
	By         Text     `json:"by"`
	Reason     Text     `json:"reason"`
	Created    *Time    `json:"created"`
	FinishedAt *Time    `json:"finished_at"`
	Error      Text     `json:"error"`
	Results    []string `json:"results"`
	Steps      []Step   `json:"steps"`
	// Cause is what ended it before it was done, null if nothing did.
	Cause *Cause `json:"cause"`
}

// Step is the moment at which an operator reached a stage.
type Step struct {
	Stage string `json:"stage"`
	At    *Time  `json:"at"`
	Node  Text   `json:"node"`
	// Span is null where all spans of the operator reached it together.
	Span Text `json:"span"`
	// DurationMS is how long it lasted or, of the stage that an operator in flight is in, has lasted; null for the end.
	DurationMS *int64 `json:"duration_ms"`
}

// Cause is what ended an operator early: a cancel, or an operator that took its place.
type Cause struct {
	By        Text `json:"by"`
	Reason    Text `json:"reason"`
	RequestID Text `json:"request_id"`
	Operator  Text `json:"operator"`
}

// Node is one of nodes[].
type Node struct {
	Name          string            `json:"name"`
	Session       *int64            `json:"session"`
	Address       Text              `json:"address"`
	State         string            `json:"state"`
	Spans         int64             `json:"spans"`
	Workloads     []string          `json:"workloads"`
	Labels        map[string]string `json:"labels"`
	Capacity      int64             `json:"capacity"`
	Weight        *float64          `json:"weight"`
	Version       Text              `json:"version"`
	MayActUntilMS *int64            `json:"may_act_until_ms"`
	// Why is what a drain waits for, null if for nothing but time.
	Why Text `json:"why"`
}

// Drain is what draining a node would do.
type Drain struct {
	Node  string       `json:"node"`
	Moves []DrainMove  `json:"moves"`
	Stuck []DrainStuck `json:"stuck"`
}

// DrainMove is where a span would go.
type DrainMove struct {
	Keyspace string `json:"keyspace"`
	Span     string `json:"span"`
	From     string `json:"from"`
	To       string `json:"to"`
	Reason   string `json:"reason"`
}

// DrainStuck is a span that can go nowhere.
type DrainStuck struct {
	Keyspace string `json:"keyspace"`
	Span     string `json:"span"`
	Reason   string `json:"reason"`
}

// Keyspace is one of keyspaces[].
type Keyspace struct {
	Name       string            `json:"name"`
	Workload   string            `json:"workload"`
	Set        map[string]string `json:"set"`
	Ranges     []string          `json:"ranges"`
	State      string            `json:"state"`
	Spans      SpanCounts        `json:"spans"`
	Checkpoint *uint64           `json:"checkpoint"`
	LagMS      *int64            `json:"lag_ms"`
	Copied     *int64            `json:"copied"`
	CopyTotal  *int64            `json:"copy_total"`
	// ExpectedSpans is how many it will have, null unless it is being created.
	ExpectedSpans *int64 `json:"spans_expected"`
}

// SpanCounts counts spans by state.
type SpanCounts struct {
	Total       int64 `json:"total"`
	Running     int64 `json:"running"`
	Absent      int64 `json:"absent"`
	Opening     int64 `json:"opening"`
	Closing     int64 `json:"closing"`
	Paused      int64 `json:"paused"`
	Failing     int64 `json:"failing"`
	Stuck       int64 `json:"stuck"`
	Quarantined int64 `json:"quarantined"`
}

// NodeCounts counts nodes by state.
type NodeCounts struct {
	Total       int64 `json:"total"`
	Ready       int64 `json:"ready"`
	Cordoned    int64 `json:"cordoned"`
	Draining    int64 `json:"draining"`
	Drained     int64 `json:"drained"`
	Unreachable int64 `json:"unreachable"`
	Gone        int64 `json:"gone"`
}

// OperatorCounts counts operators in flight by stage.
type OperatorCounts struct {
	Total     int64 `json:"total"`
	Queued    int64 `json:"queued"`
	Closing   int64 `json:"closing"`
	HandedOff int64 `json:"handed_off"`
	Opening   int64 `json:"opening"`
}

// Status is the answer of status.
type Status struct {
	Cluster     string         `json:"cluster"`
	Leader      Text           `json:"leader"`
	Term        *int64         `json:"term"`
	Revision    *int64         `json:"revision"`
	Maintainers []Maintainer   `json:"maintainers"`
	Nodes       NodeCounts     `json:"nodes"`
	Spans       SpanCounts     `json:"spans"`
	Operators   OperatorCounts `json:"operators"`
	Problems    []Problem      `json:"problems"`
	Keyspaces   []Keyspace     `json:"keyspaces"`
	// Paused are the planners that are paused.
	Paused []string `json:"paused"`
}

// Maintainer is one of maintainers[].
type Maintainer struct {
	Name     string `json:"name"`
	Address  Text   `json:"address"`
	Leader   bool   `json:"leader"`
	Version  Text   `json:"version"`
	Draining bool   `json:"draining"`
}

// Problem is one of problems[].
type Problem struct {
	Kind     string `json:"kind"`
	Keyspace Text   `json:"keyspace"`
	Span     Text   `json:"span"`
	Node     Text   `json:"node"`
	Since    *Time  `json:"since"`
	Message  string `json:"message"`
}

// Lookup is the answer of lookup.
type Lookup struct {
	Keyspace string  `json:"keyspace"`
	Key      Key     `json:"key"`
	Span     Text    `json:"span"`
	Node     Text    `json:"node"`
	Address  Text    `json:"address"`
	Token    *uint64 `json:"token"`
	State    string  `json:"state"`
}

// Check is the answer of check.
type Check struct {
	OK          bool        `json:"ok"`
	Revision    int64       `json:"revision"`
	HistoryFrom int64       `json:"history_from"`
	Violations  []Violation `json:"violations"`
	// More counts violations beyond those listed.
	More int `json:"more"`
	// Problems are records that cannot be read.
	Problems []BadRecord `json:"problems"`
}

// BadRecord is a stored value that cannot be understood.
type BadRecord struct {
	Key      string `json:"key"`
	Keyspace Text   `json:"keyspace"`
	Span     Text   `json:"span"`
	Revision int64  `json:"revision"`
	Message  string `json:"message"`
}

// Violation is one of violations[].
type Violation struct {
	Invariant string `json:"invariant"`
	Keyspace  Text   `json:"keyspace"`
	Span      Text   `json:"span"`
	Revision  int64  `json:"revision"`
	Message   string `json:"message"`
}

// Diff is the answer of mirror diff.
type Diff struct {
	Equal     bool      `json:"equal"`
	Compared  int64     `json:"compared"`
	Missing   int64     `json:"missing"`
	Extra     int64     `json:"extra"`
	Different int64     `json:"different"`
	Examples  []Example `json:"examples"`
}

// Example is a key that differs.
type Example struct {
	Kind string `json:"kind"`
	// Key is that at the source, escaped; DestKey that at the destination, and Range the span's.
	Key     string `json:"key"`
	DestKey string `json:"dest_key"`
	Range   string `json:"range"`
	// SourceRevision and DestRevision are the last changes of the key, ComparedAt is what the source was compared at.
	SourceRevision *int64 `json:"source_revision"`
	DestRevision   *int64 `json:"dest_revision"`
	ComparedAt     *int64 `json:"compared_at"`
}

// Config is the answer of config show and config set.
type Config struct {
	// Keyspace is null for the cluster.
	Keyspace Text `json:"keyspace"`
	// Maintainer is the one that leads, whose flags count.
	Maintainer Text          `json:"maintainer"`
	Values     []ConfigValue `json:"config"`
}

// ConfigValue is a setting.
type ConfigValue struct {
	Key string `json:"key"`
	// Value is as it would be set, null for a rule that there is not.
	Value  Text   `json:"value"`
	Origin string `json:"origin"`
	// What the leader does not know has no default, unit, bounds and scope; a rule has no default and bounds.
	Default Text `json:"default"`
	Unit    Text `json:"unit"`
	Least   Text `json:"least"`
	Most    Text `json:"most"`
	Scope   Text `json:"scope"`
	Help    Text `json:"help"`
	// Problem says why a stored value has no effect, null if it has.
	Problem Text `json:"problem"`
}

// Version is the answer of version.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	// Failpoints says whether the binary was built to be failed on purpose.
	Failpoints bool `json:"failpoints"`
}

// Key is raw key bytes that print escaped.
type Key string

// MarshalText escapes the key.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (k *Key) UnmarshalText(text []byte) error {
	key, err := span.ParseKey(string(text))
	*k = Key(key)
	return err
}

// String escapes the key.
func (k Key) String() string { return span.EscapeKey(string(k)) }

// Text is null while there is nothing to say: nobody owns the span, no operator holds it.
type Text string

// MarshalJSON makes the empty text null.
func (t Text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(string(t))
	return b.Bytes(), err
}

// Time prints in UTC, with all nine digits of its nanoseconds, so that texts compare like times.
type Time time.Time

const timeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// MarshalText is RFC 3339.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// String is RFC 3339.
func (t Time) String() string { return time.Time(t).UTC().Format(timeFormat) }
