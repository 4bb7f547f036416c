package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/keys"
)

func (a *app) newConfig() *cobra.Command {
	return group("config", "settings of the control plane", a.newConfigShow(), a.newConfigSet())
}

func (a *app) newConfigShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show [KS]",
		Short: "show the settings that count, and where each comes from",
		Long: `Show the settings that count for the cluster or, with the name of a keyspace, those of which it may have its own. The origin of
a value is the first of these that has one:

  keyspace  set with --keyspace, or with ` + "`keyspace set`" + `
  cluster   set with ` + "`config set`" + `, stored in etcd
  flag      given to the maintainer that leads now; another leader may have been started with other flags
  default   of the program

With -o wide the help, the bounds and the scope of each are shown as well. A stored value that this version cannot use has no
effect and is shown with the reason.`,
		Example:           "  spanward config show\n  spanward config show -o wide\n  spanward config show orders -o json",
		Args:              between(0, "KS"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames),
		RunE: a.online(func(ctx context.Context, c *cluster, args []string) error {
			q := &controlv1.GetConfigRequest{}
			if len(args) > 0 {
				q.Keyspace = args[0]
				if err := keys.CheckName("keyspace", q.Keyspace); err != nil {
					return err
				}
			}
			resp, err := c.Control().GetConfig(ctx, q)
			if err != nil {
				return err
			}
			return a.printer().Config(output.FromConfig(resp.GetConfig()))
		}),
	}
}

func (a *app) newConfigSet() *cobra.Command {
	var f changeFlags
	var keyspace string
	cmd := &cobra.Command{
		Use:   "set KEY=VALUE…",
		Short: "change settings while everything runs",
		Long: `Change settings while everything runs. They are stored in etcd, take effect at once, and are the same whoever leads. KEY= takes
a stored value away, so that the next origin counts again: see ` + "`config show`" + `.

Either all that is named is changed, or nothing. What is set with --keyspace counts for that one and stands among its settings, as
if ` + "`keyspace set`" + ` had put it there. A stored value goes before the flag of the same name, since every maintainer has flags of its
own and the next one may lead at any moment.`,
		Example: `  spanward config set open-timeout=5m close-timeout=5m
  spanward config set mass-loss.share=0.3 mass-loss.window=5s
  spanward config set open-timeout=
  spanward config set open-timeout=10m --keyspace orders`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exactly("KEY=VALUE")(cmd, args)
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return settingNames(keyspace != "", args), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
	}
	cmd.RunE = a.changing(&f, func(ctx context.Context, c *cluster, args []string) error {
		set, err := keyValues("key", args)
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("keyspace") {
			if err := keys.CheckName("keyspace", keyspace); err != nil {
				return fault.ForField(err, "--keyspace")
			}
		}
		resp, err := c.Control().SetConfig(ctx, &controlv1.SetConfigRequest{RequestId: f.id(), Keyspace: keyspace, Set: set})
		if err != nil {
			return err
		}
		return a.printer().Config(output.FromConfig(resp.GetConfig()))
	})
	f.register(cmd)
	cmd.Flags().StringVar(&keyspace, "keyspace", "", "set it for this keyspace only")
	_ = cmd.RegisterFlagCompletionFunc("keyspace", a.completeFlag(a.keyspaceNames))
	return cmd
}

// settingNames are what can be set, each with the sign after it, without those that are there already.
func settingNames(ofKeyspace bool, args []string) []string {
	var out []string
	for _, s := range settings.All() {
		there := slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, s.Name+"=") })
		if !there && (ofKeyspace && s.OfKeyspace() || !ofKeyspace && s.OfCluster()) {
			out = append(out, s.Name+"=")
		}
	}
	return out
}
