package maintainer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/view"
)

const (
	// shownProblems bounds the spans of one keyspace that are listed as problems one by one.
	shownProblems = 100
	// creatingAfter is how long a keyspace may be created before it is a problem: nobody may be doing it any more.
	creatingAfter = 30 * time.Second
)

// statusFacts is what the records say of the whole cluster at one revision.
type statusFacts struct {
	cluster     string
	revision    int64
	leader      *view.Leader
	maintainers []*view.Maintainer
	nodes       []nodeFacts
	keyspaces   []*view.Keyspace
	spans       map[string][]spanFacts
	hidden      map[string]int
	operators   []flight
	quarantined []*view.Quarantine
	paused      []string
}

func statusOf(s *view.State) statusFacts {
	f := statusFacts{
		cluster: s.Layout().ClusterName(), revision: s.Revision(), leader: s.Leader(), nodes: nodesOf(s),
		maintainers: slices.Collect(s.Maintainers()), keyspaces: slices.Collect(s.Keyspaces()),
		spans: map[string][]spanFacts{}, hidden: map[string]int{}, operators: inFlight(s),
		quarantined: slices.Collect(s.Quarantined()), paused: pausedIn(s.ClusterConfig()),
	}
	for _, name := range s.Names() {
		f.spans[name], f.hidden[name] = spansOf(s, name), s.QuarantinedSpans(name)
	}
	return f
}

func spansOf(s *view.State, keyspace string) []spanFacts {
	out := make([]spanFacts, 0, s.SpanCount(keyspace))
	for sp := range s.Spans(keyspace) {
		out = append(out, factsOf(s, sp))
	}
	return out
}

func lookAll(facts []spanFacts, k *known, now time.Time) []spanLook {
	out := make([]spanLook, len(facts))
	for i, f := range facts {
		out[i] = look(f, k, now)
	}
	return out
}

func renderStatus(f statusFacts, k *known, now time.Time) *controlv1.GetStatusResponse {
	out := &controlv1.GetStatusResponse{
		Cluster: f.cluster, Revision: f.revision, Nodes: map[string]int64{total: int64(len(f.nodes))}, Paused: f.paused,
		Spans: map[string]int64{}, Operators: map[string]int64{total: int64(len(f.operators))},
	}
	if f.leader != nil && !f.leader.Resigned {
		out.Leader, out.Term = f.leader.Maintainer, f.leader.Term
	}
	for _, m := range f.maintainers {
		out.Maintainers = append(out.Maintainers, &controlv1.Maintainer{
			Name: m.Name, Address: m.Address, Leader: m.Name == out.Leader, Version: m.Version, Draining: m.Draining,
		})
	}
	for _, n := range f.nodes {
		out.Nodes[n.state(k.node(n.session()))]++
	}
	for _, o := range f.operators {
		out.Operators[o.GetStage()]++
	}
	looks := f.look(k, now)
	for _, l := range looks {
		for state, n := range l.counts() {
			out.Spans[state] += n
		}
		if l.Keyspace != nil {
			out.Keyspaces = append(out.Keyspaces, renderKeyspace(l))
		}
	}
	out.Problems = f.problems(looks, k, now)
	return out
}

// look goes through all names under which there are spans, with or without a record of the keyspace.
func (f statusFacts) look(k *known, now time.Time) []keyspaceLook {
	var out []keyspaceLook
	told := map[string]bool{}
	for _, ks := range f.keyspaces {
		told[ks.Name] = true
		out = append(out, keyspaceLook{ks, lookAll(f.spans[ks.Name], k, now), f.hidden[ks.Name]})
	}
	for name, spans := range f.spans {
		if !told[name] {
			out = append(out, keyspaceLook{nil, lookAll(spans, k, now), f.hidden[name]})
		}
	}
	return out
}

// problems are what somebody should look at: what the loop has found, and what the records show. Of one place each
// kind is told once.
func (f statusFacts) problems(looks []keyspaceLook, k *known, now time.Time) []*controlv1.Problem {
	all := append(k.allProblems(), pausedProblems(f.paused)...)
	for _, q := range f.quarantined {
		all = append(all, problem{
			kind: stateQuarantined, keyspace: q.Parsed.Keyspace, span: string(q.Parsed.Span), node: q.Parsed.Name,
			message: fmt.Sprintf("%s: %s", q.Key, q.Reason),
		})
	}
	for _, n := range f.nodes {
		if heard := k.node(n.session()); n.state(heard) == nodeUnreachable {
			all = append(all, problem{kind: nodeUnreachable, node: n.name, message: "is alive in etcd and not connected to the leader", since: heard.since})
		}
	}
	for _, l := range looks {
		all = append(all, f.keyspaceProblems(l, k, now)...)
	}
	return renderProblems(all)
}

