package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
)

func (a *app) newPlanApply() *cobra.Command {
	var f changeFlags
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "apply FILE|-",
		Short: "carry out a plan that was kept",
		Long: `Carry out a plan that ` + "`spanward plan -o json`" + ` has printed: exactly its operators, each for itself. One is refused if anything
has changed about its spans since the plan was made, or is in flight on them; the others go on. What a flag of the plan has only
supposed is not done by it: start, drain or stop the nodes yourself.

A file that was edited, or belongs to another cluster, is refused as a whole. With --dry-run nothing is changed: the command
prints what would be asked for, and what would be refused as things are.

Exit code 3: some operator was refused; those that were accepted go on. With --wait the command returns when all of them are
over, and the spans that they have made run.`,
		Example: `  spanward plan apply plan.json --wait
  spanward plan apply plan.json --dry-run
  spanward plan -o json | spanward plan apply - --request-id night-1`,
		Args: exactly("FILE"),
		RunE: a.action(func(ctx context.Context, args []string) error {
			plan, err := a.readPlan(args[0])
			if err != nil {
				return err
			}
			if len(plan.Operators) == 0 {
				return a.printer().EmptyPlan()
			}
			c, err := a.connect(ctx, a)
			if err != nil {
				return err
			}
			defer c.close()
			if dryRun {
				return a.checkPlan(ctx, c, plan)
			}
			return f.unknown(a.applyPlan(ctx, c, &f, plan))
		}),
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be asked for and refused, and change nothing")
	return cmd
}

// applied is what has become of the operators of a plan.
type applied struct {
	operators []*controlv1.Operator
	refused   []output.Refused
}

func (a *app) applyPlan(ctx context.Context, c *cluster, f *changeFlags, plan output.Plan) error {
	all := len(plan.Operators)
	var done applied
	if err := done.ask(ctx, c, f.id(), plan.Operators); err != nil {
		if n := len(done.operators) + len(done.refused); n > 0 {
			a.note("of %d operators %d were accepted and %d refused before there was an error", all, len(done.operators), len(done.refused))
		}
		return err
	}
	if f.wait {
		if len(done.refused) > 0 {
			a.note("%d of %d operators were refused, such as that on %s: %s", len(done.refused), all, done.refused[0].Spans[0], done.refused[0].Message)
		}
		if err := a.waitOperators(ctx, c, done.operators); err != nil {
			return err
		}
	}
	if err := a.printer().Applied(output.Applied{Operators: mapped(done.operators, output.FromOperator), Refused: done.refused}); err != nil {
		return err
	}
	return done.verdict(all)
}

// perCall is how many operators one call may have.
const perCall = 500

// ask asks for all operators, some with each call. The calls have request ids of their own, which are the same when the whole
// is repeated.
func (d *applied) ask(ctx context.Context, c *cluster, id string, ops []output.PlanOperator) error {
	n := 0
	for some := range slices.Chunk(ops, perCall) {
		resp, err := c.Control().ApplyPlan(ctx, &controlv1.ApplyPlanRequest{
			RequestId: fmt.Sprintf("%s.%d", id, n), Operators: mapped(some, output.PlanOperator.Planned),
		})
		if err != nil {
			return err
		}
		if got := len(resp.GetResults()); got != len(some) {
			return fault.New(fault.Internal, "%d results came for %d operators", got, len(some)).
				Fix("see `spanward operator list`, and whether the maintainers have another version")
		}
		for i, r := range resp.GetResults() {
			if op := r.GetOperator(); op != nil {
				d.operators = append(d.operators, op)
			} else {
				d.refused = append(d.refused, some[i].Refuse(r.GetReason(), r.GetRefused(), r.GetRemedy()))
			}
		}
		n++
	}
	return nil
}

// verdict is an error if not all has gone well.
func (d *applied) verdict(all int) error {
	if n := len(d.refused); n > 0 {
		return fault.New(fault.Refused, "%d of %d operators were refused", n, all).Fix("see the reasons; for what is left " + newPlan)
	}
	var bad []*controlv1.Operator
	for _, op := range d.operators {
		if badEnd(op) != nil {
			bad = append(bad, op)
		}
	}
	switch len(bad) {
	case 0:
		return nil
	case 1:
		return badEnd(bad[0])
	}
	return fault.New(fault.Failed, "%d of %d operators failed or were cancelled", len(bad), all).
		Fix("see the errors, and `spanward operator show %s`", bad[0].GetId())
}

func mapped[A, B any](in []A, f func(A) B) []B {
	out := make([]B, 0, len(in))
	for _, x := range in {
		out = append(out, f(x))
	}
	return out
}
