package scheduler_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

// Rewrite the expected output with: go test ./scheduler -run Reshape -rewrite
//
//	keyspace [NAME] [split.load=N …] [max-spans=N]   settings, by their names; NAME is k unless it is said
//	budget N                                         splits and merges in flight
//	nodes                                            one a line: NAME [label=value…] [capacity=N] [ineligible]
//	spans                                            one a line: ID RANGE NODE [pin=NODE] [require=label=value] [unsettled]
//	load                                             one a line: ID LOAD [size=N] [keys=K,K…]
//	after DURATION                                   time passes, and what is planned then
//	settle                                           all that is in flight is carried out; new spans report nothing
//	refuse                                           nothing comes of what is in flight
//	explain ID…
//	next                                             when to look again
func TestReshapeScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/reshape", func(t *testing.T, path string) {
		s := newReshapeWorld()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := s.run(t, d)
			if out == "" {
				out = "-\n"
			}
			return out
		})
	})
}

// reshapeWorld carries out what a fleet plans.
type reshapeWorld struct {
	fleet   *scheduler.Fleet
	start   time.Time
	now     time.Time
	configs map[string]scheduler.ReshapeConfig
	splits  []scheduler.Split
	merges  []scheduler.Merge
	seq     int
	ops     int
}

func newReshapeWorld() *reshapeWorld {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &reshapeWorld{fleet: scheduler.NewFleet(), start: start, now: start, configs: map[string]scheduler.ReshapeConfig{}}
}