func (f statusFacts) keyspaceProblems(l keyspaceLook, k *known, now time.Time) []problem {
	if l.Keyspace == nil {
		if len(l.spans) == 0 {
			return nil
		}
		name := l.spans[0].Keyspace
		return []problem{{kind: "stray", keyspace: name, message: fmt.Sprintf("%d spans are stored and the keyspace has no readable record", len(l.spans))}}
	}
	out := append(troubles(l), barred(l, now)...)
	if l.State == record.KeyspaceCreating && now.Sub(l.CreatedAt) > creatingAfter {
		out = append(out, problem{
			kind: "creating", keyspace: l.Name, since: l.CreatedAt,
			message: fmt.Sprintf("%d of %d spans are made; if whoever creates it has stopped, repeat that command with --request-id %s, or give it up with `spanward keyspace delete %s`",
				len(l.spans), l.ExpectedSpans, creation(l.Keyspace).RequestID, l.Name),
		})
	}
	if p, bad := f.homeless(l, k); bad {
		out = append(out, p)
	}
	return out
}

// troubles are the spans of a keyspace that fail or are stuck.
func troubles(l keyspaceLook) []problem {
	var out []problem
	more := 0
	for _, s := range l.spans {
		if s.state != stateFailing && s.state != stateStuck {
			continue
		}
		if len(out) == shownProblems {
			more++
			continue
		}
		p := problem{kind: s.state, keyspace: l.Name, span: string(s.ID), node: s.Owner.Node, message: cmp.Or(s.shownError(), s.why()), since: s.heard.troubledSince}
		if s.claim != nil {
			p.node = s.claim.Node
		}
		if s.state == stateStuck {
			p.node, p.since, p.message = s.heard.stuck.node, s.heard.stuck.since, s.heard.stuck.text()
		}
		if s.claim != nil && p.since.IsZero() {
			p.since = s.claim.At
		}
		out = append(out, p)
	}
	if more > 0 {
		out = append(out, problem{kind: stateFailing, keyspace: l.Name, message: fmt.Sprintf("and %d more spans", more)})
	}
	return out
}

// homeless says whether spans of a keyspace are absent and no node may take them.
func (f statusFacts) homeless(l keyspaceLook, k *known) (problem, bool) {
	if l.State != record.KeyspaceRunning || slices.ContainsFunc(f.nodes, func(n nodeFacts) bool {
		return n.takes(l.Workload, k.node(n.session()))
	}) {
		return problem{}, false
	}
	n, why := 0, ""
	for _, s := range l.spans {
		if s.state == stateAbsent {
			n++
			why = cmp.Or(why, s.heard.waiting)
		}
	}
	why = cmp.Or(why, "no node runs "+l.Workload)
	return problem{kind: "unplaced", keyspace: l.Name, message: fmt.Sprintf("%d spans run nowhere: %s", n, why)}, n > 0
}

// renderProblems sorts problems and tells what is at one place once.
func renderProblems(all []problem) []*controlv1.Problem {
	type place struct{ kind, keyspace, span, node, message string }
	where := func(p problem) place {
		out := place{p.kind, p.keyspace, p.span, p.node, ""}
		switch {
		case p.kind == stateQuarantined || p.span == "" && p.node == "":
			out.message = p.message
		case p.span != "":
			out.node = ""
		}
		return out
	}
	slices.SortStableFunc(all, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.keyspace, b.keyspace), cmp.Compare(a.span, b.span), cmp.Compare(a.node, b.node))
	})
	told := map[place]bool{}
	var out []*controlv1.Problem
	for _, p := range all {
		if w := where(p); !told[w] {
			told[w] = true
			out = append(out, &controlv1.Problem{
				Kind: p.kind, Keyspace: p.keyspace, Span: p.span, Node: p.node, Since: wireTime(p.since), Message: p.message,
			})
		}
	}
	return out
}

func (k *known) allProblems() []problem {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return slices.Collect(maps.Values(k.problems))
}
