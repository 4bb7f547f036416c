package sim

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"slices"

	"github.com/spanward/spanward/internal/output"
)

// Result is what came of a scenario. Its JSON has every field in every object; what is unknown is null.
type Result struct {
	Name       string            `json:"name"`
	Seed       uint64            `json:"seed"`
	DurationMS int64             `json:"duration_ms"`
	TickMS     int64             `json:"tick_ms"`
	Settings   map[string]string `json:"settings"`
	Operators  Counts            `json:"operators"`
	Plans      Plans             `json:"plans"`
	Events     []Followed        `json:"events"`
	Samples    []Sample          `json:"samples"`
	Problems   []Problem         `json:"problems"`
	Nodes      []NodeResult      `json:"nodes"`
}

// Counts are operators that have ended: by what they were for, if they were done, else by how they ended.
type Counts struct {
	// Opened are new spans, Failover those of lost nodes, Retried those that could not be opened elsewhere before.
	Opened   int `json:"opened"`
	Failover int `json:"failover"`
	Retried  int `json:"retried"`
	Drain    int `json:"drain"`
	Balance  int `json:"balance"`
	Split    int `json:"split"`
	Merge    int `json:"merge"`
	Failed   int `json:"failed"`
	Refused  int `json:"refused"`
	// Late openings were given up.
	Late int `json:"late"`
}

// Plans counts how often the leader planned, and how often each planner was asked.
type Plans struct {
	Turns     int `json:"turns"`
	Placement int `json:"placement"`
	Drain     int `json:"drain"`
	Balance   int `json:"balance"`
	Reshape   int `json:"reshape"`
}

// Followed is an event, and what followed up to the next one.
type Followed struct {
	AtMS  int64  `json:"at_ms"`
	Event string `json:"event"`
	// CalmAfterMS is how long it took until everything was done that the event led to; null if that was not reached.
	CalmAfterMS      *int64 `json:"calm_after_ms"`
	Operators        Counts `json:"operators"`
	UnownedMost      int    `json:"unowned_most"`
	UnownedLongestMS int64  `json:"unowned_longest_ms"`
}

// Sample is how things are at a moment. Operators count since the start.
type Sample struct {
	AtMS     int64 `json:"at_ms"`
	Nodes    int   `json:"nodes"`
	Spans    int   `json:"spans"`
	Unowned  int   `json:"unowned"`
	InFlight int   `json:"in_flight"`
	done
	// SpansMaxMean is what the fullest node carries as a multiple of the mean, LoadMaxMean the same of load. Nodes that
	// take no spans do not count.
	SpansMaxMean *float64 `json:"spans_max_mean"`
	LoadMaxMean  *float64 `json:"load_max_mean"`
}

// done are operators that were carried out since the start.
type done struct {
	Openings int `json:"openings"`
	Moves    int `json:"moves"`
	Splits   int `json:"splits"`
	Merges   int `json:"merges"`
}

// Problem is what could not be done.
type Problem struct {
	// Kind is drain, placement or mass_loss.
	Kind     string      `json:"kind"`
	Node     output.Text `json:"node"`
	Keyspace output.Text `json:"keyspace"`
	// Spans that it concerns, at most; of a mass loss it is nodes.
	Spans   int    `json:"spans"`
	Message string `json:"message"`
	SinceMS int64  `json:"since_ms"`
	// UntilMS is null if it is so at the end.
	UntilMS *int64 `json:"until_ms"`
}

// NodeResult is a node at the end.
type NodeResult struct {
	Name  string  `json:"name"`
	State string  `json:"state"`
	Spans int     `json:"spans"`
	Load  float64 `json:"load"`
}

// WriteJSON prints one line.
func (r *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

func (e *engine) result() *Result {
	m := &e.measure
	e.stillUnowned()
	r := &Result{
		Name: e.sc.Name, Seed: e.sc.Seed, DurationMS: e.sc.Duration.Milliseconds(), TickMS: e.sc.Tick.Milliseconds(),
		Settings: e.sc.Settings, Operators: countsOf(&m.ended), Plans: m.plans,
		Samples: m.samples, Problems: []Problem{}, Nodes: []NodeResult{},
	}
	for _, p := range m.phases {
		f := Followed{AtMS: p.at.Milliseconds(), Event: p.text(), Operators: countsOf(&p.ended), UnownedMost: p.most, UnownedLongestMS: p.longest.Milliseconds()}
		if p.calm != never {
			ms := (p.calm - p.at).Milliseconds()
			f.CalmAfterMS = &ms
		}
		r.Events = append(r.Events, f)
	}
	for _, p := range m.problems.order {
		r.Problems = append(r.Problems, *p)
	}
	for _, n := range e.nodes {
		load := float64(int64(1000*n.load+0.5)) / 1000
		r.Nodes = append(r.Nodes, NodeResult{n.name, n.state(), len(n.spans), load})
	}
	return r
}

func (n *node) state() string {
	switch {
	case !n.up || !n.present:
		return "gone"
	case n.draining && len(n.spans)+len(n.coming) == 0:
		return "drained"
	case n.takes():
		return "ready"
	}
	return n.why()
}

func countsOf(ended *[causes][outcomes]int) Counts {
	c := Counts{
		Opened: ended[byStart][isDone], Failover: ended[byFailover][isDone], Retried: ended[byRetry][isDone],
		Drain: ended[byDrain][isDone], Balance: ended[byBalance][isDone], Split: ended[bySplit][isDone], Merge: ended[byMerge][isDone],
	}
	for _, of := range ended {
		c.Failed += of[isFailed]
		c.Refused += of[isRefused]
		c.Late += of[isLate]
	}
	return c
}

// done counts what was carried out.
func doneOf(ended *[causes][outcomes]int) done {
	c := countsOf(ended)
	return done{Openings: c.Opened + c.Failover + c.Retried, Moves: c.Drain + c.Balance, Splits: c.Split, Merges: c.Merge}
}

func (p *Problem) key() problemKey { return problemKey{p.Kind, string(p.Node), string(p.Keyspace)} }

func sortedKeys(m map[problemKey]*Problem) []problemKey {
	return slices.SortedFunc(maps.Keys(m), func(a, b problemKey) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.node, b.node), cmp.Compare(a.keyspace, b.keyspace))
	})
}
