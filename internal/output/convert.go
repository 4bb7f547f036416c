package output

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/span"
)

// FromSpan gives the shape of a span.
func FromSpan(s *controlv1.Span) Span {
	start, end := bounds(s)
	return Span{
		Keyspace: s.GetKeyspace(), ID: s.GetId(), Start: start, End: end, State: s.GetState(),
		Node: Text(s.GetNode()), Session: known(s.GetSession()), Token: known(s.GetToken()),
		Checkpoint: s.Checkpoint, LagMS: s.LagMs, Load: s.Load, Operator: Text(s.GetOperator()), LastError: Text(s.GetLastError()),
		Lineage: Lineage{Parents: some(s.GetParents()), Children: some(s.GetChildren())},
		Copied:  s.Copied, CopyTotal: s.CopyTotal, Why: Text(s.GetWhy()), Revision: s.GetRevision(),
		Size: s.Size, Next: Text(s.GetNext()),
	}
}

// FromSpans gives the shapes of spans, in the order of keyspace and key.
func FromSpans(in []*controlv1.Span) []Span {
	sorted := slices.SortedFunc(slices.Values(in), func(a, b *controlv1.Span) int {
		return cmp.Or(cmp.Compare(a.GetKeyspace(), b.GetKeyspace()), bytes.Compare(a.GetStart(), b.GetStart()),
			cmp.Compare(a.GetId(), b.GetId()))
	})
	return each(sorted, FromSpan)
}

// bounds are the ends of a span, as far as somebody could read them.
func bounds(s *controlv1.Span) (start, end *Key) {
	if s.GetState() == "quarantined" && len(s.GetStart()) == 0 && len(s.GetEnd()) == 0 {
		return nil, nil
	}
	return new(Key(s.GetStart())), new(Key(s.GetEnd()))
}

// FromConfig gives the shape of settings.
func FromConfig(c *controlv1.Config) Config {
	return Config{
		Keyspace: Text(c.GetKeyspace()), Maintainer: Text(c.GetMaintainer()),
		Values: each(c.GetValues(), func(v *controlv1.ConfigValue) ConfigValue {
			return ConfigValue{
				Key: v.GetKey(), Value: Text(v.GetValue()), Origin: v.GetOrigin(), Default: Text(v.GetDefault()), Unit: Text(v.GetUnit()),
				Least: Text(v.GetLeast()), Most: Text(v.GetMost()), Scope: Text(v.GetScope()), Help: Text(v.GetHelp()),
				Problem: Text(v.GetProblem()),
			}
		}),
	}
}

// FromOperator gives the shape of an operator.
func FromOperator(o *controlv1.Operator) Operator {
	return Operator{
		ID: Text(o.GetId()), RequestID: Text(o.GetRequestId()), Type: o.GetType(), Keyspace: o.GetKeyspace(), Spans: some(o.GetSpans()),
		From: Text(o.GetFrom()), To: Text(o.GetTo()), At: each(o.GetAt(), func(k []byte) Key { return Key(k) }),
		Stage: o.GetStage(), Outcome: o.GetOutcome(), By: Text(o.GetBy()), Reason: Text(o.GetReason()),
		Created: moment(o.GetCreated()), FinishedAt: moment(o.GetFinishedAt()), Error: Text(o.GetError()), Results: some(o.GetResults()),
		Steps: each(o.GetSteps(), func(s *controlv1.Operator_Step) Step {
			return Step{
				Stage: s.GetStage(), At: moment(s.GetAt()), Node: Text(s.GetNode()), Span: Text(s.GetSpan()), DurationMS: s.DurationMs,
			}
		}),
		Cause: cause(o.GetCause()),
	}
}

func cause(c *controlv1.Operator_Cause) *Cause {
	if c == nil {
		return nil
	}
	return &Cause{By: Text(c.GetBy()), Reason: Text(c.GetReason()), RequestID: Text(c.GetRequestId()), Operator: Text(c.GetOperator())}
}

