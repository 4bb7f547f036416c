package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/internal/sim"
)

func (a *app) newSimulate() *cobra.Command {
	var svg string
	cmd := &cobra.Command{
		Use:   "simulate FILE",
		Short: "run the planners over a described cluster, in virtual time",
		Long: `Run the planners over a described cluster, in virtual time: what they would move, how even the nodes become, and how
long it takes until all is calm after a node is lost, added or drained. FILE is YAML, - is standard input; docs/simulation.md
explains it, and docs/simulations has examples. It needs no cluster and changes nothing. The same file gives the same result.

How long it took and how much memory it needed is printed on stderr.`,
		Example: "  spanward simulate docs/simulations/failover.yaml\n  spanward simulate docs/simulations/million.yaml --svg million.svg\n  spanward simulate cluster.yaml -o json",
		Args:    exactly("FILE"),
		RunE: a.action(func(ctx context.Context, args []string) error {
			return a.simulate(ctx, args[0], svg)
		}),
	}
	cmd.Flags().StringVar(&svg, "svg", "", "draw a chart into this file as well")
	_ = cmd.MarkFlagFilename("svg", "svg")
	cmd.ValidArgsFunction = cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt)
	return cmd
}

// maxScenario bounds the bytes of a file: nobody describes a cluster with more.
const maxScenario = 16 << 20

func (a *app) simulate(ctx context.Context, file, svg string) error {
	text, err := a.readScenario(file)
	if err != nil {
		return err
	}
	sc, err := sim.Parse(text)
	if err != nil {
		return err
	}
	switch {
	case sc.Name != "":
	case file == "-":
		sc.Name = "standard input"
	default:
		sc.Name = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	}
	began := time.Now()
	result, err := sim.Run(ctx, sc)
	if err != nil {
		return err
	}
	took := time.Since(began)
	if svg != "" {
		if err := writeChart(svg, result); err != nil {
			return err
		}
	}
	if a.format == output.JSON {
		err = result.WriteJSON(a.stdout)
	} else {
		err = result.WriteTable(a.stdout, a.format == output.Wide)
	}
	if err != nil {
		return err
	}
	a.note("simulated in %s, with %d MiB of memory at most", took.Round(time.Millisecond), peakMemory()>>20)
	return nil
}

func (a *app) readScenario(file string) ([]byte, error) {
	in := a.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, noScenario(file, err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxScenario+1))
	if err != nil {
		return nil, noScenario(file, err)
	}
	if len(text) > maxScenario {
		return nil, fault.New(fault.InvalidArgument, "has more than %d MiB", maxScenario>>20).On("FILE", file).Fix("describe groups of nodes, not each by itself")
	}
	return text, nil
}

func noScenario(file string, err error) error {
	f := fault.New(fault.InvalidArgument, "cannot be read: %s", reasonOf(err)).On("FILE", file).Because(err)
	if errors.Is(err, fs.ErrNotExist) {
		return f.Fix("docs/simulations has examples")
	}
	return f.Fix("check its name and permissions")
}

func writeChart(file string, result *sim.Result) error {
	var b bytes.Buffer
	err := result.WriteChart(&b)
	if err == nil {
		err = os.WriteFile(file, b.Bytes(), 0o644)
	}
	if err != nil {
		return fault.New(fault.InvalidArgument, "cannot be written: %s", reasonOf(err)).On("--svg", file).Fix("name a file in a directory that you may write to").Because(err)
	}
	return nil
}

// reasonOf leaves the name of the file out, which stands elsewhere.
func reasonOf(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

// peakMemory is the most bytes that the process has had in memory.
func peakMemory() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Maxrss << 10 // kibibytes on Linux
}
