package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// mutant is the code without one of its rules, and the test that notices.
type mutant struct {
	name string
	// rule is what the code does and the mutant does not.
	rule string
	// file is where, from the root of the module; old is there exactly once and becomes new.
	file, old, new string
	// pkg is the directory of the test; empty is that of the file.
	pkg string
	// test is its exact name, that of a subtest after a slash.
	test string
	// tags that the test is built with.
	tags string
	// hangs, if it is not zero, says that the test may not come to an end, and after how long that counts.
	hangs time.Duration
}

func (m mutant) dir() string {
	if m.pkg != "" {
		return m.pkg
	}
	return path.Dir(m.file)
}

// target is a test of a package, apart from what is done to the code.
type target struct{ dir, tags, test string }

func (m mutant) target() target { return target{m.dir(), m.tags, m.test} }

// pattern selects exactly one test, at each level of its name.
func pattern(test string) string {
	levels := strings.Split(test, "/")
	for i, l := range levels {
		levels[i] = "^" + regexp.QuoteMeta(l) + "$"
	}
	return strings.Join(levels, "/")
}

var errNoChange = errors.New("the new text is the old one")

// apply returns the file of the mutant, changed.
func (m mutant) apply(root string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.file)))
	if err != nil {
		return nil, err
	}
	if m.old == m.new {
		return nil, errNoChange
	}
	if n := strings.Count(string(b), m.old); n != 1 {
		return nil, fmt.Errorf("%s has the old text %d times, not once", m.file, n)
	}
	return []byte(strings.Replace(string(b), m.old, m.new, 1)), nil
}

// overlay writes the changed file and the list that puts it in the place of the original into dir, and returns the
// latter's name.
func (m mutant) overlay(root, dir string) (string, error) {
	b, err := m.apply(root)
	if err != nil {
		return "", err
	}
	changed, list := filepath.Join(dir, path.Base(m.file)), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(changed, b, 0o600); err != nil {
		return "", err
	}
	entry := map[string]map[string]string{"Replace": {filepath.Join(root, filepath.FromSlash(m.file)): changed}}
	b, err = json.Marshal(entry)
	if err != nil {
		return "", err
	}
	return list, os.WriteFile(list, b, 0o600)
}
