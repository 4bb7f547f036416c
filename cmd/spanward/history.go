package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
)

type historyFlags struct {
	span, kind, since, outcome string
	limit                      int64
}

func (a *app) newHistory() *cobra.Command {
	var f historyFlags
	cmd := &cobra.Command{
		Use:   "history [KS]",
		Short: "list operators that are over, the newest last",
		Long: `List operators that are over in the order in which they ended, the newest last. The history is trimmed by age and
number: see --history-age and --history-count of the maintainer.`,
		Example:           "  spanward history orders --type move --since 1h\n  spanward history --limit 20\n  spanward history --outcome failed -o json",
		Args:              between(0, "KS"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames),
		RunE: a.online(func(ctx context.Context, c *cluster, args []string) error {
			req, err := f.request(args)
			if err != nil {
				return err
			}
			resp, err := c.Control().ListOperators(ctx, req)
			if err != nil {
				return err
			}
			if resp.GetMore() {
				a.note("only the newest %d are listed; narrow the search or raise --limit for older ones", len(resp.GetOperators()))
			}
			return a.printer().History(output.FromHistory(resp.GetOperators()))
		}),
	}
	cmd.Flags().StringVar(&f.span, "span", "", "only operators of this span")
	cmd.Flags().StringVar(&f.kind, "type", "", "only this type: add, remove, move, split, merge, keyspace")
	cmd.Flags().StringVar(&f.since, "since", "", "only what ended since then: a duration (90s, 1h, 7d) or a time (RFC 3339)")
	cmd.Flags().StringVar(&f.outcome, "outcome", "", "only this outcome: done, failed, cancelled")
	cmd.Flags().Int64Var(&f.limit, "limit", 10_000, "at most so many, the newest; 1 to 50000")
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(
		[]string{"add", "remove", "move", "split", "merge", "keyspace"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions(
		[]string{"done", "failed", "cancelled"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f historyFlags) request(args []string) (*controlv1.ListOperatorsRequest, error) {
	req := &controlv1.ListOperatorsRequest{Finished: true, Span: f.span, Type: f.kind, Outcome: f.outcome, Limit: f.limit}
	if len(args) > 0 {
		req.Keyspace = args[0]
		if err := keys.CheckName("keyspace", args[0]); err != nil {
			return nil, err
		}
	}
	if f.span != "" {
		if err := keys.CheckName("--span", f.span); err != nil {
			return nil, err
		}
	}
	if f.kind != "" {
		if _, err := record.ParseKind(f.kind); err != nil {
			return nil, fault.New(fault.InvalidArgument, "is no type of operator").On("--type", f.kind).
				Fix("use add, remove, move, split, merge or keyspace")
		}
	}
	if f.outcome != "" {
		if _, err := record.ParseOutcome(f.outcome); err != nil {
			return nil, fault.New(fault.InvalidArgument, "is no outcome").On("--outcome", f.outcome).Fix("use done, failed or cancelled")
		}
	}
	if f.limit < 1 || f.limit > 50_000 {
		return nil, fault.New(fault.InvalidArgument, "is not from 1 to 50000").On("--limit", strconv.FormatInt(f.limit, 10)).
			Fix("narrow the search by keyspace, --span, --type or --since if that is not enough")
	}
	since, err := parseSince(f.since, time.Now())
	req.Since = since
	return req, err
}

// parseSince reads a moment, or how long it is ago.
func parseSince(text string, now time.Time) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	bad := fault.New(fault.InvalidArgument, "is neither a duration nor a time").On("--since", text).
		Fix("write 90s, 15m, 2h, 7d or 2006-01-02T15:04:05Z")
	if d, ok := ago(text); ok {
		if d < 0 {
			bad.Message = "is in the future"
			return nil, bad
		}
		return timestamppb.New(now.Add(-d)), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	switch {
	case err != nil:
		return nil, bad
	case t.After(now):
		bad.Message = "is in the future"
		return nil, bad
	}
	return timestamppb.New(t), nil
}

// maxDays keeps a duration from overflowing.
const maxDays = 36_500

// ago reads a duration, also one in whole days.
func ago(text string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour, err == nil && n <= maxDays && n >= -maxDays
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}
