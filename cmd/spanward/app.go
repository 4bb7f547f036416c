package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
)

// app is what every command needs; the flags of the root fill it.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            environment
	// program is how the user calls it.
	program string

	format  output.Format
	timeout time.Duration
	cluster clusterFlags
	// connect reaches the control API. Tests replace it.
	connect func(context.Context, *app) (*cluster, error)

	// running is set once a command's own code runs: errors before that are about its usage.
	running bool
	// command is the one that was called, nil before that is known.
	command *cobra.Command
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, env environment) *app {
	return &app{stdin: stdin, stdout: stdout, stderr: stderr, env: env, program: "spanward", format: output.Table, connect: connect}
}

// run carries out one command line and gives the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root() //nolint:contextcheck // cobra gives each command its context when it runs
	root.SetArgs(spread(root, args))
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.running {
		err = usage(err)
		if slices.Contains(args, "json") || slices.Contains(args, "-ojson") || slices.Contains(args, "--output=json") {
			a.format = output.JSON // flags after the one that is wrong were not read
		}
	}
	return a.fail(err)
}

// usage gives an error of the command line's own parser a reason.
func usage(err error) error {
	if _, ok := fault.As(err); ok {
		return err
	}
	return fault.New(fault.InvalidArgument, "%s", err).Fix("see `spanward help`").Because(err)
}

// fail prints an error in one line and gives the exit code.
func (a *app) fail(err error) int {
	if err == nil {
		return 0
	}
	f := a.typed(explained(err))
	if a.format == output.JSON {
		enc := json.NewEncoder(a.stderr)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(map[string]*fault.Error{"error": f}) // a stderr that has gone away cannot be told
	} else {
		fmt.Fprintln(a.stderr, "spanward:", f.Error())
	}
	return fault.ExitCode(f)
}

// explained is the error as a user sees it.
func explained(err error) *fault.Error {
	if f, ok := fault.As(err); ok {
		return f
	}
	switch {
	case errors.Is(err, context.Canceled):
		return fault.New(fault.Unavailable, "interrupted").Fix("what was asked for may still be carried out").Because(err)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Timeout, "--timeout is over").Fix("repeat with the same --request-id, or give it longer").Because(err)
	}
	return fault.New(fault.Failed, "%s", err).Because(err)
}

// typed names a field that is a flag as the user has typed it, whoever refused it: maintainers do not know of flags.
func (a *app) typed(f *fault.Error) *fault.Error {
	if a.command == nil || f.Field == "" || a.command.Flags().Lookup(f.Field) == nil {
		return f
	}
	named := *f
	named.Field = "--" + f.Field
	if flag := a.command.Flags().Lookup("etcd"); f.Reason == fault.EtcdUnreachable && f.Field == flag.Name && flag.Value.String() == flag.DefValue {
		named.Remedy = "nothing says where etcd is, and it is not there: give --etcd or set $SPANWARD_ETCD; `spanward dev` prints what to set"
	}
	return &named
}

func (a *app) printer() output.Printer { return output.Printer{Out: a.stdout, Format: a.format} }

// note tells a person at the terminal something that is no answer.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }

// action is the body of a command that has nothing to do with a cluster.
func (a *app) action(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.running = true
		ctx := cmd.Context()
		if a.timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, a.timeout)
			defer cancel()
		}
		return f(ctx, args)
	}
}

// online is the body of a command that talks to the control API.
func (a *app) online(f func(ctx context.Context, c *cluster, args []string) error) func(*cobra.Command, []string) error {
	return a.action(func(ctx context.Context, args []string) error {
		c, err := a.connect(ctx, a)
		if err != nil {
			return err
		}
		defer c.close()
		return f(ctx, c, args)
	})
}

// exactly is for commands with a fixed list of arguments, named as in the usage.
func exactly(names ...string) cobra.PositionalArgs { return between(len(names), names...) }

// between is for commands whose last arguments may be left out.
func between(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least {
			return misuse(cmd, "%s is missing", strings.Join(names[len(args):least], " and "))
		}
		if len(args) > len(names) {
			return misuse(cmd, "there is an argument too many").On("argument", args[len(names)])
		}
		return nil
	}
}

// atLeast is for commands whose last argument may be repeated.
func atLeast(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return between(len(names), names...)(cmd, args)
		}
		return nil
	}
}

func misuse(cmd *cobra.Command, format string, args ...any) *fault.Error {
	return fault.New(fault.InvalidArgument, format, args...).Fix("usage: %s; see `%s --help`", cmd.UseLine(), cmd.CommandPath())
}

// group is a command that only has commands below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownCommand(cmd, args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var examples []string
	for _, b := range below {
		first, _, _ := strings.Cut(b.Example, "\n")
		examples = append(examples, first)
	}
	cmd.Example = strings.Join(examples, "\n")
	cmd.AddCommand(below...)
	return cmd
}

func unknownCommand(cmd *cobra.Command, arg string) error {
	f := fault.New(fault.InvalidArgument, "is not a command").On(cmd.CommandPath(), arg)
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(arg); len(near) > 0 {
		return f.Fix("did you mean %q? See `%s --help`", near[0], cmd.CommandPath())
	}
	return f.Fix("see `%s --help`", cmd.CommandPath())
}
