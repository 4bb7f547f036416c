package operator

import (
	"fmt"
	"strings"

	"github.com/spanward/spanward/internal/record"
)

// Presence is what is known of a session that a record names.
type Presence uint8

const (
	// Over: the session is gone, and with it the right to act. Also the presence of ∅.
	Over Presence = iota
	// Lapsing: the node key is gone, but the process may still act for a while.
	Lapsing
	// Unreachable: the node key is there, the stream to the leader is not.
	Unreachable
	// Alive: the node key is there and asks reach the process.
	Alive
)

// Present reports whether the session's node key is there.
func (p Presence) Present() bool { return p >= Unreachable }

// Member is a span of an operator with what is known around it.
type Member struct {
	Span
	// Claim is nil if nobody acts on the span.
	Claim *Claim
	// Owner is the presence of the recorded owner; Over if there is none.
	Owner Presence
	// Opener is the presence of the session that acted on the span last under a claim that has vanished with
	// it: its opening may have got as far as the workload.
	Opener Presence
	// Actor is the presence of the claim's session.
	Actor Presence
	// ActorSession is the session that the claim's node has now, 0 for none.
	ActorSession int64
	// Missing: the owner has reported, at a revision not below this record's, that the span does not run there.
	Missing bool
}

// Records is all that is stored about one operator, or about one span without one.
type Records struct {
	Members  []Member
	Keyspace record.KeyspaceState
	// Target is the presence of the operator's target node, whatever its session. Ignored without a target.
	Target Presence
}

// Action is something for the leader to do.
type Action interface{ action() }

type (
	// AskClose asks the owner of the spans to claim the operator in their records: all sources of a merge together, or
	// one span alone, which for a merge means to hand it off.
	AskClose struct {
		Owner record.Owner
		Spans []Ref
	}
	// Place asks a node to claim and open the span: Only if it is set, else one that the scheduler picks.
	Place struct {
		Span Ref
		Only string
		// Why is the reason to show: first opening, failover, or the operator that needs it.
		Why string
		By  record.By
	}
	// Reopen asks the recorded owner to open its span again, through a claim.
	Reopen struct {
		Span  Ref
		Owner record.Owner
	}
	// Release asks the recorded owner to close its span and give it back: the keyspace is paused.
	Release struct {
		Span  Ref
		Owner record.Owner
	}
	// AcceptRemove puts a remove into the record of a span whose keyspace is being deleted, in the place of whatever holds it.
	AcceptRemove struct{ Span Ref }
	// Fail ends an operator that cannot be carried out and that nobody acts on, on all its members.
	Fail struct {
		Members []Member
		Why     string
	}
	// Swap makes the children of a split or a merge in the place of its members, whose owners are all gone.
	Swap struct{ Members []Member }
	// Drop deletes a claim whose session is over.
	Drop struct {
		Span    Ref
		Claim   Claim
		Present int64
	}
	// Wait says what the operator is waiting for. It is only shown: the change itself will lead to Next again.
	Wait struct {
		Span Ref
		For  Waiting
		Node string
	}
)

func (AskClose) action()     {}
func (Place) action()        {}
func (Reopen) action()       {}
func (Release) action()      {}
func (AcceptRemove) action() {}
func (Fail) action()         {}
func (Swap) action()         {}
func (Drop) action()         {}
func (Wait) action()         {}

// Waiting says what an operator waits for.
type Waiting uint8

const (
	// ForActor: the session that holds the claim works.
	ForActor Waiting = iota + 1
	// ForLapse: a session that is gone may still act; a bounded time.
	ForLapse
	// ForStream: the node is alive in etcd but does not answer the leader.
	ForStream
	// ForKeyspace: the keyspace is not running.
	ForKeyspace
)

// Next decides what follows from all records of an operator. It returns nothing when there is nothing to do.
func Next(r Records) []Action {
	var out []Action
	for _, m := range r.Members {
		if m.Claim != nil {
			out = append(out, actedOn(m))
		}
	}
	if len(out) > 0 || len(r.Members) == 0 {
		return out
	}
	if first := r.Members[0]; r.Keyspace == record.KeyspaceDeleting && first.Intent != nil && first.Intent.Kind != record.KindRemove {
		return []Action{AcceptRemove{first.Ref}} // a deletion does not wait for what can be superseded
	}
	rule, ok := rules[kind(r.Members[0])]
	if !ok {
		return nil
	}
	return rule(r)
}

// rules has one row per kind: what to do while nobody acts on any member. The zero kind is a span without an
// operator.
var rules = map[record.Kind]func(Records) []Action{
	0:                 nextIdle,
	record.KindMove:   nextMove,
	record.KindRemove: nextRemove,
	record.KindSplit:  nextSplit,
	record.KindMerge:  nextMerge,
}

