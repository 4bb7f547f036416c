//go:build !failpoint

package main

import (
	"strings"
	"testing"
)

// Whoever asks this build to fail on purpose must hear from every command that it cannot, not only from the two that would.
func TestEveryCommandRefusesFailpointsThatItDoesNotHave(t *testing.T) {
	for _, line := range []string{"version", "status", "etcd --data-dir /nowhere", "dev --dir /nowhere", "maintainer --name m1"} {
		term := newTerminal(t, &fake{}, "", map[string]string{"SPANWARD_FAILPOINTS": "maintainer/any/resign/after=exit"})
		code := term.app.run(t.Context(), strings.Fields(line))
		if code != 2 || !strings.Contains(term.stderr.String(), "built without failpoints") {
			t.Errorf("%s: exit %d, %s", line, code, term.stderr.String())
		}
	}
}
