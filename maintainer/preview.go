package maintainer

import (
	"cmp"
	"math"
	"slices"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/view"
)

// previewMoves says where the spans of a node would go if it were drained now, with the planner that drains it. Spans on
// which an operator is in flight are not planned for; if that is stuck, so are they.
func previewMoves(s *view.State, k *known, n *view.Node, out *controlv1.DrainNodeResponse) {
	var in []scheduler.Evictee
	stuck := func(r operator.Ref, why string) {
		out.CannotMove++
		out.Stuck = append(out.Stuck, &controlv1.DrainNodeResponse_DrainStuck{Keyspace: r.Keyspace, Span: string(r.ID), Reason: why})
	}
	rulesByName := allRules(s)
	for sp := range s.OwnedBy(n.Session) {
		ks, late := s.Keyspace(sp.Keyspace), k.span(sp.Ref).stuck
		switch {
		case late != nil:
			stuck(sp.Ref, late.text())
		case ks == nil:
			stuck(sp.Ref, "its keyspace has no readable record")
		case sp.Intent == nil && s.Claim(sp.Ref) == nil && ks.State == record.KeyspaceRunning:
			rules := rulesByName[sp.Keyspace]
			in = append(in, scheduler.Evictee{Ref: sp.Ref, Workload: ks.Workload, From: n.Name, Rules: rules, Pin: pinOf(rules, *sp), Load: unknownLoad})
		}
	}
	plan := scheduler.Drain(in, previewNodes(s, k, n.Name, rulesByName), map[string]int{n.Name: math.MaxInt})
	for _, mv := range plan.Moves {
		out.CanMove++
		out.Moves = append(out.Moves, &controlv1.DrainNodeResponse_DrainMove{
			Keyspace: mv.Ref.Keyspace, Span: string(mv.Ref.ID), From: mv.From, To: mv.To, Reason: mv.Reason,
		})
	}
	for _, u := range plan.Stuck {
		stuck(u.Ref, u.Why)
	}
	slices.SortFunc(out.Stuck, func(a, b *controlv1.DrainNodeResponse_DrainStuck) int {
		return cmp.Or(cmp.Compare(a.GetKeyspace(), b.GetKeyspace()), cmp.Compare(a.GetSpan(), b.GetSpan()))
	})
}

// previewNodes are the nodes as they will be once everything in flight is done, with the one that is drained out of play.
func previewNodes(s *view.State, k *known, drained string, rules map[string]*scheduler.Rules) []scheduler.Node {
	flying := newMoves()
	for sp := range s.WithIntent() {
		flying.set(sp.Ref, headingOf(sp.Intent, weighsInView(s, sp)))
	}
	shares := sharesInView(s, rules)
	var out []scheduler.Node
	for _, f := range nodesOf(s) {
		if f.node == nil {
			continue
		}
		n := scheduler.Node{
			Name: f.name, Session: f.node.Session, Workloads: f.node.Workloads, Labels: f.node.Labels, Capacity: int(f.node.Capacity), Weight: f.config.Weight,
			Spans: f.spans + openingBy(s, f.node.Session) + flying.coming[f.name] - flying.leaving[f.node.Session], Budget: math.MaxInt,
		}
		switch state := f.state(k.node(n.Session)); {
		case f.name == drained:
			n.Why = nodeDraining
		case state != nodeReady:
			n.Why = state
		case f.config.Evicted == n.Session:
			n.Why = "evicted"
		default:
			n.Eligible = true
		}
		out = append(out, n)
	}
	divide(out, rules, shares, flying.headings)
	return out
}

// sharesInView counts the spans of keyspaces that are spread, by the session that carries or opens them.
func sharesInView(s *view.State, rules map[string]*scheduler.Rules) map[share]int {
	out := map[share]int{}
	for ks, r := range rules {
		if r.Spread == "" {
			continue
		}
		for sp := range s.Spans(ks) {
			out[share{weighsInView(s, sp).Session, ks}]++
		}
	}
	return out
}

// weighsInView is the session that carries a span, or opens it, as far as the records say.
func weighsInView(s *view.State, sp *view.Span) operator.Identity {
	if c := s.Claim(sp.Ref); c != nil && c.Stage == record.StageOpening {
		return operator.Identity{Node: c.Node, Session: c.Session}
	}
	return operator.Identity{Node: sp.Owner.Node, Session: sp.Owner.Session}
}

// openingBy counts the spans that a session opens and does not own yet.
func openingBy(s *view.State, session int64) (n int) {
	for c := range s.ClaimedBy(session) {
		if sp := s.Span(c.Ref); sp != nil && c.Stage == record.StageOpening && sp.Owner.Session != session {
			n++
		}
	}
	return n
}
