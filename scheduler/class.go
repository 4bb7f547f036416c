package scheduler

import "github.com/spanward/spanward/internal/record"

// Class of an operator, by what it is for. What is smaller goes first.
type Class uint8

// The classes.
const (
	ClassFailover Class = iota + 1
	ClassUser
	ClassDrain
	ClassBalance
	ClassReshape
)

// ClassOf is the class of what somebody has begun. Placement is as urgent as failover: in both nobody owns the span.
func ClassOf(by record.By) Class {
	switch by {
	case record.ByPlacement, record.ByFailover:
		return ClassFailover
	case record.ByUser:
		return ClassUser
	case record.ByDrain:
		return ClassDrain
	case record.ByBalance:
		return ClassBalance
	case record.ByLoad:
		return ClassReshape
	default:
		return 0
	}
}

func (c Class) String() string {
	switch c {
	case ClassFailover:
		return "failover"
	case ClassUser:
		return "user"
	case ClassDrain:
		return "drain"
	case ClassBalance:
		return "balance"
	case ClassReshape:
		return "split/merge"
	default:
		return "none"
	}
}
