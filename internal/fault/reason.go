package fault

import "slices"

// Class groups reasons by what the caller should do next.
type Class int

// The value of a class is its exit code.
const (
	// ClassFailed: it was tried and did not succeed, was cancelled, or what was compared differs.
	ClassFailed Class = iota + 1
	// ClassUsage: the request cannot mean anything; repeating it cannot help.
	ClassUsage
	// ClassConflict: the request is well formed, and refused by the state of things.
	ClassConflict
	// ClassUnavailable: nobody answered in time. The outcome is unknown; repeat with the same request id.
	ClassUnavailable
)

// ExitCode is the exit code of the command line for errors of this class.
func (c Class) ExitCode() int { return int(c) }

// Reason is the stable name of an error; clients match on it.
type Reason string

// Reasons of class usage.
const (
	InvalidArgument Reason = "INVALID_ARGUMENT"
	InvalidName     Reason = "INVALID_NAME"
	InvalidRange    Reason = "INVALID_RANGE"
	InvalidKey      Reason = "INVALID_KEY"
)

// Reasons of class conflict.
const (
	RangeOverlap    Reason = "RANGE_OVERLAP"
	UnknownKeyspace Reason = "UNKNOWN_KEYSPACE"
	UnknownSpan     Reason = "UNKNOWN_SPAN"
	UnknownNode     Reason = "UNKNOWN_NODE"
	UnknownWorkload Reason = "UNKNOWN_WORKLOAD"
	UnknownOperator Reason = "UNKNOWN_OPERATOR"
	UnknownLabel    Reason = "UNKNOWN_LABEL"
	AlreadyExists   Reason = "ALREADY_EXISTS"
	// SpanBusy names the operator that holds the span.
	SpanBusy     Reason = "SPAN_BUSY"
	NodeNotReady Reason = "NODE_NOT_READY"
	// NotMoved refuses a move to where the span already is.
	NotMoved Reason = "NOT_MOVED"
	// PlanOutdated refuses an operator of a plan whose spans have changed since.
	PlanOutdated Reason = "PLAN_OUTDATED"
	// RequestConflict is a request id that was used before with another body.
	RequestConflict Reason = "REQUEST_CONFLICT"
	WrongCluster    Reason = "WRONG_CLUSTER"
	Refused         Reason = "REFUSED"
	EtcdTooOld      Reason = "ETCD_TOO_OLD"
	EtcdAuth        Reason = "ETCD_AUTH"
)

// Reasons of class unavailable.
const (
	NotLeader       Reason = "NOT_LEADER"
	Unavailable     Reason = "UNAVAILABLE"
	Timeout         Reason = "TIMEOUT"
	EtcdUnreachable Reason = "ETCD_UNREACHABLE"
)

// Reasons of class failed.
const (
	Failed   Reason = "FAILED"
	Violated Reason = "VIOLATED"
	Unequal  Reason = "UNEQUAL"
	// Internal is a bug or a case nobody thought of; the text of its cause is in the log only.
	Internal Reason = "INTERNAL"
)

var classes = map[Reason]Class{
	InvalidArgument: ClassUsage,
	InvalidName:     ClassUsage,
	InvalidRange:    ClassUsage,
	InvalidKey:      ClassUsage,

	RangeOverlap:    ClassConflict,
	UnknownKeyspace: ClassConflict,
	UnknownSpan:     ClassConflict,
	UnknownNode:     ClassConflict,
	UnknownWorkload: ClassConflict,
	UnknownOperator: ClassConflict,
	UnknownLabel:    ClassConflict,
	AlreadyExists:   ClassConflict,
	SpanBusy:        ClassConflict,
	NodeNotReady:    ClassConflict,
	NotMoved:        ClassConflict,
	PlanOutdated:    ClassConflict,
	RequestConflict: ClassConflict,
	WrongCluster:    ClassConflict,
	Refused:         ClassConflict,
	EtcdTooOld:      ClassConflict,
	EtcdAuth:        ClassConflict,

	NotLeader:       ClassUnavailable,
	Unavailable:     ClassUnavailable,
	Timeout:         ClassUnavailable,
	EtcdUnreachable: ClassUnavailable,

	Failed:   ClassFailed,
	Violated: ClassFailed,
	Unequal:  ClassFailed,
	Internal: ClassFailed,
}

// Class is the class of the reason; ClassFailed for one that this version does not know.
func (r Reason) Class() Class {
	if c, ok := classes[r]; ok {
		return c
	}
	return ClassFailed
}

// Known says whether this version has the reason.
func (r Reason) Known() bool {
	_, ok := classes[r]
	return ok
}

// Reasons lists all reasons, sorted.
func Reasons() []Reason {
	all := make([]Reason, 0, len(classes))
	for r := range classes {
		all = append(all, r)
	}
	slices.Sort(all)
	return all
}
