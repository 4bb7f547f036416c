package integration_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spanward/spanward/integration/proc"
	"github.com/spanward/spanward/internal/record"
)

const createdSpans = 100_000

// creation is a cluster in which large keyspaces are created.
type creation struct {
	b      *testing.B
	c      *proc.Cluster
	rec    *proc.Recorder
	ranges []byte
}

func newCreation(b *testing.B) *creation {
	b.Helper()
	c := proc.Start(b, proc.Options{TTL: "5s", Fsync: true})
	for i := range 3 {
		c.Maintainer(fmt.Sprint("m", i+1))
	}
	c.Dispatcher("d1")
	c.Leader()
	ready(c, 1)
	var ranges bytes.Buffer
	for i := range createdSpans {
		fmt.Fprintf(&ranges, "%06d:%06d\n", i, i+1)
	}
	return &creation{b: b, c: c, rec: c.Record(), ranges: ranges.Bytes()}
}

// seen are the revisions in which spans of a keyspace came, and how many spans; and the revision of the first claim, 0 if
// there is none.
func (r *creation) seen(ks string) (revisions map[int64]bool, spans map[string]bool, claim int64) {
	revisions, spans = map[int64]bool{}, map[string]bool{}
	l := r.c.Layout()
	for _, x := range r.rec.Since(0) {
		switch {
		case strings.HasPrefix(x.Key, l.Operators(ks)) && claim == 0:
			claim = x.Revision
		case strings.HasPrefix(x.Key, l.Spans(ks)) && !x.Deleted && !spans[x.Key]:
			revisions[x.Revision], spans[x.Key] = true, true
		}
	}
	return revisions, spans, claim
}

// completed is the revision in which the keyspace was running for the first time.
func (r *creation) completed(ks string) int64 {
	r.b.Helper()
	seen, err := r.rec.Await(0, time.Minute, func(x proc.Seen) bool {
		k, err := record.DecodeKeyspace(x.Value)
		return x.Key == r.c.Layout().Keyspace(ks) && !x.Deleted && err == nil && k.State == record.KeyspaceRunning
	})
	if err != nil {
		r.b.Fatal(err)
	}
	return seen.Revision
}

// A keyspace of 100,000 ranges, from a file: time, transactions, and the memory of the leader. Nothing is placed.
func BenchmarkCreate100k(b *testing.B) {
	r := newCreation(b)
	file := filepath.Join(r.c.Dir, "ranges")
	if err := os.WriteFile(file, r.ranges, 0o644); err != nil {
		b.Fatal(err)
	}
	r.c.Process("d1").Pause()
	began := time.Now()
	a := r.c.Spanward("keyspace", "create", "big", "--workload", "gate", "--ranges", file)
	took := time.Since(began)
	if a.Code != 0 {
		b.Fatalf("exit %d: %s", a.Code, a.Err)
	}
	b.Logf("on stderr:\n%s", a.Err)
	r.completed("big")
	revisions, spans, _ := r.seen("big")
	if len(spans) != createdSpans {
		b.Errorf("%d spans", len(spans))
	}
	b.ReportMetric(ms(took), "created-ms")
	b.ReportMetric(float64(len(revisions)), "txns")
	b.ReportMetric(float64(r.c.Leader().PeakMemory()>>20), "leader-MiB")
	b.ReportMetric(ms(r.c.Leader().CPU()), "leader-cpu-ms")
	b.ReportMetric(0, "ns/op")
}

// The same from stdin, with kill -9 of the leader in the middle: the command goes on by itself at the next leader, ends with
// exactly as many spans, and no node has been given one before all were there.
func BenchmarkCreate100kLeaderKilled(b *testing.B) {
	r := newCreation(b)
	began := time.Now()
	answer := make(chan proc.Answer, 1)
	go func() {
		answer <- r.c.SpanwardWith(bytes.NewReader(r.ranges), "keyspace", "create", "big", "--workload", "gate", "--ranges", "-", "--request-id", "r")
	}()
	leader, n := r.c.Leader(), 0
	if _, err := r.rec.Await(0, time.Minute, func(x proc.Seen) bool {
		if strings.HasPrefix(x.Key, r.c.Layout().Spans("big")) {
			n++
		}
		return n == createdSpans/3
	}); err != nil {
		b.Fatal(err)
	}
	leader.Kill()
	a := <-answer
	took := time.Since(began)
	if a.Code != 0 {
		b.Fatalf("exit %d: %s", a.Code, a.Err)
	}
	b.Logf("on stderr:\n%s", a.Err)
	done := r.completed("big")
	if _, err := r.rec.Await(0, time.Minute, func(x proc.Seen) bool { return strings.HasPrefix(x.Key, r.c.Layout().Operators("big")) }); err != nil {
		b.Fatalf("placement does not begin: %v", err)
	}
	_, spans, claim := r.seen("big")
	if len(spans) != createdSpans {
		b.Errorf("%d spans", len(spans))
	}
	if claim <= done {
		b.Errorf("a span was claimed at revision %d, and the keyspace complete at %d", claim, done)
	}
	b.ReportMetric(ms(took), "created-ms")
	b.ReportMetric(0, "ns/op")
}
