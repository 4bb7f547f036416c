package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/maintainer"
	"github.com/spanward/spanward/view"
)

// leading is a maintainer about which everything is known.
type leading struct{ follows bool }

func (leading) Stats() maintainer.Stats {
	return maintainer.Stats{
		Asks: 7, Repeated: 2, Refused: 1, Messages: 3, Txns: 4, Parts: 5, Mutations: 6, Terms: 2, Sessions: 1, MayAct: 4 * time.Second,
		Leading: true, Term: 812, Revision: 900, View: view.Stats{Lists: 1, Watches: 2, Heard: time.Now()},
		Takeovers: []maintainer.Takeover{{Term: 5, View: time.Hour, FirstWrite: time.Hour}, {Term: 812, View: time.Millisecond, FirstWrite: 3 * time.Millisecond}},
	}
}

func (l leading) Overview() *overview {
	if l.follows {
		return nil
	}
	lag, checkpoint := int64(1500), uint64(42)
	return &overview{
		Nodes: map[string]int64{"ready": 2}, Operators: map[string]int64{"handed_off": 1},
		Keyspaces: []*controlv1.Keyspace{
			{Name: "orders", Spans: map[string]int64{"running": 8}, LagMs: &lag, Checkpoint: &checkpoint},
			{Name: "new", Spans: map[string]int64{"absent": 1}},
		},
		Problems: []*controlv1.Problem{{Kind: "failing", Span: "1"}, {Kind: "failing", Span: "2"}},
	}
}

func (l leading) Scheduling() *maintainer.Scheduling {
	if l.follows {
		return nil
	}
	return &maintainer.Scheduling{
		Planners: []*controlv1.Scheduler{
			{Name: "balance", State: "on", InFlight: 3, Limit: 8, Waiting: 2, Accepted: 70},
			{Name: "placement", State: "paused", Waiting: 4},
		},
		Nodes:         []maintainer.Carried{{Node: "n1", Spans: 6, Load: 1.5}, {Node: "n2", Spans: 2}},
		SpanImbalance: 1.5,
	}
}

type working struct{}

func (working) Stats() dispatcher.Stats {
	return dispatcher.Stats{
		Opening: 1, Running: 2, Closing: 3, Batches: 4, Parts: 5, Mutations: 6, Sessions: 2, Session: 77, MayAct: time.Second,
		Lag: map[string]time.Duration{"orders": 250 * time.Millisecond},
	}
}

// family is one metric as it is served.
type family struct {
	kind, help string
	labels     []string
}

// scraped is everything that a collector shows, by name and labels.
func scraped(t *testing.T, c prometheus.Collector) (map[string]float64, map[string]family) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values, families := map[string]float64{}, map[string]family{}
	for _, f := range all {
		shape := family{kind: strings.ToLower(f.GetType().String()), help: f.GetHelp()}
		for _, l := range f.GetMetric()[0].GetLabel() {
			shape.labels = append(shape.labels, "`"+l.GetName()+"`")
		}
		families[f.GetName()] = shape
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += "," + l.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values, families
}

func TestNumbersAreWhatTheRoleSays(t *testing.T) {
	m, _ := scraped(t, maintainerNumbers(leading{}))
	d, _ := scraped(t, dispatcherNumbers(working{}))
	follower, _ := scraped(t, maintainerNumbers(leading{follows: true}))
	for name, want := range map[string]float64{
		"spanward_leader": 1, "spanward_term": 812, "spanward_takeover_seconds,first_write": 0.003, "spanward_takeover_seconds,view": 0.001,
		"spanward_spans,orders,running": 8, "spanward_spans,new,absent": 1, "spanward_spans,new,running": 0, "spanward_nodes,ready": 2,
		"spanward_operators,handed_off": 1, "spanward_problems,failing": 2, "spanward_keyspace_lag_seconds,orders": 1.5,
		"spanward_keyspace_checkpoint,orders":      42,
		"spanward_planner_operators_total,balance": 70, "spanward_planner_in_flight,balance": 3, "spanward_planner_in_flight_limit,balance": 8,
		"spanward_planner_waiting_spans,placement": 4, "spanward_planner_paused,balance": 0, "spanward_planner_paused,placement": 1,
		"spanward_node_spans,n1": 6, "spanward_node_load,n1": 1.5, "spanward_node_load,n2": 0, "spanward_imbalance,spans": 1.5,
		"spanward_asks_total": 7, "spanward_etcd_changes_total": 5, "spanward_may_act_seconds": 4,
	} {
		if got, ok := m[name]; !ok || got != want {
			t.Errorf("%s is %v, %v, want %v", name, got, ok, want)
		}
	}
	for name, want := range map[string]float64{
		"spanward_dispatcher_spans,opening": 1, "spanward_dispatcher_spans,running": 2, "spanward_dispatcher_spans,closing": 3,
		"spanward_dispatcher_lag_seconds,orders": 0.25, "spanward_dispatcher_session": 77, "spanward_etcd_transactions_total": 4,
	} {
		if got, ok := d[name]; !ok || got != want {
			t.Errorf("%s is %v, %v, want %v", name, got, ok, want)
		}
	}
	if _, known := m["spanward_keyspace_lag_seconds,new"]; known {
		t.Error("a lag that nobody knows is shown")
	}
	for _, name := range []string{"spanward_planner_in_flight_limit,placement", "spanward_imbalance,load"} {
		if got, shown := m[name]; shown {
			t.Errorf("%s is shown as %v: there is none", name, got)
		}
	}
	for _, name := range []string{"spanward_nodes,ready", "spanward_planner_paused,balance", "spanward_node_spans,n1"} {
		if _, shown := follower[name]; shown {
			t.Errorf("one that does not lead speaks for the cluster: %s", name)
		}
	}
}

