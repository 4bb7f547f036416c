package main

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
)

// changeFlags are those of every changing command.
type changeFlags struct {
	requestID string
	wait      bool
}

func (f *changeFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.requestID, "request-id", "", "repeating a command with the same id carries it out once (default random)")
	cmd.Flags().BoolVar(&f.wait, "wait", false, "return when it is over, with progress on stderr")
}

// id is the request id, made up if the user gave none.
func (f *changeFlags) id() string {
	if f.requestID == "" {
		f.requestID = uuid.NewString()
	}
	return f.requestID
}

// unknown adds the request id to an error that leaves the outcome open: a user cannot repeat with an id that was made up
// and never shown.
func (f *changeFlags) unknown(err error) error {
	e, ok := fault.As(explainedOrNil(err))
	if !ok || e.Reason.Class() != fault.ClassUnavailable {
		return err
	}
	told := *e
	return told.Fix("the outcome is unknown: repeat with --request-id %s", f.id())
}

func explainedOrNil(err error) error {
	if err == nil {
		return nil
	}
	return explained(err)
}

// changing is the body of a changing command.
func (a *app) changing(f *changeFlags, do func(ctx context.Context, c *cluster, args []string) error) func(*cobra.Command, []string) error {
	return a.online(func(ctx context.Context, c *cluster, args []string) error {
		return f.unknown(do(ctx, c, args))
	})
}

const (
	// pollPause is between two looks at what a command waits for, at least: a look that takes long is a burden to the leader,
	// so the pause grows with it.
	pollPause = 150 * time.Millisecond
	// pollShare is how many times as long as a look the pause after it is.
	pollShare = 4
)

// poll looks until it is done. Trouble on the way is told, and does not end the wait: that is what --timeout is for.
func (a *app) poll(ctx context.Context, look func() (done bool, now string, err error)) error {
	told := ""
	for {
		began := time.Now()
		done, now, err := look()
		pause := max(pollPause, pollShare*time.Since(began))
		if e, ok := fault.As(err); ok && e.Reason.Class() == fault.ClassUnavailable && ctx.Err() == nil {
			now, err = "still waiting: "+e.Message, nil
		}
		if err != nil || done {
			return err
		}
		if now != told {
			a.note("%s", now)
			told = now
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unseen is how long a maintainer may not know an operator that was accepted: its view may be behind, when etcd was away.
const unseen = 15 * time.Second

// waitOperator returns when an operator is over.
func (a *app) waitOperator(ctx context.Context, c *cluster, op *controlv1.Operator) (*controlv1.Operator, error) {
	began := time.Now()
	err := a.poll(ctx, func() (bool, string, error) {
		resp, err := c.Control().ListOperators(ctx, &controlv1.ListOperatorsRequest{Id: op.GetId()})
		if fault.Is(err, fault.UnknownOperator) && time.Since(began) < unseen {
			err = nil
		}
		if err != nil {
			return false, "", err
		}
		if len(resp.GetOperators()) > 0 {
			op = resp.GetOperators()[0]
		}
		return op.GetOutcome() != "", output.OperatorText(output.FromOperator(op)), nil
	})
	return op, err
}

// finish prints an operator that was accepted, or with --wait its end, and gives an error if it did not come to a good one.
// settle, if there is one, waits for what follows the operator.
func (a *app) finish(ctx context.Context, c *cluster, f *changeFlags, op *controlv1.Operator, settle func(*controlv1.Operator) error) error {
	if f.wait {
		var err error
		if op, err = a.waitOperator(ctx, c, op); err != nil {
			return err
		}
		if settle != nil && op.GetOutcome() == "done" {
			if err := settle(op); err != nil {
				return err
			}
		}
	}
	if err := a.printer().Operator(output.FromOperator(op)); err != nil {
		return err
	}
	return badEnd(op)
}

// badEnd is the error of an operator that failed or was cancelled.
func badEnd(op *controlv1.Operator) error {
	if op.GetOutcome() == "" || op.GetOutcome() == "done" {
		return nil
	}
	f := fault.New(fault.Failed, "%s", op.GetOutcome()).On("operator", op.GetId())
	if op.GetError() != "" {
		f.Message += ": " + op.GetError()
	}
	return f.Fix("see `spanward operator show %s`", op.GetId())
}
