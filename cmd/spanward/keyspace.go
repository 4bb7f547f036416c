package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/span"
)

func (a *app) newKeyspace() *cobra.Command {
	cmd := group("keyspace", "sets of spans that are kept covered",
		a.newKeyspaceCreate(), a.newKeyspaceList(), a.newKeyspaceShow(), a.newKeyspaceSet(),
		a.newKeyspaceState("pause", "close all spans of a keyspace and keep them", "paused"),
		a.newKeyspaceState("resume", "open the spans of a paused keyspace again", "running"),
		a.newKeyspaceState("delete", "remove a keyspace with all its spans", ""),
	)
	cmd.Aliases = []string{"ks"}
	return cmd
}

type keyspaceCreate struct {
	changeFlags
	workload string
	ranges   []string
	file     string
	set      []string
}

func (a *app) newKeyspaceCreate() *cobra.Command {
	var f keyspaceCreate
	cmd := &cobra.Command{
		Use:   "create KS --workload W [--range START:END …] [--set k=v …]",
		Short: "create a keyspace with one span per range",
		Example: `  spanward keyspace create orders --workload mirror --range : --set source=http://a:2379 --set dest=http://b:2379 --wait
  spanward keyspace create test --workload gate --range a:m --range m:`,
		Args: exactly("KS"),
		RunE: a.changing(&f.changeFlags, func(ctx context.Context, c *cluster, args []string) error {
			return a.createKeyspace(ctx, c, &f, args[0])
		}),
	}
	f.register(cmd)
	cmd.Flags().StringVar(&f.workload, "workload", "", "what runs on each span: mirror, gate, … (required)")
	cmd.Flags().StringArrayVar(&f.ranges, "range", nil, "range of a span, START:END; several may follow, or repeat it")
	cmd.Flags().StringVar(&f.file, "ranges", "", "file with one range a line, - for stdin")
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "setting of the workload, k=v; several may follow, or repeat it")
	several(cmd.Flags(), "range", ":")
	several(cmd.Flags(), "set", "=")
	return cmd
}

func (a *app) createKeyspace(ctx context.Context, c *cluster, f *keyspaceCreate, name string) error {
	req := &controlv1.CreateKeyspaceRequest{RequestId: f.id(), Name: name, Workload: f.workload}
	err := checkNames(name)
	if err != nil {
		return err
	}
	if req.Ranges, err = a.readRanges(f.ranges, f.file); err != nil {
		return err
	}
	if req.Set, err = settings("--set", f.set); err != nil {
		return err
	}
	if f.workload == "" {
		return fault.New(fault.InvalidArgument, "is missing").On("--workload", "").Fix("say what runs on each span: mirror, gate, …")
	}
	resp, err := c.Control().CreateKeyspace(ctx, req)
	if err != nil {
		return err
	}
	if len(req.Ranges) == 0 {
		a.note("keyspace %s was given no --range: one span takes everything", name)
	}
	return a.finishKeyspace(ctx, c, &f.changeFlags, resp.GetKeyspace(), nil, "running")
}

// readRanges reads the ranges of flags and of a file.
func (a *app) readRanges(flags []string, file string) ([]*controlv1.Range, error) {
	var out []*controlv1.Range
	for _, text := range flags {
		r, err := span.ParseRange(text)
		if err != nil {
			return nil, fault.ForField(err, "--range")
		}
		out = append(out, wireRange(r))
	}
	if file == "" {
		return out, nil
	}
	more, err := a.rangesFile(file)
	return append(out, more...), err
}

func (a *app) rangesFile(name string) ([]*controlv1.Range, error) {
	in := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fault.New(fault.InvalidArgument, "cannot be read: %s", err).On("--ranges", name).
				Fix("name a file with one range a line, or - for stdin")
		}
		defer f.Close()
		in = f
	}
	return parseRanges(in)
}

// maxLine holds a range of two keys of the longest kind with every byte escaped.
const maxLine = 2*4*span.MaxKeyBytes + 16

func parseRanges(in io.Reader) ([]*controlv1.Range, error) {
	var out []*controlv1.Range
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSuffix(lines.Text(), "\r")
		if text == "" {
			continue
		}
		r, err := span.ParseRange(text)
		if err != nil {
			return nil, fault.ForField(err, fmt.Sprintf("--ranges line %d", n))
		}
		out = append(out, wireRange(r))
	}
	if err := lines.Err(); err != nil {
		return nil, fault.New(fault.InvalidArgument, "line %d: %s", len(out)+1, err).On("--ranges", "").Fix("give one range a line")
	}
	return out, nil
}

func wireRange(r span.Range) *controlv1.Range {
	return &controlv1.Range{Start: []byte(r.Start), End: []byte(r.End)}
}

// settings reads k=v pairs.
func settings(field string, pairs []string) (map[string]string, error) {
	out := map[string]string{}
	for _, pair := range pairs {
		k, v, ok := strings.Cut(pair, "=")
		if !ok || k == "" {
			return nil, fault.New(fault.InvalidArgument, "is not of the form k=v").On(field, pair).Fix("write the name, '=' and the value")
		}
		if _, twice := out[k]; twice {
			return nil, fault.New(fault.InvalidArgument, "sets %s a second time", k).On(field, pair).Fix("set it once")
		}
		out[k] = v
	}
	return out, nil
}

