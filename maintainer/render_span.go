package maintainer

import (
	"cmp"
	"fmt"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/view"
)

// The states of a span, as the contract names them. Those of a claim are the names of its stages.
const (
	stateAbsent      = "absent"
	stateRunning     = "running"
	statePaused      = "paused"
	stateFailing     = "failing"
	stateStuck       = "stuck"
	stateQuarantined = "quarantined"
)

// spanFacts is what the records say of one span. It is taken from the view at one revision, and holds after that.
type spanFacts struct {
	*view.Span
	// claim is nil if nobody acts on the span.
	claim    *view.Claim
	progress record.Position
	keyspace record.KeyspaceState
	// owned: the session of the recorded owner is there.
	owned bool
	// acting: the session of the claim is there.
	acting bool
	// parents and children are asked for where one span is shown.
	parents, children []string
}

func factsOf(s *view.State, sp *view.Span) spanFacts {
	f := spanFacts{Span: sp, claim: s.Claim(sp.Ref), progress: s.Progress(sp.Ref)}
	f.owned = s.Session(sp.Owner.Session) != nil
	f.acting = f.claim != nil && s.Session(f.claim.Session) != nil
	if ks := s.Keyspace(sp.Keyspace); ks != nil {
		f.keyspace = ks.State
	}
	return f
}

// spanLook is a span as it is shown, with what is heard of it beside the records.
type spanLook struct {
	spanFacts
	heard spanKnown
	state string
	// own: what was heard is the recorded owner's.
	own bool
	// muted: the owner is there, and does not answer the leader.
	muted bool
	// nowhere is why the span can not leave the node that is drained, "" if it is not, or can.
	nowhere string
}

// look puts together what the records say and what was heard.
func look(f spanFacts, k *known, _ time.Time) spanLook {
	l := spanLook{spanFacts: f, heard: k.span(f.Ref)}
	l.own = f.owned && l.heard.session == f.Owner.Session
	owner := k.node(f.Owner.Session)
	l.muted = f.owned && !owner.connected
	l.nowhere = cmp.Or(l.heard.nowhere, owner.nowhere[f.Keyspace])
	l.state = l.stateNow()
	return l
}

func (l spanLook) stateNow() string {
	switch {
	case l.isStuck():
		return stateStuck
	case l.claim == nil && !l.owned && l.keyspace == record.KeyspacePaused:
		return statePaused // whatever went wrong before, it is not tried now
	case l.troubled():
		return stateFailing
	case l.claim != nil && l.acting:
		return record.StageName(l.claim.Stage)
	case l.owned:
		return stateRunning
	}
	return stateAbsent
}

// isStuck: the leader has given up on the stage that the span is in.
func (l spanLook) isStuck() bool {
	k := l.heard.stuck
	switch {
	case k == nil:
		return false
	case l.claim == nil:
		return k.claim == 0
	}
	return k.claim == l.claim.Mod
}

// troubled: an error was heard, and not from a session that has nothing to do with the span any more.
func (l spanLook) troubled() bool {
	return l.heard.lastError != "" && (l.own || !l.owned || l.claim != nil)
}

// checkpoint is the highest position that is known to be durable.
func (l spanLook) checkpoint() record.Position {
	at := operator.Durable(l.Span.Span, l.progress)
	if l.own && l.heard.checkpointKnown {
		at = at.Max(record.At(l.heard.checkpoint))
	}
	return at
}

// why says why the span is where it is, or why it is nowhere.
func (l spanLook) why() string {
	switch {
	case l.state == stateStuck:
		return l.heard.stuck.text()
	case l.claim != nil:
		return fmt.Sprintf("%s is %s it: %s", l.claim.Node, record.StageName(l.claim.Stage), l.purpose())
	case l.state == statePaused:
		return "the keyspace is paused"
	case l.heard.waiting != "":
		return l.heard.waiting
	case l.muted:
		return l.Owner.Node + " does not answer the leader"
	case l.owned && l.nowhere != "" && l.Intent == nil:
		return l.Owner.Node + " is drained, and the span can go nowhere else: " + l.nowhere
	case l.owned:
		return ""
	case !l.Owner.Nobody():
		return l.Owner.Node + " is gone"
	case l.LastNode != "":
		return l.LastNode + " gave it back"
	}
	return "nobody has run it yet"
}

func (l spanLook) purpose() string {
	if i := l.Intent; i != nil {
		return record.KindName(i.Kind) + " " + i.Operator
	}
	return cmp.Or(record.ByName(l.claim.By), record.ByName(record.ByPlacement))
}

func renderSpan(l spanLook) *controlv1.Span {
	out := &controlv1.Span{
		Id: string(l.ID), Keyspace: l.Keyspace, Start: []byte(l.Range.Start), End: []byte(l.Range.End), State: l.state,
		Node: l.Owner.Node, Session: l.Owner.Session, Token: l.Owner.Token, Checkpoint: wirePosition(l.checkpoint()),
		LastError: l.shownError(), Parents: l.Parents, Children: l.children, Why: l.why(), Revision: l.Mod,
	}
	if len(l.parents) > 0 {
		out.Parents = l.parents
	}
	if l.Intent != nil {
		out.Operator = l.Intent.Operator
	}
	if l.own {
		out.LagMs, out.Load, out.Size, out.Copied, out.CopyTotal = l.heard.lagMS, l.heard.load, l.heard.size, l.heard.copied, l.heard.copyTotal
	}
	return out
}

func (l spanLook) shownError() string {
	if l.troubled() {
		return l.heard.lastError
	}
	return ""
}

// renderHidden shows a span record that nobody can read.
func renderHidden(q *view.Quarantine) *controlv1.Span {
	return &controlv1.Span{
		Id: string(q.Parsed.Span), Keyspace: q.Parsed.Keyspace, State: stateQuarantined,
		Why: "its record cannot be read: " + q.Reason, Revision: q.Since,
	}
}

// renderLookup shows who has a key. A recorded owner that is gone owns nothing any more.
func renderLookup(keyspace, key string, l *spanLook, node *view.Node) *controlv1.LookupResponse {
	out := &controlv1.LookupResponse{Keyspace: keyspace, Key: []byte(key)}
	if l == nil {
		return out
	}
	out.Span, out.State = string(l.ID), l.state
	if node != nil {
		out.Node, out.Address, out.Token = node.Name, node.Address, l.Owner.Token
	}
	return out
}

func wirePosition(p record.Position) *uint64 {
	if !p.Known {
		return nil
	}
	return &p.At
}