// FromOperators gives the shapes of operators, the oldest first.
func FromOperators(in []*controlv1.Operator) []Operator {
	out := each(in, FromOperator)
	slices.SortStableFunc(out, func(a, b Operator) int {
		return cmp.Or(cmp.Compare(timeText(a.Created), timeText(b.Created)), compareIDs(string(a.ID), string(b.ID)),
			cmp.Compare(a.Keyspace, b.Keyspace), slices.Compare(a.Spans, b.Spans))
	})
	return out
}

// FromHistory gives the shapes of operators that are over, in the order in which they ended.
func FromHistory(in []*controlv1.Operator) []Operator {
	out := FromOperators(in)
	slices.SortStableFunc(out, func(a, b Operator) int { return cmp.Compare(timeText(a.FinishedAt), timeText(b.FinishedAt)) })
	return out
}

// compareIDs orders operator ids by number: 9-1 goes before 10-1, and 10-2 before 10-10.
func compareIDs(a, b string) int {
	aTerm, aSeq, _ := strings.Cut(a, "-")
	bTerm, bSeq, _ := strings.Cut(b, "-")
	return cmp.Or(cmp.Compare(len(aTerm), len(bTerm)), cmp.Compare(aTerm, bTerm),
		cmp.Compare(len(aSeq), len(bSeq)), cmp.Compare(aSeq, bSeq))
}

// FromNode gives the shape of a node.
func FromNode(n *controlv1.Node) Node {
	workloads := slices.Clone(some(n.GetWorkloads()))
	slices.Sort(workloads)
	return Node{
		Name: n.GetName(), Session: known(n.GetSession()), Address: Text(n.GetAddress()), State: n.GetState(), Spans: n.GetSpans(),
		Workloads: workloads, Labels: someMap(n.GetLabels()), Capacity: n.GetCapacity(), Version: Text(n.GetVersion()),
		Weight: known(n.GetWeight()), MayActUntilMS: n.MayActUntilMs, Why: Text(n.GetWhy()),
	}
}

// FromDrain gives the shape of a plan to drain a node.
func FromDrain(name string, d *controlv1.DrainNodeResponse) Drain {
	return Drain{
		Node: name,
		Moves: each(d.GetMoves(), func(m *controlv1.DrainNodeResponse_DrainMove) DrainMove {
			return DrainMove{Keyspace: m.GetKeyspace(), Span: m.GetSpan(), From: m.GetFrom(), To: m.GetTo(), Reason: m.GetReason()}
		}),
		Stuck: each(d.GetStuck(), func(s *controlv1.DrainNodeResponse_DrainStuck) DrainStuck {
			return DrainStuck{Keyspace: s.GetKeyspace(), Span: s.GetSpan(), Reason: s.GetReason()}
		}),
	}
}

