package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/span"
)

type keyspaceCreate struct {
	changeFlags
	workload string
	ranges   []string
	file     string
	set      []string
}

const placeHelp = `Settings that begin with "place." say which nodes run the spans, by the labels that nodes were started with. They count from
the next time that a span is placed; what runs stays where it is. An empty value takes one back.

    place.require=zone=a|b,disk=ssd   only nodes with all of it
    place.prefer=zone=a               these first, as long as one of them has room
    place.spread=zone                 as many spans for each value of the label
    place.pin=a:c=n1,m:=n2            these keys on that node only`

func (a *app) newKeyspaceCreate() *cobra.Command {
	var f keyspaceCreate
	cmd := &cobra.Command{
		Use:   "create KS --workload W [--range START:END …] [--set k=v …]",
		Short: "create a keyspace with one span per range",
		Long: `Create a keyspace with one span per range. Nothing is placed before all of them are recorded. With thousands of ranges that
takes a while: how far it is goes to stderr, and "keyspace show" tells it, too. If the command is interrupted repeat it, with
the same --request-id and ranges, and it goes on where it was; or give the keyspace up with "keyspace delete".

` + placeHelp,
		Example: `  spanward keyspace create orders --workload mirror --range : --set source=http://a:2379 --set dest=http://b:2379 --wait
  spanward keyspace create many --workload gate --ranges ranges.txt --request-id many-1
  spanward keyspace create test --workload gate --range a:m --range m:
  spanward keyspace create near --workload gate --set place.require=zone=a|b --set place.spread=zone`,
		Args: exactly("KS"),
		RunE: a.changing(&f.changeFlags, func(ctx context.Context, c *cluster, args []string) error {
			return a.createKeyspace(ctx, c, &f, args[0])
		}),
	}
	f.register(cmd)
	cmd.Flags().StringVar(&f.workload, "workload", "", "what runs on each span: mirror, gate, … (required)")
	cmd.Flags().StringArrayVar(&f.ranges, "range", nil, "range of a span, START:END; several may follow, or repeat it")
	cmd.Flags().StringVar(&f.file, "ranges", "", "file with one range a line, - for stdin")
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "setting of the workload or of placement, k=v; several may follow, or repeat it")
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
	if req.Set, err = keyValues("--set", f.set); err != nil {
		return err
	}
	if f.workload == "" {
		return fault.New(fault.InvalidArgument, "is missing").On("--workload", "").Fix("say what runs on each span: mirror, gate, …")
	}
	resp, err := a.create(ctx, c, req)
	if err == nil {
		err = badEnd(resp.GetOperator())
	}
	if err != nil {
		return err
	}
	if len(req.Ranges) == 0 {
		a.note("keyspace %s was given no --range: one span takes everything", name)
	}
	return a.finishKeyspace(ctx, c, &f.changeFlags, resp.GetKeyspace(), nil, "running")
}

// create asks until there is an answer. A call that takes too long is repeated as long as the creation gets on: with the
// same request, it goes on where it is.
func (a *app) create(ctx context.Context, c *cluster, req *controlv1.CreateKeyspaceRequest) (*controlv1.CreateKeyspaceResponse, error) {
	for before := int64(-1); ; {
		resp, err := a.createOnce(ctx, c, req)
		if f, ok := fault.As(err); !ok || f.Reason.Class() != fault.ClassUnavailable || ctx.Err() != nil {
			return resp, err
		}
		made, creating := c.creation(ctx, req.GetName())
		if !creating || made.Spans.Total <= before {
			return nil, err
		}
		before = made.Spans.Total
		a.note("still creating %s: %s", req.GetName(), explained(err).Message)
	}
}

// tellEvery is how often a creation that takes long is told of.
const tellEvery = time.Second

func (a *app) createOnce(ctx context.Context, c *cluster, req *controlv1.CreateKeyspaceRequest) (*controlv1.CreateKeyspaceResponse, error) {
	watched, stop := context.WithCancel(ctx)
	var telling sync.WaitGroup
	telling.Go(func() { a.tellCreation(watched, c, req.GetName()) })
	defer telling.Wait()
	defer stop()
	return c.Control().CreateKeyspace(ctx, req)
}

func (a *app) tellCreation(ctx context.Context, c *cluster, name string) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for told := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		k, creating := c.creation(ctx, name)
		if now := k.SpansText(); creating && now != told {
			a.note("%s creating, spans %s", name, now)
			told = now
		}
	}
}

// creation is a keyspace that is being created.
func (c *cluster) creation(ctx context.Context, name string) (k output.Keyspace, creating bool) {
	got, err := c.keyspace(ctx, name)
	if err != nil {
		return output.Keyspace{}, false // whoever wants to know why asks for more than progress
	}
	k = output.FromKeyspace(got)
	return k, k.ExpectedSpans != nil
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

// keyValues reads k=v pairs.
func keyValues(field string, pairs []string) (map[string]string, error) {
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