func (s *reshapeWorld) run(t *testing.T, d *datadriven.TestData) string {
	var out strings.Builder
	each := func(line func(words []string)) {
		for l := range strings.Lines(d.Input) {
			line(strings.Fields(l))
		}
	}
	switch d.Cmd {
	case "keyspace":
		s.keyspace(t, d.CmdArgs)
	case "budget":
		s.fleet.Configure(scheduler.BalanceConfig{}, int(number(t, d.CmdArgs[0].Key)))
	case "nodes":
		each(func(w []string) { s.fleet.SetNode(reshapeNode(t, w)) })
	case "spans":
		each(func(w []string) { s.fleet.SetSpan(s.span(t, w)) })
	case "load":
		each(func(w []string) { s.load(t, w) })
	case "after":
		p, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		s.now = s.now.Add(p)
		return s.plan()
	case "settle":
		s.settle(nil)
	case "refuse":
		s.refuse()
	case "explain":
		for _, a := range d.CmdArgs {
			fmt.Fprintf(&out, "%s %s\n", a.Key, scheduler.ExplainReshape(s.fleet, ref("k", a.Key), s.now))
		}
	case "next":
		at, ok := s.fleet.NextReshape(s.now)
		if !ok {
			return "never\n"
		}
		return fmt.Sprintf("in %s\n", at.Sub(s.now))
	default:
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	return out.String()
}

func ref(keyspace, id string) operator.Ref {
	return operator.Ref{Keyspace: keyspace, ID: span.ID(id)}
}

func number(t *testing.T, s string) float64 {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (s *reshapeWorld) keyspace(t *testing.T, args []datadriven.CmdArg) {
	name, c := "k", scheduler.ReshapeConfig{}
	for _, a := range args {
		if len(a.Vals) == 0 {
			name = a.Key
			continue
		}
		v := a.Vals[0]
		numbers := map[string]*float64{"split.load": &c.SplitLoad, "split.size": &c.SplitSize, "merge.load": &c.MergeLoad, "merge.size": &c.MergeSize}
		times := map[string]*time.Duration{"split.after": &c.SplitAfter, "merge.after": &c.MergeAfter, "reshape.min-age": &c.MinAge}
		switch {
		case a.Key == "max-spans":
			c.MaxSpans = int(number(t, v))
		case numbers[a.Key] != nil:
			*numbers[a.Key] = number(t, v)
		case times[a.Key] != nil:
			d, err := time.ParseDuration(v)
			if err != nil {
				t.Fatal(err)
			}
			*times[a.Key] = d
		default:
			t.Fatalf("unknown setting %s", a.Key)
		}
	}
	s.configs[name] = c
	s.fleet.SetKeyspace(name, c)
}

func reshapeNode(t *testing.T, words []string) scheduler.Node {
	n := scheduler.Node{Name: words[0], Session: 1, Workloads: []string{"gate"}, Eligible: true, Labels: map[string]string{}}
	for _, w := range words[1:] {
		switch k, v, _ := strings.Cut(w, "="); k {
		case "ineligible":
			n.Eligible, n.Why = false, "cordoned"
		case "capacity":
			n.Capacity = int(number(t, v))
		default:
			n.Labels[k] = v
		}
	}
	return n
}

// span: its keyspace is k, or what comes before a slash in its id.
func (s *reshapeWorld) span(t *testing.T, words []string) scheduler.Span {
	keyspace, id, ok := strings.Cut(words[0], "/")
	if !ok {
		keyspace, id = "k", words[0]
	}
	r, err := span.ParseRange(words[1])
	if err != nil {
		t.Fatal(err)
	}
	sp := scheduler.Span{Ref: ref(keyspace, id), Range: r, Workload: "gate", Node: words[2], Settled: true, Made: s.now}
	for _, w := range words[3:] {
		switch k, v, _ := strings.Cut(w, "="); k {
		case "pin":
			sp.Pin = v
		case "require":
			label, value, _ := strings.Cut(v, "=")
			sp.Rules = &scheduler.Rules{Require: scheduler.Terms{{Label: label, Values: []string{value}}}}
		case "unsettled":
			sp.Settled = false
		default:
			t.Fatalf("unknown word %s", w)
		}
	}
	return sp
}

func (s *reshapeWorld) load(t *testing.T, words []string) {
	keyspace, id, ok := strings.Cut(words[0], "/")
	if !ok {
		keyspace, id = "k", words[0]
	}
	l := scheduler.Load{Load: number(t, words[1]), Size: -1}
	for _, w := range words[2:] {
		switch k, v, _ := strings.Cut(w, "="); k {
		case "size":
			l.Size = number(t, v)
		case "keys":
			l.SplitKeys = strings.Split(v, ",")
		default:
			t.Fatalf("unknown word %s", w)
		}
	}
	s.fleet.SetLoad(ref(keyspace, id), l, s.now)
}

// plan prints what is planned, and remembers it as being in flight.
func (s *reshapeWorld) plan() string {
	var out strings.Builder
	splits, merges := s.fleet.SplitsAndMerges(s.now)
	for _, p := range splits {
		fmt.Fprintf(&out, "split %s/%s on %s at %s: %s\n", p.Ref.Keyspace, p.Ref.ID, p.Node, strings.Join(p.At, " "), p.Reason)
	}
	for _, m := range merges {
		fmt.Fprintf(&out, "merge %s %s: %s\n", m.Keyspace, strings.Trim(fmt.Sprint(m.Spans), "[]"), m.Reason)
	}
	s.splits, s.merges = append(s.splits, splits...), append(s.merges, merges...)
	s.ops += len(splits) + len(merges)
	return out.String()
}

// settle carries out what is in flight. load is what the new spans report, if they report anything.
func (s *reshapeWorld) settle(load func(r span.Range) scheduler.Load) {
	put := func(parents []scheduler.Span, ranges []span.Range) {
		for _, p := range parents {
			s.fleet.RemoveSpan(p.Ref)
		}
		s.seq++
		for n, r := range ranges {
			sp := parents[0]
			sp.Ref.ID = span.ID(fmt.Sprintf("1-%d.%d", s.seq, n))
			sp.Range, sp.Flight, sp.Since, sp.Made = r, scheduler.Flight{}, s.now, s.now
			s.fleet.SetSpan(sp)
			if load != nil {
				s.fleet.SetLoad(sp.Ref, load(r), s.now)
			}
		}
	}
	for _, p := range s.splits {
		sp, _ := s.fleet.Span(p.Ref)
		parts, err := sp.Range.Split(p.At...)
		if err != nil {
			panic(err)
		}
		put([]scheduler.Span{sp}, parts)
	}
	for _, m := range s.merges {
		var parents []scheduler.Span
		for _, id := range m.Spans {
			sp, _ := s.fleet.Span(ref(m.Keyspace, string(id)))
			parents = append(parents, sp)
		}
		put(parents, []span.Range{{Start: parents[0].Range.Start, End: parents[len(parents)-1].Range.End}})
	}
	s.splits, s.merges = nil, nil
}

func (s *reshapeWorld) refuse() {
	for _, r := range s.flying() {
		sp, _ := s.fleet.Span(r)
		sp.Flight = scheduler.Flight{}
		s.fleet.SetSpan(sp)
	}
	s.splits, s.merges = nil, nil
}

func (s *reshapeWorld) flying() (out []operator.Ref) {
	for _, p := range s.splits {
		out = append(out, p.Ref)
	}
	for _, m := range s.merges {
		for _, id := range m.Spans {
			out = append(out, ref(m.Keyspace, string(id)))
		}
	}
	return out
}
