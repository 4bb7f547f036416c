package operator

import (
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/span"
)

// Phase is where an Actor stands.
type Phase uint8

const (
	// Idle: nothing runs and nothing is in flight. An idle Actor may be forgotten.
	Idle Phase = iota
	// Claiming: the claim for an opening is in flight.
	Claiming
	// Opening: claimed; the workload opens.
	Opening
	// Committing: the workload runs; the commit is in flight.
	Committing
	// Aborting: nothing runs; the transaction that gives the claim up is in flight.
	Aborting
	// Running: the session owns the span and its instance runs.
	Running
	// ClaimingClose: the instance runs; the claim to close it is in flight.
	ClaimingClose
	// Closing: claimed; the workload closes.
	Closing
	// Ending: really closed; the operator's transaction is in flight.
	Ending
	// Stopping: the workload closes without an operator, for a clean stop or because it failed.
	Stopping
	// Returning: really closed; the hand-back is in flight.
	Returning
	// Revoking: nothing runs; the transaction that cancels or supersedes the operator is in flight.
	Revoking
	// Merging: the span belongs to a Merger, which acts on it.
	Merging
)

// Actor is what a dispatcher holds of one span: its records, and how far its own step has got. The zero Actor is
// idle. It is a value: Step returns the next one.
type Actor struct {
	Phase Phase
	Span  Span
	Claim Claim
	// Token that the instance was or is being opened with.
	Token uint64
	// From is the position to open at.
	From record.Position
	// Instance: the workload's instance exists.
	Instance bool
	// Doomed: stop as soon as the transaction in flight has been answered.
	Doomed bool
	// Why is the error that led to the present phase.
	Why string
	// Tries counts closings that failed in a row.
	Tries int
	// Revoke is the end of the operator that the leader has asked for, nil for none. Sent: its transaction is in flight
	// while the span goes on closing, for the remove that supersedes.
	Revoke *AskRevoke
	Sent   bool
	// SwapAt is the time in the swap that is in flight.
	SwapAt time.Time
}

// Env is what a Step needs to know of the process.
type Env struct {
	Layout keys.Layout
	Me     Identity
	// Generation of the cluster, for tokens.
	Generation uint64
	Now        time.Time
}

// Event is something that happened to an Actor.
type Event interface{ event() }

type (
	// AskOpen is the leader's request to claim and open.
	AskOpen struct {
		Span Span
		From record.Position
		Term int64
		By   record.By
	}
	// AskEnd is the leader's request to claim the operator in the record, close, and end its step. From is the highest
	// position that the leader knows to be durable.
	AskEnd struct {
		Span Span
		From record.Position
		Term int64
	}
	// AskRelease is the leader's request to close the span and give it back, as a stop of the process would.
	AskRelease struct{ Span Span }
	// AskAbort is the leader's request to give a late opening up: the one that was claimed at revision Claim. Of the span
	// only the name and the revision matter.
	AskAbort struct {
		Span     Span
		Operator string
		Claim    int64
	}
	// AskRevoke is the leader's request to cancel the operator that this session acts for, or to supersede it. Members
	// are all spans that carry it, as the leader knows them.
	AskRevoke struct {
		Operator string
		Members  []Span
		Term     int64
		Cause    record.Cause
		// Successor is the remove of the span Of that takes the operator's place; nil for a cancel.
		Successor *record.Intent
		Of        span.ID
	}
	// Answer is the definite outcome of the transaction in flight.
	Answer struct {
		Done bool
		// Mod is the revision at which the transaction wrote Effect.Key.
		Mod int64
		// Found is the record that a refusal read, nil if there is none; Held the claim, if there is one. They come
		// with Done, too, if an earlier sending had done it and its answer was lost: others may have written since.
		Found *Span
		Held  *Claim
	}
	// Opened: Workload.Open returned an instance.
	Opened struct{}
	// OpenFailed: Workload.Open returned an error; nothing runs.
	OpenFailed struct{ Err string }
	// Closed: the instance is really closed; no write of it can follow.
	Closed struct{ At record.Position }
	// CloseFailed: Close returned an error; the instance counts as running.
	CloseFailed struct{ Err string }
	// Broken: the instance said that it cannot go on.
	Broken struct{ Err string }
	// Stop: the process stops cleanly.
	Stop struct{}
	// Disowned: a linearizable read at Revision found neither the record nor a claim to name this session.
	Disowned struct{ Revision int64 }
)