func kind(m Member) record.Kind {
	if m.Intent == nil {
		return 0
	}
	return m.Intent.Kind
}

// actedOn: whoever holds the claim goes on by himself, whoever leads. Only a claim that has outlived its session
// is taken away.
func actedOn(m Member) Action {
	if !m.Actor.Present() {
		return Drop{m.Ref, *m.Claim, m.ActorSession}
	}
	return Wait{m.Ref, ForActor, m.Claim.Node}
}

func nextIdle(r Records) []Action {
	m := r.Members[0]
	switch {
	case r.Keyspace == record.KeyspaceDeleting:
		return []Action{AcceptRemove{m.Ref}}
	case r.Keyspace == record.KeyspacePaused && m.Owner.Present():
		return []Action{release(m)}
	case m.Owner == Alive && m.Missing:
		return []Action{Reopen{m.Ref, m.Span.Owner}}
	case m.Owner.Present():
		return nil
	case lapsing(m):
		return []Action{Wait{m.Ref, ForLapse, m.Span.Owner.Node}}
	case r.Keyspace != record.KeyspaceRunning:
		return []Action{Wait{m.Ref, ForKeyspace, ""}}
	}
	return []Action{place(m, "")}
}

func nextMove(r Records) []Action {
	m := r.Members[0]
	to := m.Intent.To
	switch {
	case m.Owner.Present() && to != "" && !r.Target.Present():
		return []Action{Fail{r.Members[:1], fmt.Sprintf("target %s is gone; the span stays on %s", to, m.Span.Owner.Node)}}
	case m.Owner.Present():
		return []Action{close1(m)}
	case lapsing(m):
		return []Action{Wait{m.Ref, ForLapse, m.Span.Owner.Node}}
	case to != "" && r.Target.Present():
		return []Action{place(m, to)}
	}
	return []Action{place(m, "")}
}

// nextRemove opens a span whose owner is gone once more before it is deleted: only a new token makes sure that
// the old owner, should it wake up, can write nothing into the removed range.
func nextRemove(r Records) []Action {
	m := r.Members[0]
	switch {
	case m.Owner == Alive && m.Missing:
		return []Action{Reopen{m.Ref, m.Span.Owner}}
	case m.Owner.Present():
		return []Action{close1(m)}
	case lapsing(m):
		return []Action{Wait{m.Ref, ForLapse, m.Span.Owner.Node}}
	}
	return []Action{place(m, "")}
}

func lapsing(m Member) bool { return m.Owner == Lapsing || m.Opener == Lapsing }

func close1(m Member) Action {
	if m.Owner == Unreachable {
		return Wait{m.Ref, ForStream, m.Span.Owner.Node}
	}
	return AskClose{m.Span.Owner, []Ref{m.Ref}}
}

func release(m Member) Action {
	if m.Owner == Unreachable {
		return Wait{m.Ref, ForStream, m.Span.Owner.Node}
	}
	return Release{m.Ref, m.Span.Owner}
}

func place(m Member, only string) Action {
	p := Place{Span: m.Ref, Only: only, By: record.ByPlacement}
	switch {
	case m.Intent != nil && m.Intent.Kind == record.KindRemove:
		p.By, p.Why = m.Intent.By, "opened once to fence its sink before it is removed"
	case m.Intent != nil && m.Intent.Kind == record.KindMerge:
		p.By, p.Why = m.Intent.By, fmt.Sprintf("gathered for merge %s", m.Intent.Operator)
	case m.Intent != nil && !m.Intent.HandedOff:
		p.By, p.Why = m.Intent.By, fmt.Sprintf("%s is gone; %s %s goes on", orSomebody(m.Span.Owner.Node), record.KindName(m.Intent.Kind), m.Intent.Operator)
	case m.Intent != nil:
		p.By, p.Why = m.Intent.By, fmt.Sprintf("%s %s was handed off", record.KindName(m.Intent.Kind), m.Intent.Operator)
	case !m.Span.Owner.Nobody():
		p.By, p.Why = record.ByFailover, fmt.Sprintf("%s is gone", m.Span.Owner.Node)
	case m.LastNode != "":
		p.Why = fmt.Sprintf("%s gave it back", m.LastNode)
	case len(m.Parents) > 0:
		p.Why = fmt.Sprintf("made from %s, whose owner was gone", strings.Join(m.Parents, ", "))
	default:
		p.Why = "nobody has run it yet"
	}
	return p
}

func orSomebody(node string) string {
	if node == "" {
		return "its owner"
	}
	return node
}
