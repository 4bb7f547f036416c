package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// runner runs tests of one module.
type runner struct {
	root string
	// parallel is how many runs of go test there are at a time.
	parallel int
}

// unchanged runs the tests of all mutants on the code as it is: whatever fails there proves nothing.
func (r runner) unchanged(ctx context.Context, list []mutant) error {
	for _, group := range groups(list) {
		var patterns []string
		for _, t := range group {
			patterns = append(patterns, pattern(t.test))
		}
		o, err := goTest(ctx, r.root, group[0], strings.Join(patterns, "|"), "", groupLimit)
		if err != nil {
			return err
		}
		switch {
		case !o.built:
			return fmt.Errorf("%s does not compile, or has none of its tests:\n%s", group[0].dir, o.said)
		case !o.ok:
			return fmt.Errorf("%s fails without any change: %s\n%s", group[0].dir, o.failed, o.said)
		}
		for _, t := range group {
			if !o.passed[t.test] {
				return fmt.Errorf("%s has no test %s", t.dir, t.test)
			}
		}
	}
	return nil
}

// groups are the tests to run, those of one package together, each once.
func groups(list []mutant) [][]target {
	var out [][]target
	for _, m := range list {
		t := m.target()
		at := slices.IndexFunc(out, func(g []target) bool { return g[0].dir == t.dir && g[0].tags == t.tags })
		switch {
		case at < 0:
			out = append(out, []target{t})
		case !slices.Contains(out[at], t):
			out[at] = append(out[at], t)
		}
	}
	return out
}

// result is what became of a mutant.
type result struct {
	mutant
	// by is the test that has caught it, or says that it did not end.
	by   string
	took time.Duration
	err  error
}

// mutants runs the test of each mutant, and tells of each as it ends, in the order of the list.
func (r runner) mutants(ctx context.Context, list []mutant, tell func(result)) error {
	results := make([]chan result, len(list))
	g := errgroup.Group{}
	g.SetLimit(r.parallel)
	for i := range list {
		results[i] = make(chan result, 1)
	}
	begun := make(chan struct{})
	go func() {
		defer close(begun)
		for i, m := range list {
			g.Go(func() error {
				start := time.Now()
				by, err := r.one(ctx, m)
				results[i] <- result{m, by, time.Since(start), err}
				return err
			})
		}
	}()
	for _, c := range results {
		tell(<-c)
	}
	<-begun
	return g.Wait()
}

// one returns the test that catches the mutant.
func (r runner) one(ctx context.Context, m mutant) (by string, err error) {
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what remains in the system's directory for such things is its own matter
	overlay, err := m.overlay(r.root, dir)
	if err != nil {
		return "", err
	}
	o, err := goTest(ctx, r.root, m.target(), pattern(m.test), overlay, cmp.Or(m.hangs, testLimit))
	if err != nil {
		return "", err
	}
	return o.verdict(m)
}

// verdict is the test that has caught the mutant, or why it does not count as caught.
func (o outcome) verdict(m mutant) (by string, err error) {
	switch {
	case o.ok && !o.passed[m.test]:
		return "", fmt.Errorf("%s has no test %s", m.dir(), m.test)
	case o.ok:
		return "", fmt.Errorf("it survives %s", m.test)
	case !o.built:
		return "", fmt.Errorf("it does not compile:\n%s", o.said)
	case o.hung && m.hangs == 0:
		return "", fmt.Errorf("%s does not end, and the table does not expect that", m.test)
	case o.hung:
		return m.test + " (does not end)", nil
	case o.failed == "":
		return "", fmt.Errorf("go test fails, but no test does:\n%s", o.said)
	}
	return o.failed, nil
}

// chosen are the rows whose names match.
func chosen(list []mutant, only string) ([]mutant, error) {
	re, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(slices.Clone(list), func(m mutant) bool { return !re.MatchString(m.name) })
	if len(list) == 0 {
		return nil, fmt.Errorf("no mutant has a name like %q", only)
	}
	return list, nil
}
