package audit

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/keys"
)

// checkTimeout bounds the audit at the end of a test.
const checkTimeout = 2 * time.Minute

// TB is what Check needs of a *testing.T.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// Check fails the test with everything that is wrong in the whole history of a cluster in which nothing moves any more.
func Check(tb TB, client *clientv3.Client, layout keys.Layout) {
	tb.Helper()
	check(tb, client, layout, Options{Settled: true})
}

// CheckMoving is Check for a cluster in which things may still be in flight.
func CheckMoving(tb TB, client *clientv3.Client, layout keys.Layout) {
	tb.Helper()
	check(tb, client, layout, Options{})
}

func check(tb TB, client *clientv3.Client, layout keys.Layout, o Options) {
	tb.Helper()
	// Not the test's context: tests audit in their cleanup, too.
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	report, err := Run(ctx, client, layout, "", o)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	for _, p := range report.Problems {
		tb.Logf("audit: %s cannot be understood: %s", p.Key, p.Message)
	}
	if report.OK {
		return
	}
	lines := make([]string, 0, len(report.Violations))
	for _, v := range report.Violations {
		lines = append(lines, v.String())
	}
	tb.Errorf("audit of revisions %d to %d: %d violations, and %d more:\n%s",
		report.HistoryFrom, report.Revision, len(lines), report.More, strings.Join(lines, "\n"))
}
