package operator

import (
	"slices"
	"time"

	"github.com/spanward/spanward/internal/record"
)

// MergerPhase is where a Merger stands.
type MergerPhase uint8

const (
	// MergeOver: the Merger may be forgotten; its members go on as actors of their own, or were forgotten, too.
	MergeOver MergerPhase = iota
	// MergeClaiming: the claim of all members is in flight.
	MergeClaiming
	// MergeHolding: the instances are asked for the lowest position that they can close at.
	MergeHolding
	// MergeClosing: the instances close.
	MergeClosing
	// MergeSwapping: all are really closed; the swap is in flight.
	MergeSwapping
	// MergeInterrupting: the instances end at once, since the merge was cancelled or superseded.
	MergeInterrupting
	// MergeRevoking: the transaction that ends the merge early is in flight.
	MergeRevoking
)

// Merger is what a dispatcher holds of a merge whose sources are all its own: it claims them together, closes them at one
// position and swaps them. Its members' own actors are in phase Merging meanwhile. It is a value: Step returns the next
// one, which shares nothing with the former.
type Merger struct {
	Phase   MergerPhase
	Members []Actor
	Seats   []Seat
	// Revoke is the early end that the leader has asked for, nil for none.
	Revoke *AskRevoke
	// SwapAt is the time in the swap that is in flight.
	SwapAt time.Time
	// Exact: all instances can close at one position, which is To.
	Exact bool
	To    record.Position
}

// Seat is how far the instance of one member has got.
type Seat struct {
	// Held: At is the lowest position that it can close at, unknown if it closes where it is.
	Held bool
	At   record.Position
	// Closing: a close was called and has not succeeded yet. Shut: one has.
	Closing, Shut bool
	// Tries counts failures in a row.
	Tries int
}

type (
	// MergeAnswer is the definite outcome of a transaction of a Merger at revision Mod. Members tells what a refusal has
	// read of each member.
	MergeAnswer struct {
		Done    bool
		Mod     int64
		Members []Answer
	}
	// OfMember is an event of one member's instance: CanHold, HoldFailed, Closed, CloseFailed or Broken; or an ask about it.
	OfMember struct {
		Index int
		Event Event
	}
	// AskMerge is the leader's request to claim all sources of a merge, close them and swap them.
	AskMerge struct {
		Operator string
		Term     int64
	}
	// CanHold: the instance takes in no new work and can close at At or later. At is unknown for one that cannot choose.
	CanHold struct{ At record.Position }
	// HoldFailed: Hold returned an error.
	HoldFailed struct{ Err string }
)

func (MergeAnswer) event() {}
func (OfMember) event()    {}
func (AskMerge) event()    {}
func (CanHold) event()     {}
func (HoldFailed) event()  {}

type (
	// On is an effect about one member.
	On struct {
		Index  int
		Effect Effect
	}
	// Hold calls CloserAt.Hold and feeds back CanHold or HoldFailed; Try counts from 0.
	Hold struct{ Try int }
	// CloseAt is Close at a position, by CloserAt.CloseAt.
	CloseAt struct {
		At  record.Position
		Try int
	}
	// Leave gives a member back to its own actor, which goes on with its own effects.
	Leave struct {
		Index   int
		Actor   Actor
		Effects []Effect
	}
)

func (On) effect()      {}
func (Hold) effect()    {}
func (CloseAt) effect() {}
func (Leave) effect()   {}