func (a *app) newKeyspaceList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "list keyspaces",
		Example: "  spanward keyspace list\n  spanward keyspace list -o json",
		Args:    exactly(),
		RunE: a.online(func(ctx context.Context, c *cluster, _ []string) error {
			resp, err := c.Control().ListKeyspaces(ctx, &controlv1.ListKeyspacesRequest{})
			if err != nil {
				return err
			}
			return a.printer().Keyspaces(output.FromKeyspaces(resp.GetKeyspaces()))
		}),
	}
}

func (a *app) newKeyspaceShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show KS",
		Short:             "show one keyspace",
		Example:           "  spanward keyspace show orders",
		Args:              exactly("KS"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames),
		RunE: a.online(func(ctx context.Context, c *cluster, args []string) error {
			k, err := c.keyspace(ctx, args[0])
			if err != nil {
				return err
			}
			return a.printer().Keyspace(output.FromKeyspace(k))
		}),
	}
}

// keyspace asks for one keyspace.
func (c *cluster) keyspace(ctx context.Context, name string) (*controlv1.Keyspace, error) {
	if err := keys.CheckName("keyspace", name); err != nil {
		return nil, err
	}
	resp, err := c.Control().ListKeyspaces(ctx, &controlv1.ListKeyspacesRequest{Name: name})
	if err != nil {
		return nil, err
	}
	if len(resp.GetKeyspaces()) == 0 {
		return nil, fault.New(fault.UnknownKeyspace, "does not exist").On("keyspace", name).Fix("see `spanward keyspace list`")
	}
	return resp.GetKeyspaces()[0], nil
}

func (a *app) newKeyspaceSet() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:               "set KS k=v…",
		Short:             "change settings of a keyspace",
		Example:           "  spanward keyspace set orders dest-compact=1h",
		ValidArgsFunction: a.completeArgs(a.keyspaceNames),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return exactly("KS", "k=v")(cmd, args)
			}
			return nil
		},
		RunE: a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
			set, err := settings("setting", args[1:])
			if err != nil {
				return err
			}
			if err := checkNames(args[0]); err != nil {
				return err
			}
			resp, err := c.Control().SetKeyspace(ctx, &controlv1.SetKeyspaceRequest{RequestId: f.id(), Name: args[0], Set: set})
			if err != nil {
				return err
			}
			return a.printer().Keyspace(output.FromKeyspace(resp.GetKeyspace()))
		}),
	}
	f.register(cmd)
	return cmd
}

// newKeyspaceState makes pause, resume and delete; goal is the state of all spans in the end, "" for none left.
func (a *app) newKeyspaceState(verb, short, goal string) *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:               verb + " KS",
		Short:             short,
		Example:           "  spanward keyspace " + verb + " orders --wait",
		Args:              exactly("KS"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames),
		RunE: a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
			if err := checkNames(args[0]); err != nil {
				return err
			}
			resp, err := c.Control().ChangeKeyspaceState(ctx, &controlv1.ChangeKeyspaceStateRequest{
				RequestId: f.id(), Name: args[0], Verb: verb,
			})
			if err != nil {
				return err
			}
			return a.finishKeyspace(ctx, c, &f, resp.GetKeyspace(), resp.GetOperator(), goal)
		}),
	}
	f.register(cmd)
	return cmd
}

// finishKeyspace prints a keyspace, with --wait once it and all its spans are in the state that was asked for, and the
// operator that brings them there, if there is one, is over.
func (a *app) finishKeyspace(ctx context.Context, c *cluster, f *changeFlags, k *controlv1.Keyspace, op *controlv1.Operator, goal string) error {
	if f.wait {
		var err error
		if k, err = a.waitKeyspace(ctx, c, k, op, goal); err != nil {
			return err
		}
	}
	return a.printer().Keyspace(output.FromKeyspace(k))
}

func (a *app) waitKeyspace(ctx context.Context, c *cluster, k *controlv1.Keyspace, op *controlv1.Operator, goal string) (*controlv1.Keyspace, error) {
	began := time.Now()
	err := a.poll(ctx, func() (bool, string, error) {
		over, err := operatorOver(ctx, c, op, began)
		if err != nil {
			return false, "", err
		}
		now, err := c.keyspace(ctx, k.GetName())
		if goal == "" && fault.Is(err, fault.UnknownKeyspace) {
			k.Spans = map[string]int64{} // what it had when it was last seen
			return over, k.GetName() + " is gone", nil
		}
		if err != nil {
			return false, "", err
		}
		k = now
		shape := output.FromKeyspace(k)
		done := over && goal != "" && k.GetState() == goal && k.GetSpans()[goal] == k.GetSpans()["total"]
		return done, fmt.Sprintf("%s %s, spans %s", shape.Name, shape.State, shape.Spans), nil
	})
	return k, err
}

// operatorOver reports whether an operator is done; a bad end is an error. None at all is over.
func operatorOver(ctx context.Context, c *cluster, op *controlv1.Operator, accepted time.Time) (bool, error) {
	if op.GetId() == "" {
		return true, nil
	}
	resp, err := c.Control().ListOperators(ctx, &controlv1.ListOperatorsRequest{Id: op.GetId()})
	if fault.Is(err, fault.UnknownOperator) && time.Since(accepted) < unseen {
		return false, nil
	}
	if err != nil || len(resp.GetOperators()) == 0 {
		return false, err
	}
	now := resp.GetOperators()[0]
	return now.GetOutcome() != "", badEnd(now)
}