func (AskOpen) event()     {}
func (AskEnd) event()      {}
func (AskRelease) event()  {}
func (AskAbort) event()    {}
func (AskRevoke) event()   {}
func (Answer) event()      {}
func (Opened) event()      {}
func (OpenFailed) event()  {}
func (Closed) event()      {}
func (CloseFailed) event() {}
func (Broken) event()      {}
func (Stop) event()        {}
func (Disowned) event()    {}

// Effect is something for the dispatcher to do. Effects are carried out in order.
type Effect interface{ effect() }

type (
	// Send sends the part until its outcome is definite and feeds it back as an Answer. The outer compares are
	// Acting and, if Term is set, Leading.
	Send struct {
		Part txn.Part
		Term int64
		// Key is the one whose new mod revision the Answer carries.
		Key string
		// Alone: no other part fits into the same transaction.
		Alone bool
	}
	// Open calls Workload.Open.
	Open struct {
		Token uint64
		From  record.Position
	}
	// GiveUp ends the context of the running Open.
	GiveUp struct{}
	// Close calls Instance.Close; Try counts from 0, later ones wait longer.
	Close struct{ Try int }
	// Abort calls Instance.Abort and waits for it. Nothing is fed back.
	Abort struct{}
	// Interrupt calls Instance.Abort, also while it closes, and feeds back Closed with the last known position.
	Interrupt struct{}
	// Become replaces the actors that are forgotten by those of the children, which open at once.
	Become struct{ Children []Child }
	// Say reports to the leader.
	Say struct {
		Result   Result
		Operator string
		Err      string
		Holder   string
	}
	// Forget drops the Actor.
	Forget struct{}
)

func (Send) effect()      {}
func (Open) effect()      {}
func (GiveUp) effect()    {}
func (Close) effect()     {}
func (Abort) effect()     {}
func (Interrupt) effect() {}
func (Become) effect()    {}
func (Say) effect()       {}
func (Forget) effect()    {}

// Result of an ask, as it is told to the leader.
type Result uint8

const (
	// ResultClaimed: the claim is in etcd; the work goes on.
	ResultClaimed Result = iota + 1
	// ResultDone: the step's last transaction is in etcd.
	ResultDone
	// ResultRefused: nothing was done.
	ResultRefused
	// ResultOpenFailed: the workload could not open, or not go on; the span is released.
	ResultOpenFailed
	// ResultCloseFailed: the workload could not close, or not be held for that; it is tried again.
	ResultCloseFailed
	// ResultAborted: the opening was given up as asked.
	ResultAborted
	// ResultRevoked: the operator was cancelled or superseded as asked.
	ResultRevoked
	// ResultMissing: nothing was done; the record in the ask names this session as the owner, and the span does not run.
	ResultMissing
)

// Step is a pure function of the actor and the event.
func (a Actor) Step(env Env, ev Event) (Actor, []Effect) {
	switch ev := ev.(type) {
	case AskOpen:
		return a.askOpen(env, ev)
	case AskEnd:
		return a.askEnd(env, ev)
	case AskRelease:
		return a.askRelease(env, ev)
	case AskAbort:
		return a.askAbort(env, ev)
	case AskRevoke:
		return a.askRevoke(env, ev)
	case Answer:
		return a.answer(env, ev)
	case Opened:
		return a.opened(env)
	case OpenFailed:
		return a.openFailed(env, ev)
	case Closed:
		return a.closed(env, ev)
	case CloseFailed:
		return a.closeFailed(ev)
	case Broken:
		return a.broken(ev)
	case Stop:
		return a.stop()
	case Disowned:
		return a.disowned(ev)
	}
	return a, nil
}

// Busy reports whether a transaction is in flight, so that etcd may already know more than the Actor.
func (a Actor) Busy() bool {
	switch a.Phase {
	case Claiming, Committing, Aborting, ClaimingClose, Ending, Returning, Revoking, Merging:
		return true
	case Closing:
		return a.Sent
	default:
		return false
	}
}
