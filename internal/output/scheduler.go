package output

import (
	"fmt"
	"strconv"

	controlv1 "github.com/spanward/spanward/api/control/v1"
)

// Scheduler is one of schedulers[]: a planner, and how busy it is.
type Scheduler struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Help  string `json:"help"`
	// InFlight is how many operators of it are, and Limit the most that may be; null is no limit.
	InFlight int64  `json:"in_flight"`
	Limit    *int64 `json:"limit"`
	// Waiting is how many spans wait for it.
	Waiting int64 `json:"waiting"`
	// Accepted counts its operators since the leader leads.
	Accepted int64 `json:"accepted"`
}

// FromScheduler gives the shape of a planner.
func FromScheduler(s *controlv1.Scheduler) Scheduler {
	return Scheduler{
		Name: s.GetName(), State: s.GetState(), Help: s.GetHelp(), InFlight: s.GetInFlight(), Limit: known(s.GetLimit()),
		Waiting: s.GetWaiting(), Accepted: s.GetAccepted(),
	}
}

// FromSchedulers gives the shapes of planners, what goes first in front.
func FromSchedulers(in []*controlv1.Scheduler) []Scheduler { return each(in, FromScheduler) }

var schedulerColumns = []column[Scheduler]{
	{head: "NAME", cell: func(s Scheduler) string { return s.Name }},
	{head: "STATE", cell: func(s Scheduler) string { return s.State }},
	{head: "IN_FLIGHT", cell: func(s Scheduler) string {
		if s.Limit == nil {
			return strconv.FormatInt(s.InFlight, 10)
		}
		return fmt.Sprintf("%d/%d", s.InFlight, *s.Limit)
	}},
	{head: "WAITING", cell: func(s Scheduler) string { return strconv.FormatInt(s.Waiting, 10) }},
	{head: "ACCEPTED", cell: func(s Scheduler) string { return strconv.FormatInt(s.Accepted, 10) }},
	{head: "DOES", cell: func(s Scheduler) string { return s.Help }},
}

// Schedulers prints a list of planners, with all of what they do.
func (p Printer) Schedulers(in []Scheduler) error {
	if p.Format == Table {
		p.Format = Wide
	}
	return list(p, "schedulers", in, schedulerColumns)
}

// Scheduler prints one planner.
func (p Printer) Scheduler(s Scheduler) error { return object(p, s, schedulerColumns) }