// NewMerger begins a merge of spans as the leader knows them, in the order of their ranges, with the position from which
// each is durable. actors are the members' own, each running its span or idle. It refuses, and changes nothing, if the
// records do not name this session and one merge, or if they are not all of its sources: a swap of some would leave the
// others with an operator that is over.
func NewMerger(env Env, actors []Actor, spans []Span, from []record.Position, term int64) (Merger, []Effect) {
	op := operatorOf(spans[0])
	if !allSources(spans) {
		return Merger{}, []Effect{refusal(0, op, "", "the spans are not all sources of one merge")}
	}
	m := Merger{Phase: MergeClaiming, Members: make([]Actor, len(spans)), Seats: make([]Seat, len(spans))}
	claims := make([]Claim, len(spans))
	for n, s := range spans {
		a := actors[n]
		switch {
		case a.Phase != Idle && a.Phase != Running:
			return Merger{}, []Effect{refusal(n, op, a.Claim.Operator, "a source is being acted on")}
		case op == "" || operatorOf(s) != op || !env.Me.Owns(s.Span):
			return Merger{}, []Effect{refusal(n, op, "", "the records name no merge for this session")}
		}
		claims[n] = claimFor(env, s, record.StageClosing, term)
		a.Phase, a.Span, a.Claim, a.From = Merging, s, claims[n], a.From.Max(from[n])
		a.Tries, a.Why = 0, ""
		m.Members[n] = a
	}
	first := spans[0]
	return m, []Effect{Send{
		Part: ClaimAll(env.Layout, spans, claims), Term: term, Key: env.Layout.Operator(first.Keyspace, first.ID),
	}}
}

// allSources reports whether spans are what the intent of the first one, a merge, names.
func allSources(spans []Span) bool {
	i := spans[0].Intent
	return i != nil && i.Kind == record.KindMerge && slices.Equal(slices.Sorted(slices.Values(i.Spans)), slices.Sorted(slices.Values(ids(spans))))
}

func refusal(index int, op, holder, why string) Effect {
	return On{index, Say{Result: ResultRefused, Operator: op, Holder: holder, Err: why}}
}

// Operator that the Merger acts for.
func (m Merger) Operator() string { return m.Members[0].Claim.Operator }

// Busy reports whether a transaction is in flight, so that etcd may already know more than the Merger.
func (m Merger) Busy() bool {
	return m.Phase == MergeClaiming || m.Phase == MergeSwapping || m.Phase == MergeRevoking
}

// Step is a pure function of the merger and the event. Events that concern one member come as OfMember.
func (m Merger) Step(env Env, ev Event) (Merger, []Effect) {
	m.Members = append([]Actor(nil), m.Members...)
	m.Seats = append([]Seat(nil), m.Seats...)
	switch ev := ev.(type) {
	case MergeAnswer:
		return m.answer(env, ev)
	case AskMerge:
		return m.askAgain(ev)
	case AskRevoke:
		return m.askRevoke(env, ev)
	case Stop:
		for n := range m.Members {
			m.Members[n].Doomed = true
		}
	case OfMember:
		return m.member(env, ev)
	}
	return m, nil
}

// member takes what one instance came to. Asks about a single member are answered with what holds it.
func (m Merger) member(env Env, ev OfMember) (Merger, []Effect) {
	n := ev.Index
	switch e := ev.Event.(type) {
	case CanHold:
		return m.held(env, n, e)
	case HoldFailed:
		return m.holdFailed(env, n, e)
	case Closed:
		return m.closed(env, n, e)
	case CloseFailed:
		return m.closeFailed(n, e)
	case Broken:
		m.Members[n].Why = e.Err
	case AskOpen:
		return m, []Effect{refusal(n, operatorOf(e.Span), m.Operator(), "the span is being merged")}
	case AskEnd:
		return m, []Effect{refusal(n, operatorOf(e.Span), m.Operator(), "the span is being merged")}
	case AskRelease:
		return m, []Effect{refusal(n, "", m.Operator(), "the span is being merged")}
	case AskAbort:
		return m, []Effect{refusal(n, e.Operator, m.Operator(), "the span is being merged")}
	}
	return m, nil
}

func (m Merger) askAgain(ev AskMerge) (Merger, []Effect) {
	if ev.Operator != m.Operator() {
		return m, []Effect{refusal(0, ev.Operator, m.Operator(), "a source is being acted on")}
	}
	if m.Phase == MergeClaiming {
		return m, nil // the answer is on its way
	}
	return m, []Effect{On{0, Say{Result: ResultClaimed, Operator: ev.Operator}}}
}

func (m Merger) answer(env Env, ev MergeAnswer) (Merger, []Effect) {
	switch m.Phase {
	case MergeClaiming:
		return m.claimed(env, ev)
	case MergeSwapping:
		return m.swapped(env, ev)
	case MergeRevoking:
		return m.revoked(env, ev)
	default:
		return m, nil
	}
}