// docs/metrics.md has a row for each metric and no others, with type, labels and help as they are served.
func TestMetricsAreDocumented(t *testing.T) {
	_, m := scraped(t, maintainerNumbers(leading{}))
	_, d := scraped(t, dispatcherNumbers(working{}))
	all, both := maps.Clone(m), map[string]family{}
	maps.Copy(all, d)
	for name := range m {
		if shape, ok := d[name]; ok {
			both[name] = shape
			delete(m, name)
			delete(d, name)
		}
	}

	file := filepath.Join("..", "..", "docs", "metrics.md")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(raw)
	for section, metrics := range map[string]map[string]family{"shared": both, "maintainer": m, "dispatcher": d} {
		want = replaceSection(t, want, section, metricRows(metrics))
	}
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		raw = []byte(want)
	}
	if diff := cmp.Diff(string(raw), want); diff != "" {
		t.Errorf("docs/metrics.md is stale; run `go test ./cmd/spanward -run Metrics -update` (-have +want):\n%s", diff)
	}
	for _, name := range metricNames(string(raw)) {
		if _, ok := all[name]; !ok && name != "spanward_build_info" {
			t.Errorf("%s is documented and does not exist", name)
		}
	}
}

func replaceSection(t *testing.T, page, name, rows string) string {
	t.Helper()
	head, rest, ok := strings.Cut(page, "<!-- "+name+": ")
	note, rest, ok2 := strings.Cut(rest, " -->\n")
	_, tail, ok3 := strings.Cut(rest, "<!-- end -->\n")
	if !ok || !ok2 || !ok3 {
		t.Fatalf("docs/metrics.md has no section %s", name)
	}
	return head + "<!-- " + name + ": " + note + " -->\n" + rows + "<!-- end -->\n" + tail
}

func metricRows(all map[string]family) string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		f := all[name]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, f.kind, strings.Join(f.labels, " "), f.help)
	}
	return b.String()
}

// metricNames are all names that a page mentions.
func metricNames(page string) []string {
	var out []string
	for _, word := range strings.FieldsFunc(page, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z')
	}) {
		if strings.HasPrefix(word, "spanward_") {
			out = append(out, word)
		}
	}
	return out
}

func TestHealthPages(t *testing.T) {
	var alive, ready error
	f := serveFlags{name: "m1"}
	h, err := f.openHTTP("maintainer")
	if err != nil {
		t.Fatal(err)
	}
	h.watch(watched{alive: func() error { return alive }, ready: func() error { return ready }}, dispatcherNumbers(working{}))
	expect := func(path string, code int, says string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != code || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s, want %d %s", path, w.Code, w.Body, code, says)
		}
	}
	expect("/readyz", http.StatusServiceUnavailable, "not serving yet")
	expect("/healthz", http.StatusOK, "ok")
	h.serving.Store(true)
	expect("/readyz", http.StatusOK, "ok")
	ready = errors.New("etcd is away")
	expect("/readyz", http.StatusServiceUnavailable, "etcd is away")
	expect("/healthz", http.StatusOK, "ok")
	alive = errors.New("hung")
	expect("/healthz", http.StatusServiceUnavailable, "hung")
	expect("/metrics", http.StatusOK, `spanward_build_info{`)
	expect("/metrics", http.StatusOK, `spanward_dispatcher_spans{phase="running"} 2`)
}
