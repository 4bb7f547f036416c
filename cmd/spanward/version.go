package main

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/spanward/spanward/internal/failpoint"
	"github.com/spanward/spanward/internal/output"
)

// version is set when a release is built.
var version = ""

func (a *app) newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "show the version of this binary",
		Example: "  spanward version -o json",
		Args:    exactly(),
		RunE: a.action(func(context.Context, []string) error {
			return a.printer().Version(ownVersion())
		}),
	}
}

// ownVersion is what the build knows about itself.
func ownVersion() output.Version {
	v := output.Version{Version: version, Go: runtime.Version(), Failpoints: failpoint.Enabled}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value
		}
	}
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	return v
}
