package main

import (
	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/maintainer"
)

// overview is what the leader knows of the whole cluster.
type overview = controlv1.GetStatusResponse

// ofCluster are the numbers of the whole cluster. Only the leader shows them.
type ofCluster struct{ nodes, spans, operators, problems, lag, checkpoint metric }

func (n *numbers) cluster() ofCluster {
	return ofCluster{
		nodes:      n.gauge("nodes", "Dispatchers by state. Only the leader shows it.", "state"),
		spans:      n.gauge("spans", "Spans of a keyspace by state. Only the leader shows it.", "keyspace", "state"),
		operators:  n.gauge("operators", "Operators in flight by stage. Only the leader shows it.", "stage"),
		problems:   n.gauge("problems", "What `spanward status` lists under problems, by kind; none at all if all is well. Only the leader shows it.", "kind"),
		lag:        n.gauge("keyspace_lag_seconds", "The greatest lag of all spans of a keyspace; absent while one is unknown. Only the leader shows it.", "keyspace"),
		checkpoint: n.gauge("keyspace_checkpoint", "The lowest checkpoint of all spans of a keyspace; absent while one is unknown. Only the leader shows it.", "keyspace"),
	}
}

func (m ofCluster) gather(put put, s output.Status) {
	for _, c := range s.Nodes.States() {
		put(m.nodes, float64(c.Number), c.Name)
	}
	for _, c := range s.Operators.Stages() {
		put(m.operators, float64(c.Number), c.Name)
	}
	for _, k := range s.Keyspaces {
		for _, c := range k.Spans.States() {
			put(m.spans, float64(c.Number), k.Name, c.Name)
		}
		if k.LagMS != nil {
			put(m.lag, float64(*k.LagMS)/1000, k.Name)
		}
		if k.Checkpoint != nil {
			put(m.checkpoint, float64(*k.Checkpoint), k.Name)
		}
	}
	kinds := map[string]int{}
	for _, p := range s.Problems {
		kinds[p.Kind]++
	}
	for kind, n := range kinds {
		put(m.problems, float64(n), kind)
	}
}

// ofScheduling are the numbers of the planners, and of what they see. Only the leader shows them.
type ofScheduling struct{ accepted, inFlight, limit, waiting, paused, spans, load, imbalance metric }

func (n *numbers) scheduling() ofScheduling {
	return ofScheduling{
		accepted:  n.counter("planner_operators_total", "Operators that a planner has made since this process leads; for placement, openings asked for. Only the leader shows it.", "planner"),
		inFlight:  n.gauge("planner_in_flight", "Operators of a planner in flight. Only the leader shows it.", "planner"),
		limit:     n.gauge("planner_in_flight_limit", "The most operators of a planner that may be in flight; absent if nothing limits them. Only the leader shows it.", "planner"),
		waiting:   n.gauge("planner_waiting_spans", "Spans that wait for a planner: for room, for nodes, or for it to go on. Only the leader shows it.", "planner"),
		paused:    n.gauge("planner_paused", "1 if a planner is paused, else 0. Only the leader shows it.", "planner"),
		spans:     n.gauge("node_spans", "Spans that a node carries once everything in flight is done. Only the leader shows it.", "node"),
		load:      n.gauge("node_load", "Load that a node carries once everything in flight is done, as far as its spans have reported it. Only the leader shows it.", "node"),
		imbalance: n.gauge("imbalance", "What the fullest node carries, divided by the mean of all that take spans, each for its weight: 1 is even; absent while nothing is carried. Only the leader shows it.", "of"),
	}
}

func (m ofScheduling) gather(put put, s *maintainer.Scheduling) {
	for _, p := range s.Planners {
		put(m.accepted, float64(p.GetAccepted()), p.GetName())
		put(m.inFlight, float64(p.GetInFlight()), p.GetName())
		if p.GetLimit() > 0 {
			put(m.limit, float64(p.GetLimit()), p.GetName())
		}
		put(m.waiting, float64(p.GetWaiting()), p.GetName())
		put(m.paused, oneIf(p.GetState() == settings.PlannerPaused), p.GetName())
	}
	for _, n := range s.Nodes {
		put(m.spans, float64(n.Spans), n.Node)
		put(m.load, n.Load, n.Node)
	}
	if s.SpanImbalance > 0 {
		put(m.imbalance, s.SpanImbalance, "spans")
	}
	if s.LoadImbalance > 0 {
		put(m.imbalance, s.LoadImbalance, "load")
	}
}
