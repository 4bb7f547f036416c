//go:build failpoint

package failpoint

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanward/spanward/internal/fault"
)

type verb string

const (
	exit  verb = "exit"
	sleep verb = "sleep"
	hold  verb = "hold"
)

// action is what a rule does. The zero action does nothing.
type action struct {
	verb  verb
	delay time.Duration
	file  string
}

func (a action) String() string {
	switch a.verb {
	case sleep:
		return "sleep:" + a.delay.String()
	case hold:
		return "hold:" + a.file
	case exit:
		return "exit"
	default:
		return "-"
	}
}

// rule acts at one hit of one name.
type rule struct {
	name string
	at   int
	action
}

// parse reads name=[N*]action;…
func parse(text string) ([]rule, error) {
	var rules []rule
	for item := range strings.SplitSeq(text, ";") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		r, err := parseRule(item)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(rules, func(o rule) bool { return o.name == r.name && o.at == r.at }) {
			return nil, bad(item, "hit %d of this failpoint has two actions", r.at).Fix("leave one")
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func bad(item, format string, args ...any) *fault.Error {
	return fault.New(fault.InvalidArgument, format, args...).On(EnvPoints, item)
}

func parseRule(item string) (rule, error) {
	name, text, ok := strings.Cut(item, "=")
	if !ok {
		return rule{}, bad(item, "has no action").Fix("write name=[N*]exit|sleep:DURATION|hold:FILE")
	}
	if !registered(name) {
		return rule{}, bad(item, "there is no failpoint %q", name).
			Fix("the nearest are %s; `spanward failpoints` lists all", strings.Join(near(name), ", "))
	}
	r := rule{name: name, at: 1}
	if times, rest, ok := strings.Cut(text, "*"); ok && digits(times) {
		at, err := strconv.Atoi(times)
		if err != nil || at < 1 {
			return rule{}, bad(item, "%s is not the number of a hit", times).Fix("count hits from 1")
		}
		r.at, text = at, rest
	}
	var err error
	r.action, err = parseAction(item, text)
	return r, err
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func parseAction(item, text string) (action, error) {
	name, arg, hasArg := strings.Cut(text, ":")
	a := action{verb: verb(name)}
	switch a.verb {
	case exit:
		if hasArg {
			return a, bad(item, "exit takes no argument").Fix("write exit; the code is always %d", exitCode)
		}
		return a, nil
	case sleep:
		var err error
		if a.delay, err = time.ParseDuration(arg); err != nil || a.delay < 0 {
			return a, bad(item, "%q is not a duration to sleep", arg).Fix("write one like sleep:300ms").Because(err)
		}
		return a, nil
	case hold:
		if a.file = arg; arg == "" {
			return a, bad(item, "hold needs a file").Fix("write hold:FILE; it waits while FILE exists")
		}
		return a, nil
	}
	return a, bad(item, "there is no action %q", text).Fix("use exit, sleep:DURATION or hold:FILE")
}

// near gives the three names that take the fewest edits to reach.
func near(name string) []string {
	byDistance := Names()
	slices.SortStableFunc(byDistance, func(a, b string) int { return cmp.Compare(edits(name, a), edits(name, b)) })
	return byDistance[:3]
}

// edits is the number of bytes to insert, delete or replace.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
