package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/workload/mirror"
)

func (a *app) newMirror() *cobra.Command {
	return group("mirror", "the mirror workload", a.newMirrorDiff())
}

func (a *app) newMirrorDiff() *cobra.Command {
	var source, dest etcdFlags
	cmd := &cobra.Command{
		Use:   "diff KS",
		Short: "compare source and destination of a mirror",
		Long: `Compare, span by span, the destination at one revision with the source at the checkpoint stored with it. The mirror goes on
meanwhile. On a quiet source that is equality of everything. Exit code 1: they differ.`,
		Example:           "  spanward mirror diff orders\n  spanward mirror diff orders -o json | jq .examples",
		Args:              exactly("KS"),
		ValidArgsFunction: a.completeArgs(a.keyspaceNames),
		RunE: a.online(func(ctx context.Context, c *cluster, args []string) error {
			return a.mirrorDiff(ctx, c, args[0], source.auth(), dest.auth())
		}),
	}
	source.register(cmd.Flags(), "source")
	dest.register(cmd.Flags(), "dest")
	return cmd
}

func (a *app) mirrorDiff(ctx context.Context, c *cluster, ks string, source, dest mirror.Auth) error {
	k, err := c.keyspace(ctx, ks)
	if err != nil {
		return err
	}
	if k.GetWorkload() != mirror.Name {
		return fault.New(fault.Refused, "its workload is %s, not %s", k.GetWorkload(), mirror.Name).On("keyspace", ks).Fix("choose a mirror")
	}
	spans, err := c.ListSpans(ctx, &controlv1.ListSpansRequest{Keyspace: ks})
	if err != nil {
		return err
	}
	o := mirror.DiffOptions{Cluster: a.cluster.name, Keyspace: ks, Settings: settings.OfWorkload(k.GetSet()), Progress: a.progress("keys compared")}
	for _, s := range spans {
		o.Spans = append(o.Spans, span.Range{Start: string(s.GetStart()), End: string(s.GetEnd())})
	}
	r, err := mirror.DiffSettings(ctx, source, dest, o)
	if err != nil {
		return err
	}
	if err := a.printer().Diff(shapeOfDiff(r)); err != nil {
		return err
	}
	if !r.Equal {
		return fault.New(fault.Unequal, "source and destination differ in %d keys", r.Missing+r.Extra+r.Different).On("keyspace", ks)
	}
	return nil
}

// progressEvery keeps a long wait from looking like a hang, and a short one from making noise.
const progressEvery = 2 * time.Second

func (a *app) progress(what string) func(int64) {
	last := time.Now()
	return func(n int64) {
		if time.Since(last) >= progressEvery {
			last = time.Now()
			a.note("%d %s", n, what)
		}
	}
}

func shapeOfDiff(r mirror.Report) output.Diff {
	d := output.Diff{Equal: r.Equal, Compared: r.Compared, Missing: r.Missing, Extra: r.Extra, Different: r.Different}
	for _, e := range r.Examples {
		d.Examples = append(d.Examples, output.Example{
			Kind: e.Kind, Key: e.Key, DestKey: e.DestKey, Range: e.Span, SourceRevision: output.Known(e.SourceRev),
			DestRevision: output.Known(e.DestRev), ComparedAt: output.Known(e.ComparedAt),
		})
	}
	return d
}
