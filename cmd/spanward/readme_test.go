package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// pages are what people read and copy commands from.
func pages(t *testing.T) []string {
	t.Helper()
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(docs) == 0 {
		t.Fatal(docs, err)
	}
	return append(docs, "../../README.md")
}

func page(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var inline = regexp.MustCompile("`((?:spanward|make) [^`]*)`")

// commandsIn are the command lines of a page: lines of blocks, as typed or after a prompt, and what is quoted in a sentence.
func commandsIn(text string) []string {
	var out []string
	for n, part := range strings.Split(text, "```") {
		if n%2 == 0 {
			for _, m := range inline.FindAllStringSubmatch(part, -1) {
				out = append(out, m[1])
			}
			continue
		}
		for l := range strings.Lines(strings.ReplaceAll(part, "\\\n", " ")) {
			l = strings.TrimPrefix(strings.TrimSpace(l), "$ ")
			for piece := range strings.SplitSeq(l, ";") {
				if piece = strings.TrimSpace(piece); strings.HasPrefix(piece, "spanward ") || strings.HasPrefix(piece, "make ") {
					out = append(out, piece)
				}
			}
		}
	}
	return out
}

// words splits as a shell does, up to a comment or whatever is done with the output.
func words(line string) []string {
	var out []string
	for _, w := range regexp.MustCompile(`'[^']*'|[^\s']+`).FindAllString(line, -1) {
		if strings.HasPrefix(w, "#") || w == "|" || w == ">" || w == "&" {
			break
		}
		out = append(out, strings.Trim(w, "'"))
	}
	return out
}

// understood reports what is wrong with a command line, short of running it.
func understood(line string) error {
	args := words(line)[1:]
	root := newApp(strings.NewReader(""), io.Discard, io.Discard, lookup(nil)).root()
	root.InitDefaultHelpCmd()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if cmd.HasSubCommands() && cmd != root && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return fmt.Errorf("%s has no %s", cmd.CommandPath(), rest[0])
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil && !shortened(cmd, rest) {
		return err
	}
	return nil
}

// shortened commands are named in a sentence without their arguments.
func shortened(cmd *cobra.Command, rest []string) bool {
	return len(rest) == 0 && !cmd.HasSubCommands()
}

// Every command line that README and docs show is one that this binary understands, and every target exists.
func TestCommandsInDocsAreUnderstood(t *testing.T) {
	makefile := page(t, "../../Makefile")
	for _, file := range pages(t) {
		seen := 0
		for _, line := range commandsIn(page(t, file)) {
			if strings.Contains(line, "…") {
				continue // about a family of commands
			}
			seen++
			if target, ok := strings.CutPrefix(line, "make "); ok {
				if target = strings.Fields(target)[0]; !strings.Contains(makefile, "\n"+target+": ") {
					t.Errorf("%s: there is no `make %s`", file, target)
				}
				continue
			}
			if err := understood(line); err != nil {
				t.Errorf("%s: `%s`: %v", file, line, err)
			}
		}
		if strings.HasSuffix(file, "README.md") && seen < 20 {
			t.Errorf("only %d commands were found in %s", seen, file)
		}
	}
}

// The test above must be able to fail.
func TestWrongCommandsAreNotUnderstood(t *testing.T) {
	for _, line := range []string{
		"spanward span shuffle", "spanward status --nope", "spanward span move demo 5-1.0 --from n1", "spanward stauts", "spanward span move a b c --to d",
		"spanward status --timeout soon",
	} {
		if understood(line) == nil {
			t.Errorf("%s is understood", line)
		}
	}
	got := commandsIn("Say `spanward status`.\n```\n$ spanward span list \\\n  demo # all\nspans 4\nsleep 3; spanward check\n```\n")
	if want := []string{"spanward status", "spanward span list    demo # all", "spanward check"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// Links between the pages lead somewhere.
func TestLinksInDocsExist(t *testing.T) {
	for _, file := range pages(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(page(t, file), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}
