package failpoint

import "slices"

// table is the registry: for each role and operator the steps that are transactions or messages. "any" stands where the step
// is not part of one kind of operator.
var table = []struct {
	role, operator string
	steps          []string
}{
	// Accepting is the leader's transaction that makes a request an operator; asking is its message to a dispatcher.
	{"maintainer", "keyspace", []string{"accept", "ask", "finish"}},
	{"maintainer", "add", []string{"accept"}},
	{"maintainer", "remove", []string{"accept", "ask"}},
	{"maintainer", "move", []string{"accept", "ask"}},
	{"maintainer", "placement", []string{"ask", "abort"}},
	// A cordon or a drain is a record; the moves that follow from a drain are accepted by the leader itself.
	{"maintainer", "node", []string{"accept"}},
	{"maintainer", "drain", []string{"accept"}},
	// So are the moves of balance, and splits and merges for load.
	{"maintainer", "balance", []string{"accept"}},
	{"maintainer", "load", []string{"accept"}},
	// Settings of the cluster, or of a keyspace, are changed by rewriting the record that holds them.
	{"maintainer", "config", []string{"accept"}},
	// An eviction is a record; that the lease is revoked follows from it, whoever leads.
	{"maintainer", "evict", []string{"accept", "revoke"}},
	{"maintainer", "split", []string{"accept", "ask", "swap"}},
	{"maintainer", "merge", []string{"accept", "ask", "swap"}},
	// The leader ends an operator early itself where nobody acts on it, else it asks the actor. Accepting a remove in the
	// place of another operator is the accepting of the remove.
	{"maintainer", "cancel", []string{"accept", "ask"}},
	{"maintainer", "supersede", []string{"ask"}},
	{"maintainer", "any", []string{
		"giveway",  // ends an operator of the scheduler for something more urgent
		"fail",     // ends an operator that cannot be carried out
		"campaign", // the transaction that takes the leader key
		"cluster",  // the first fenced write of a term: makes the cluster record
		"orphan",   // deletes the claim of a session that is over
		"progress", // writes checkpoints
		"register", // puts the maintainer's own key
		"resign",   // rewrites the leader key
		"trim",     // deletes history that is old
	}},

	// open and close are the workload's; report is the message about a stage to the leader.
	{"dispatcher", "placement", []string{"claim", "open", "commit", "abort", "report"}},
	{"dispatcher", "move", []string{"claim", "close", "handoff"}},
	{"dispatcher", "remove", []string{"claim", "close", "delete"}},
	{"dispatcher", "split", []string{"claim", "close", "swap"}},
	{"dispatcher", "merge", []string{"claim", "hold", "close", "handoff", "swap"}},
	{"dispatcher", "any", []string{
		"revoke-operator", // cancels or supersedes the operator that the session acts for
		"handback",        // gives spans back at a clean stop
		"register",        // puts the node key
		"report",          // a full report, or one of checkpoints
		"revoke",          // ends the session
	}},
}

var names = expand()

func expand() []string {
	var all []string
	for _, row := range table {
		for _, step := range row.steps {
			point := row.role + "/" + row.operator + "/" + step
			all = append(all, point+"/before", point+"/after")
		}
	}
	slices.Sort(all)
	return all
}

// Names lists all failpoints, sorted.
func Names() []string { return slices.Clone(names) }

func registered(name string) bool {
	_, ok := slices.BinarySearch(names, name)
	return ok
}
