package main

import (
	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/output"
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
