package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// brief is a duration without the units that are zero: 1h instead of 1h0m0s.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func short(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// grouped has a comma after each three digits.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// some counts things: 1 node, 2 nodes.
func some(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return grouped(int64(n)) + " " + thing + "s"
}

// maxNamed is how many nodes are named one by one.
const maxNamed = 3

// named are nodes as they are told of.
func named(names []string) string {
	switch n := len(names); {
	case n == 0:
		return "no nodes"
	case n == 1:
		return names[0]
	case n <= maxNamed:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	default:
		return fmt.Sprintf("%s (%s to %s)", some(n, "node"), names[0], names[n-1])
	}
}

func be(names []string) string {
	if len(names) == 1 {
		return "is"
	}
	return "are"
}

// assignments are settings as somebody would type them.
func assignments(set map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		out = append(out, name+"="+set[name])
	}
	return strings.Join(out, " ")
}
