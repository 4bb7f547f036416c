package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "rewrite docs/commands.md")

const docsHead = `# Commands

<!-- Written by ` + "`go test ./cmd/spanward -run Docs -update`" + `; a test fails when it is stale. -->

Each flag goes before the environment variable in brackets, and that before the default. Exit codes: 0 done; 1 failed,
cancelled, unequal or violated; 2 usage; 3 conflict, refused or unknown name; 4 unavailable or timeout, the outcome is
unknown: repeat with the same ` + "`--request-id`" + `.

`

// The reference is what the commands say about themselves.
func TestDocsAreCurrent(t *testing.T) {
	root := newApp(nil, nil, nil, nil).root()
	root.InitDefaultHelpCmd()
	var b strings.Builder
	b.WriteString(docsHead)
	fmt.Fprintf(&b, "Flags of every command:\n\n```\n%s```\n", flagUsages(root.PersistentFlags().FlagUsages()))
	describeCommands(&b, root)
	file := filepath.Join("..", "..", "docs", "commands.md")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), b.String()); diff != "" {
		t.Errorf("docs/commands.md is stale; run `go test ./cmd/spanward -run Docs -update` (-want +got):\n%s", diff)
	}
}

func describeCommands(b *strings.Builder, parent *cobra.Command) {
	for _, cmd := range parent.Commands() {
		if cmd.Name() == "help" || cmd.Name() == "completion" || cmd.Hidden {
			continue
		}
		if !cmd.HasSubCommands() || cmd.Long != "" { // a command that does something itself, and is no group
			describeCommand(b, cmd)
		}
		describeCommands(b, cmd)
	}
}

func describeCommand(b *strings.Builder, cmd *cobra.Command) {
	text := cmd.Long
	if text == "" {
		text = strings.ToUpper(cmd.Short[:1]) + cmd.Short[1:] + "."
	}
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n```\n%s\n", cmd.CommandPath(), text, strings.TrimSuffix(cmd.UseLine(), " [flags]"))
	cmd.InitDefaultHelpFlag()
	if own := cmd.LocalNonPersistentFlags(); own.HasAvailableFlags() {
		fmt.Fprintf(b, "\n%s", flagUsages(own.FlagUsages()))
	}
	fmt.Fprintf(b, "```\n\nExamples:\n\n```\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(cmd.Example, "  "), "\n  ", "\n"))
}

// flagUsages leaves out what every command has, and what depends on who builds the page.
func flagUsages(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, "help for ") {
			continue
		}
		b.WriteString(strings.ReplaceAll(line, defaultDevDir(), "/tmp/spanward-dev-UID"))
	}
	return b.String()
}
