package main

import (
	"github.com/spf13/cobra"

	"github.com/spanward/spanward/internal/failpoint"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
)

const longHelp = `Spanward keeps the key ranges of a keyspace covered by spans, and each span at work in exactly one place.

Maintainers elect a leader through etcd, the leader decides which dispatcher runs which span, and whatever is in flight is
recorded in etcd, so that any of them may die at any moment.

Exit codes: 0 done; 1 failed, cancelled, unequal or violated; 2 usage; 3 conflict, refused or unknown name;
4 unavailable or timeout, the outcome is unknown: repeat with the same --request-id.`

func (a *app) root() *cobra.Command {
	root := group("spanward", "a control plane for key-range spans",
		a.newDev(), a.newStatus(), a.newKeyspace(), a.newSpan(), a.newOperator(), a.newHistory(), a.newNode(), a.newConfig(), a.newLookup(),
		a.newPlan(), a.newScheduler(), a.newSimulate(),
		a.newCheck(), a.newMirror(),
		a.newMaintainer(), a.newDispatcher(), a.newEtcd(),
		a.newFailpoints(), a.newVersion(),
	)
	root.Long = longHelp
	root.Example = "  spanward dev\n  spanward status\n  spanward span list"
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if f, ok := fault.As(err); ok {
			return f
		}
		return fault.New(fault.InvalidArgument, "%s", err).Fix("see `%s --help`", cmd.CommandPath()).Because(err)
	})
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		a.command = cmd
		if err := a.readEnvironment(cmd); err != nil {
			return err
		}
		return a.checkGlobal()
	}
	a.globalFlags(root)
	addCompletion(root)
	return root
}

// addCompletion adds cobra's own commands, which lack examples.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Example = "  source <(spanward completion bash)"
		for _, shell := range cmd.Commands() {
			shell.Example = "  spanward completion " + shell.Name()
		}
	}
}

func (a *app) globalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.VarP((*formatFlag)(&a.format), "output", "o", "how to print: table, json or wide")
	flags.DurationVar(&a.timeout, "timeout", 0, "give up after this long; 0 means never")
	a.cluster.register(flags)
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(output.Formats(), cobra.ShellCompDirectiveNoFileComp))
}

// checkGlobal refuses what no command can work with.
func (a *app) checkGlobal() error {
	if a.timeout < 0 {
		return fault.New(fault.InvalidArgument, "is negative").On("--timeout", a.timeout.String()).Fix("use 0 for never")
	}
	if failpoint.Enabled {
		return nil // each role reads them once, when it starts
	}
	_, err := a.failpoints()
	return err
}

// formatFlag is an output.Format that can be set by a flag.
type formatFlag output.Format

func (f *formatFlag) String() string { return string(*f) }
func (*formatFlag) Type() string     { return "format" }

func (f *formatFlag) Set(s string) error {
	parsed, err := output.ParseFormat(s)
	*f = formatFlag(parsed)
	return err
}
