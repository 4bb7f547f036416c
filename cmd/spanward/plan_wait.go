package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
)

// waitOperators returns when all operators are over and what they have made runs, and puts the end of each in its place.
func (a *app) waitOperators(ctx context.Context, c *cluster, ops []*controlv1.Operator) error {
	w := follow(ops)
	if err := a.poll(ctx, func() (bool, string, error) { return w.look(ctx, c) }); err != nil {
		return err
	}
	for _, op := range ops {
		if (op.GetType() == "split" || op.GetType() == "merge") && op.GetOutcome() == "done" {
			if err := a.waitPlaced(ctx, c, op.GetKeyspace(), op); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	// listed is the most operators that a maintainer lists.
	listed = 50_000
	// skew is how far the clocks of those who end operators may be apart, for a look to find all ends with one listing.
	skew = time.Minute
)

// following is many operators, which are looked at together: one by one they would be a burden to the leader.
type following struct {
	ops []*controlv1.Operator
	// left are the places in ops of those that are not over, by id.
	left map[string]int
	// since is when the first of them may have ended.
	since time.Time
	began time.Time
}

func follow(ops []*controlv1.Operator) *following {
	f := &following{ops: ops, left: map[string]int{}, began: time.Now()}
	for i, op := range ops {
		f.see(op, i)
		if made := op.GetCreated().AsTime(); i == 0 || made.Before(f.since) {
			f.since = made
		}
	}
	return f
}

// see takes how an operator stands.
func (f *following) see(op *controlv1.Operator, i int) {
	f.ops[i] = op
	if op.GetOutcome() == "" {
		f.left[op.GetId()] = i
	} else {
		delete(f.left, op.GetId())
	}
}

// look asks first for those in flight and then for those that are over, so that none can slip through between the two.
func (f *following) look(ctx context.Context, c *cluster) (done bool, now string, err error) {
	if len(f.left) == 0 {
		return true, "", nil
	}
	seen := map[string]bool{}
	for _, req := range []*controlv1.ListOperatorsRequest{
		{Limit: listed},
		{Limit: listed, Finished: true, Since: timestamppb.New(f.since.Add(-skew))},
	} {
		resp, err := c.Control().ListOperators(ctx, req)
		if err != nil {
			return false, "", err
		}
		f.take(resp.GetOperators(), seen)
	}
	if err := f.missing(ctx, c, seen); err != nil {
		return false, "", err
	}
	return len(f.left) == 0, f.text(), nil
}

func (f *following) take(ops []*controlv1.Operator, seen map[string]bool) {
	for _, op := range ops {
		if i, ours := f.left[op.GetId()]; ours {
			seen[op.GetId()] = true
			f.see(op, i)
		}
	}
}

// missing looks for each one that no list has had: there are more of them than are listed, or it was accepted just now.
func (f *following) missing(ctx context.Context, c *cluster, seen map[string]bool) error {
	for id, i := range f.left {
		if seen[id] {
			continue
		}
		resp, err := c.Control().ListOperators(ctx, &controlv1.ListOperatorsRequest{Id: id})
		if fault.Is(err, fault.UnknownOperator) && time.Since(f.began) < unseen {
			continue
		}
		if err != nil {
			return err
		}
		for _, op := range resp.GetOperators() {
			f.see(op, i)
		}
	}
	return nil
}

// text says how many are over, and how the first of the others stands.
func (f *following) text() string {
	text := fmt.Sprintf("%d of %d operators are over", len(f.ops)-len(f.left), len(f.ops))
	for _, op := range f.ops {
		if op.GetOutcome() == "" {
			return text + "; " + output.OperatorText(output.FromOperator(op))
		}
	}
	return text
}
