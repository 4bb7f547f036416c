package etcdx

import (
	"strconv"
	"strings"
)

// minVersion is the first etcd that checks access within nested transactions.
const minVersion = "3.6.9"

// atLeast compares versions such as 3.6.9 or 3.7.0-rc.1. A pre-release comes before its release, and what is not a
// version before everything.
func atLeast(version, least string) bool {
	have, pre, ok := parseVersion(version)
	want, _, _ := parseVersion(least)
	if !ok {
		return false
	}
	for i := range want {
		if have[i] != want[i] {
			return have[i] > want[i]
		}
	}
	return !pre
}

func parseVersion(s string) (numbers [3]int, pre, ok bool) {
	s, _, _ = strings.Cut(strings.TrimPrefix(s, "v"), "+")
	s, _, pre = strings.Cut(s, "-")
	parts := strings.Split(s, ".")
	if len(parts) != len(numbers) {
		return numbers, pre, false
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return numbers, pre, false
		}
		numbers[i] = n
	}
	return numbers, pre, true
}
