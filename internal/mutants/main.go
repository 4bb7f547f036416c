package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// maxParallel is what two cores bear: tests of processes have bounds in seconds.
const maxParallel = 2

// run is main without the process.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("only", "", "regular expression of the names of the mutants to run; all by default")
	parallel := flags.Int("parallel", maxParallel, "runs of go test at a time, 1 or 2")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	list, err := chosen(table(), *only)
	if err != nil {
		fmt.Fprintln(stderr, "mutants:", err)
		return 2
	}
	root, err := moduleRoot(ctx)
	if err == nil {
		err = prove(ctx, runner{root, min(max(*parallel, 1), maxParallel)}, list, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "mutants:", err)
		return 1
	}
	return 0
}

// prove runs all tests without, then with the mutants, and prints a row for each.
func prove(ctx context.Context, r runner, list []mutant, w io.Writer) error {
	start := time.Now()
	if err := r.unchanged(ctx, list); err != nil {
		return err
	}
	fmt.Fprintf(w, "%d mutants; without them their tests pass (%.0f s)\n\n", len(list), time.Since(start).Seconds())
	width := len("mutant")
	for _, m := range list {
		width = max(width, len(m.name))
	}
	fmt.Fprintf(w, "%-*s  %7s  %s\n", width, "mutant", "seconds", "caught by")
	escaped := 0
	_ = r.mutants(ctx, list, func(res result) {
		by := res.dir() + " " + res.by
		if res.err != nil {
			escaped++
			by = "NOT CAUGHT: " + strings.ReplaceAll(res.err.Error(), "\n", "\n    ")
		}
		fmt.Fprintf(w, "%-*s  %7.1f  %s\n", width, res.name, res.took.Seconds(), by)
	})
	fmt.Fprintf(w, "\n%d of %d caught, %.0f s\n", len(list)-escaped, len(list), time.Since(start).Seconds())
	if escaped > 0 {
		return fmt.Errorf("%d of %d mutants were not caught", escaped, len(list))
	}
	return nil
}

// moduleRoot is where go.mod is.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", errors.New("not inside a module")
	}
	return filepath.Dir(mod), nil
}
