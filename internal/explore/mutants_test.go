package explore

import (
	"slices"
	"strings"
	"testing"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

const root = "/spanward/" + clusterName + "/"

// without drops the compares of keys below a prefix.
func without(list []txn.Cmp, prefix string) []txn.Cmp {
	return slices.DeleteFunc(slices.Clone(list), func(c txn.Cmp) bool { return strings.HasPrefix(c.Key, root+prefix) })
}

func claims(p txn.Part) bool {
	return slices.ContainsFunc(p.If, func(c txn.Cmp) bool { return strings.HasPrefix(c.Key, root+"operators/") && c.Rev == 0 }) &&
		slices.ContainsFunc(p.Then, func(o txn.Op) bool { return o.Leased })
}

// ending is the history that a part writes, nil for none.
func ending(p txn.Part) *record.History {
	for _, o := range p.Then {
		if strings.HasPrefix(o.Key, root+"history/") {
			if h, err := record.DecodeHistory(o.Value); err == nil {
				return &h
			}
		}
	}
	return nil
}

// spansOf rewrites the span records that a part puts.
func spansOf(p txn.Part, f func(key string, s *record.Span)) txn.Part {
	p.Then = slices.Clone(p.Then)
	for n, o := range p.Then {
		if o.Delete || !strings.HasPrefix(o.Key, root+"spans/") {
			continue
		}
		if s, err := record.DecodeSpan(o.Value); err == nil {
			f(o.Key, &s)
			p.Then[n].Value = record.EncodeSpan(s)
		}
	}
	return p
}

// Each mutant takes one rule away, and the exploration notices. Where the shortest trace is not what one would expect,
// the text says what it is.
func TestMutants(t *testing.T) {
	for _, m := range []struct {
		name, says string
		cfg        Config
		mutant     Mutant
	}{
		{
			name: "no leader compare", says: "former leader",
			cfg: Config{Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2")}, Faults: 2, Of: NewLeader | LateCopy},
			mutant: Mutant{Send: func(s Sent) Sent {
				s.Outer = without(s.Outer, "leader")
				return s
			}},
		},
		{
			name: "claims do not compare the span's revision", says: "for an operator that its record does not have",
			cfg: Config{Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2")}, Faults: 1, Of: LateAsk, Cancels: 1},
			mutant: Mutant{Send: func(s Sent) Sent {
				if claims(s.Part) {
					s.Part.If = without(s.Part.If, "spans/")
				}
				return s
			}},
		},
		{
			name: "commits compare neither the claim nor the node", says: "",
			cfg: Config{Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2")}, Faults: 1, Of: Zombie},
			mutant: Mutant{Fenceless: true, Send: func(s Sent) Sent {
				s.Outer = without(s.Outer, "nodes/")
				if !claims(s.Part) && !s.Leader {
					s.Part.If = without(s.Part.If, "operators/")
				}
				return s
			}},
		},
		{
			name: "leader writes do not compare that nobody acts", says: "",
			cfg: Config{Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2")}, Faults: 1, Of: LateCopy, Cancels: 1},
			mutant: Mutant{Send: func(s Sent) Sent {
				if s.Leader {
					s.Part.If = without(s.Part.If, "operators/")
				}
				return s
			}},
		},
		{
			name: "the hand-off does not wait for the close", says: "two owners, both present",
			cfg:    Config{Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2")}},
			mutant: Mutant{Early: true},
		},
		{
			name: "children with an intent", says: "has ended and is an intent",
			cfg: Config{Nodes: two, Spans: at("n1"), Ops: []Op{split("s")}},
			mutant: Mutant{Send: func(s Sent) Sent {
				h := ending(s.Part)
				s.Part = spansOf(s.Part, func(key string, c *record.Span) {
					if h != nil && strings.Contains(key, h.Intent.Operator+".") {
						c.Intent = &h.Intent
					}
				})
				return s
			}},
		},
		{
			name: "a cancel keeps the intent", says: "has ended and is an intent",
			cfg: Config{Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2")}, Cancels: 1},
			mutant: Mutant{Send: func(s Sent) Sent {
				if h := ending(s.Part); h != nil && h.Outcome == record.OutcomeCancelled {
					s.Part = spansOf(s.Part, func(_ string, c *record.Span) { c.Intent = &h.Intent })
				}
				return s
			}},
		},
		{
			name: "a remove supersedes one member of a merge only", says: "has ended and is an intent",
			cfg: Config{Nodes: two, Spans: at("n1", "n1"), Ops: []Op{merge("a", "b"), remove("a")}},
			mutant: Mutant{Send: func(s Sent) Sent {
				if h := ending(s.Part); h != nil && h.Cause != nil && h.Cause.Operator != "" {
					s.Part.Then = slices.DeleteFunc(slices.Clone(s.Part.Then), func(o txn.Op) bool { return strings.HasSuffix(o.Key, "/b") })
				}
				return s
			}},
		},
		{
			name: "history is not in the transaction that ends the operator", says: "neither an intent nor in the history",
			cfg: Config{Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2")}},
			mutant: Mutant{Send: func(s Sent) Sent {
				s.Part.Then = slices.DeleteFunc(slices.Clone(s.Part.Then), func(o txn.Op) bool { return strings.HasPrefix(o.Key, root+"history/") })
				return s
			}},
		},
		{
			name: "a put drops the lease", says: "does not end with its session",
			cfg: Config{Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2")}},
			mutant: Mutant{Send: func(s Sent) Sent {
				s.Part.Then = slices.Clone(s.Part.Then)
				for n := range s.Part.Then {
					s.Part.Then[n].Leased = false
				}
				return s
			}},
		},
		{
			name: "the leader takes a late opening away from a living session", says: "two owners, both present",
			cfg: Config{Nodes: two, Spans: at("")},
			mutant: Mutant{Next: func(r operator.Records, out []operator.Action) []operator.Action {
				if m := r.Members[0]; m.Claim != nil && m.Claim.Stage == record.StageOpening {
					out = append(out, operator.Drop{Span: m.Ref, Claim: *m.Claim, Present: m.ActorSession})
				}
				return out
			}},
		},
		{
			name: "the leader opens a span elsewhere although its owner lives", says: "two owners, both present",
			cfg: Config{Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2")}},
			mutant: Mutant{Next: func(r operator.Records, out []operator.Action) []operator.Action {
				if m := r.Members[0]; m.Claim == nil && m.Intent != nil {
					out = append(out, operator.Place{Span: m.Ref, Only: "n2"})
				}
				return out
			}},
		},
		{
			name: "the leader swaps a merge although a source has a living owner", says: "etcd does not know",
			cfg: Config{Nodes: two, Spans: at("n1", "n2"), Ops: []Op{merge("a", "b")}},
			mutant: Mutant{Next: func(r operator.Records, out []operator.Action) []operator.Action {
				if m := r.Members[0]; m.Claim == nil && m.Intent != nil && r.Members[1].Claim == nil {
					out = append(out, operator.Swap{Members: r.Members})
				}
				return out
			}},
		},
		{
			name: "a remove whose owner is gone is forgotten", says: "no clean state",
			cfg: Config{Nodes: two, Spans: at("n1"), Ops: []Op{remove("s")}, Faults: 1, Of: Kill},
			mutant: Mutant{Next: func(r operator.Records, out []operator.Action) []operator.Action {
				if m := r.Members[0]; m.Intent != nil && !m.Owner.Present() {
					return nil
				}
				return out
			}},
		},
	} {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Mutant = m.mutant
			m.cfg.MaxStates = 200_000
			r := Run(m.cfg)
			switch {
			case r.Violation == nil:
				t.Errorf("not noticed: %v", r)
			case !strings.Contains(r.Violation.What, m.says):
				t.Errorf("want %q, got %v", m.says, r.Violation)
			default:
				t.Logf("%v: %s", r, r.Violation.What)
			}
			m.cfg.Mutant = Mutant{}
			if r := Run(m.cfg); r.Violation != nil {
				t.Errorf("without the mutant: %v", r.Violation)
			}
		})
	}
}

// Rules that others cover: without one of them alone nothing bad can be reached, within the same bounds. They are kept,
// since they make mistakes elsewhere harmless, and this test says so when one of them becomes the only one.
func TestRedundantRules(t *testing.T) {
	for _, m := range []struct {
		name   string
		cfg    Config
		mutant Mutant
	}{
		{
			name: "commits do not compare the node, but the claim, which is on its lease",
			cfg:  Config{Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2")}, Faults: 2, Of: deaths},
			mutant: Mutant{Fenceless: true, Send: func(s Sent) Sent {
				if !claims(s.Part) && !s.Leader {
					s.Outer = without(s.Outer, "nodes/")
				}
				return s
			}},
		},
		{
			name: "commits do not compare the claim, but the node and the record",
			cfg:  Config{Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2")}, Faults: 2, Of: deaths},
			mutant: Mutant{Send: func(s Sent) Sent {
				if !claims(s.Part) && !s.Leader {
					s.Part.If = without(s.Part.If, "operators/")
				}
				return s
			}},
		},
		{
			name: "leader writes do not compare the term, but the record and that nobody acts",
			cfg:  Config{Nodes: two, Spans: at("n1"), Ops: []Op{move("s", "n2")}, Faults: 2, Of: NewLeader | LateCopy | LateAsk},
			mutant: Mutant{Send: func(s Sent) Sent {
				s.Outer = without(s.Outer, "leader")
				return s
			}, Termless: true},
		},
	} {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Mutant = m.mutant
			r := Run(m.cfg)
			t.Log(r)
			if r.Violation != nil {
				t.Error(r.Violation)
			}
		})
	}
}