// FromNodes gives the shapes of nodes, by name.
func FromNodes(in []*controlv1.Node) []Node {
	out := each(in, FromNode)
	slices.SortFunc(out, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// FromKeyspace gives the shape of a keyspace.
func FromKeyspace(k *controlv1.Keyspace) Keyspace {
	return Keyspace{
		Name: k.GetName(), Workload: k.GetWorkload(), Set: someMap(k.GetSet()), Ranges: ranges(k.GetRanges()), State: k.GetState(),
		Spans: spanCounts(k.GetSpans()), Checkpoint: k.Checkpoint, LagMS: k.LagMs, Copied: k.Copied, CopyTotal: k.CopyTotal,
		ExpectedSpans: k.ExpectedSpans,
	}
}

func ranges(in []*controlv1.Range) []string {
	rs := each(in, func(r *controlv1.Range) span.Range {
		return span.Range{Start: string(r.GetStart()), End: string(r.GetEnd())}
	})
	slices.SortFunc(rs, span.Range.Compare)
	return each(rs, span.Range.String)
}

// FromKeyspaces gives the shapes of keyspaces, by name.
func FromKeyspaces(in []*controlv1.Keyspace) []Keyspace {
	out := each(in, FromKeyspace)
	slices.SortFunc(out, func(a, b Keyspace) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// FromStatus gives the shape of a status.
func FromStatus(s *controlv1.GetStatusResponse) Status {
	return Status{
		Cluster: s.GetCluster(), Leader: Text(s.GetLeader()), Term: known(s.GetTerm()), Revision: known(s.GetRevision()),
		Maintainers: maintainers(s.GetMaintainers()), Nodes: nodeCounts(s.GetNodes()), Spans: spanCounts(s.GetSpans()),
		Operators: operatorCounts(s.GetOperators()), Problems: problems(s.GetProblems()), Keyspaces: FromKeyspaces(s.GetKeyspaces()),
		Paused: some(s.GetPaused()),
	}
}

func maintainers(in []*controlv1.Maintainer) []Maintainer {
	out := each(in, func(m *controlv1.Maintainer) Maintainer {
		return Maintainer{
			Name: m.GetName(), Address: Text(m.GetAddress()), Leader: m.GetLeader(), Version: Text(m.GetVersion()), Draining: m.GetDraining(),
		}
	})
	slices.SortFunc(out, func(a, b Maintainer) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// problems are listed the oldest first.
func problems(in []*controlv1.Problem) []Problem {
	out := each(in, func(p *controlv1.Problem) Problem {
		return Problem{
			Kind: p.GetKind(), Keyspace: Text(p.GetKeyspace()), Span: Text(p.GetSpan()), Node: Text(p.GetNode()),
			Since: moment(p.GetSince()), Message: p.GetMessage(),
		}
	})
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(timeText(a.Since), timeText(b.Since)), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Keyspace, b.Keyspace), cmp.Compare(a.Span, b.Span), cmp.Compare(a.Node, b.Node))
	})
	return out
}

func spanCounts(m map[string]int64) SpanCounts {
	return SpanCounts{
		Total: m["total"], Running: m["running"], Absent: m["absent"], Opening: m["opening"], Closing: m["closing"],
		Paused: m["paused"], Failing: m["failing"], Stuck: m["stuck"], Quarantined: m["quarantined"],
	}
}

func nodeCounts(m map[string]int64) NodeCounts {
	return NodeCounts{
		Total: m["total"], Ready: m["ready"], Cordoned: m["cordoned"], Draining: m["draining"], Drained: m["drained"],
		Unreachable: m["unreachable"], Gone: m["gone"],
	}
}

func operatorCounts(m map[string]int64) OperatorCounts {
	return OperatorCounts{
		Total: m["total"], Queued: m["queued"], Closing: m["closing"], HandedOff: m["handed_off"], Opening: m["opening"],
	}
}

// Known is a number that cannot be 0, which stands for unknown.
func Known(n int64) *int64 { return known(n) }

// known turns the 0 of the wire, which never is a session, token, term or weight, into null.
func known[T int64 | uint64 | float64](n T) *T {
	if n == 0 {
		return nil
	}
	return &n
}

func moment(t *timestamppb.Timestamp) *Time {
	if t == nil || t.GetSeconds() == 0 && t.GetNanos() == 0 {
		return nil
	}
	own := Time(t.AsTime())
	return &own
}

// timeText orders as its time does; what is not known goes last.
func timeText(t *Time) string {
	if t == nil {
		return "~"
	}
	return t.String()
}

// some is the list, but never null.
func some[T any](in []T) []T {
	if in == nil {
		return []T{}
	}
	return in
}

func someMap(in map[string]string) map[string]string {
	if in == nil {
		return map[string]string{}
	}
	return in
}

func each[A, B any](in []A, f func(A) B) []B {
	out := make([]B, 0, len(in))
	for _, a := range in {
		out = append(out, f(a))
	}
	return out
}
