package main

import (
	"context"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/audit"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
)

func (a *app) newCheck() *cobra.Command {
	var settled bool
	cmd := &cobra.Command{
		Use:   "check [KS]",
		Short: "audit the invariants over all history that etcd still has",
		Long: `Audit the invariants over all history that etcd still has, of one keyspace or of all. It reads etcd itself, writes
nothing, and needs no maintainer. Exit code 1: an invariant was violated.`,
		Example: "  spanward check\n  spanward check orders -o json\n  spanward check --settled",
		Args:    between(0, "KS"),
		RunE: a.action(func(ctx context.Context, args []string) error {
			ks := ""
			if len(args) > 0 {
				ks = args[0]
			}
			return a.check(ctx, ks, settled)
		}),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames),
	}
	cmd.Flags().BoolVar(&settled, "settled", false, "nothing is going on any more: operators in flight and leftovers are violations, too")
	return cmd
}

func (a *app) check(ctx context.Context, ks string, settled bool) error {
	if ks != "" {
		if err := checkNames(ks); err != nil {
			return err
		}
	}
	layout, err := a.cluster.layout()
	if err != nil {
		return err
	}
	etcd, err := a.cluster.etcd.connect(ctx, zap.NewNop())
	if err != nil {
		return err
	}
	defer etcd.Close()
	if err := auditable(ctx, etcd, layout, ks); err != nil {
		return err
	}
	report, err := audit.Run(ctx, etcd, layout, ks, audit.Options{Settled: settled})
	if err != nil {
		return err
	}
	if err := a.printer().Check(shapeOfCheck(report)); err != nil {
		return err
	}
	if !report.OK {
		return fault.New(fault.Violated, "%d violations", len(report.Violations)+report.More).Fix("keep the data of etcd and report a bug")
	}
	return nil
}

// auditable refuses a cluster or keyspace of which there is not even history: no violation of nothing would be good news of
// a typo.
func auditable(ctx context.Context, etcd *clientv3.Client, layout keys.Layout, ks string) error {
	look := []clientv3.Op{clientv3.OpGet(layout.Root(), clientv3.WithPrefix(), clientv3.WithCountOnly())}
	unknown := fault.New(fault.WrongCluster, "nothing is stored under this name in that etcd").On("cluster", layout.ClusterName()).
		Fix("check --cluster and --etcd")
	if ks != "" {
		look = []clientv3.Op{
			clientv3.OpGet(layout.Keyspace(ks), clientv3.WithCountOnly()),
			clientv3.OpGet(layout.HistoryOf(ks), clientv3.WithPrefix(), clientv3.WithCountOnly()),
		}
		unknown = fault.New(fault.UnknownKeyspace, "does not exist, and has no history").On("keyspace", ks).Fix("see `spanward keyspace list`")
	}
	resp, err := etcd.Txn(ctx).Then(look...).Commit()
	if err != nil {
		return fault.New(fault.EtcdUnreachable, "etcd does not answer: %s", err).On("--etcd", "").Fix("check that it runs").Because(err)
	}
	for _, r := range resp.Responses {
		if r.GetResponseRange().GetCount() > 0 {
			return nil
		}
	}
	return unknown
}

func shapeOfCheck(r audit.Report) output.Check {
	c := output.Check{OK: r.OK, Revision: r.Revision, HistoryFrom: r.HistoryFrom, More: r.More}
	for _, v := range r.Violations {
		c.Violations = append(c.Violations, output.Violation{
			Invariant: v.Invariant, Keyspace: output.Text(v.Keyspace), Span: output.Text(v.Span), Revision: v.Revision, Message: v.Message,
		})
	}
	for _, b := range r.Problems {
		c.Problems = append(c.Problems, output.BadRecord{
			Key: b.Key, Keyspace: output.Text(b.Keyspace), Span: output.Text(b.Span), Revision: b.Revision, Message: b.Message,
		})
	}
	return c
}
