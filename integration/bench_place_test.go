package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spanward/spanward/integration/proc"
	"github.com/spanward/spanward/internal/record"
)

const (
	manySpans = 10_000
	manyNodes = 10
)

// many is a cluster of ten dispatchers for ten thousand spans.
type many struct {
	b    testing.TB
	c    *proc.Cluster
	rec  *proc.Recorder
	puts []time.Duration
}

func newMany(b testing.TB, ttl string) *many {
	b.Helper()
	c := proc.Start(b, proc.Options{TTL: ttl, Fsync: true})
	for i := range 3 {
		c.Maintainer(fmt.Sprint("m", i+1))
	}
	for i := range manyNodes {
		c.Dispatcher(fmt.Sprint("d", i+1))
	}
	c.Leader()
	ready(c, manyNodes)
	m := &many{b: b, c: c, rec: c.Record()}
	m.puts = c.RawPuts(c.Client(c.URLs), 200)
	return m
}

// place creates the keyspace with the command, and returns what was written until the last span was owned and the last
// claim gone, and when the command began.
func (m *many) place() ([]proc.Seen, time.Time) {
	m.b.Helper()
	file := filepath.Join(m.c.Dir, "ranges")
	var ranges bytes.Buffer
	for i := range manySpans {
		fmt.Fprintf(&ranges, "%06d:%06d\n", i, i+1)
	}
	if err := os.WriteFile(file, ranges.Bytes(), 0o644); err != nil {
		m.b.Fatal(err)
	}
	n := m.rec.Len()
	began := time.Now()
	m.c.Do("keyspace", "create", "many", "--workload", "gate", "--ranges", file)
	m.b.Logf("the command returned after %v", time.Since(began))
	return m.owned(n, manySpans, func(record.Owner) bool { return true }), began
}

// owned waits until so many spans have, after the first n changes, got an owner that counts, and returns the changes
// up to then.
func (m *many) owned(n, spans int, counts func(record.Owner) bool) []proc.Seen {
	m.b.Helper()
	prefix := m.c.Layout().Spans("many")
	got := map[string]bool{}
	last, err := m.rec.Await(n, 2*time.Minute, func(x proc.Seen) bool {
		if !strings.HasPrefix(x.Key, prefix) || x.Deleted {
			return false
		}
		s, err := record.DecodeSpan(x.Value)
		if err == nil && !s.Owner.Nobody() && counts(s.Owner) {
			got[x.Key] = true
		}
		return len(got) == spans
	})
	if err != nil {
		m.b.Fatalf("%d of %d: %v", len(got), spans, err)
	}
	all := m.rec.Since(n)
	for i, x := range all {
		if x.Revision > last.Revision {
			return all[:i]
		}
	}
	return all
}

// metric is for benchmarks.
func (m *many) metric(x float64, unit string) {
	if b, ok := m.b.(*testing.B); ok {
		b.ReportMetric(x, unit)
	}
}

// count reports revisions, which are transactions that wrote, and mutations, by what they are about.
func (m *many) count(seen []proc.Seen, spans int) (txns int) {
	kinds := []string{"keyspaces/", "spans/", "operators/", "history/", "progress/"}
	mutations, revisions := map[string]int{}, map[string]map[int64]bool{"": {}}
	for _, x := range seen {
		revisions[""][x.Revision] = true
		rest := strings.TrimPrefix(x.Key, m.c.Layout().Root())
		for _, k := range kinds {
			if strings.HasPrefix(rest, k) {
				mutations[k]++
				if revisions[k] == nil {
					revisions[k] = map[int64]bool{}
				}
				revisions[k][x.Revision] = true
			}
		}
	}
	for _, k := range kinds {
		m.b.Logf("%-11s %6d mutations in %5d transactions", k, mutations[k], len(revisions[k]))
	}
	m.metric(float64(len(seen)), "mutations")
	m.metric(float64(len(revisions[""])), "txns")
	m.metric(float64(len(revisions[""]))*1000/float64(spans), "txns/1000spans")
	return len(revisions[""])
}

// processors is the processor time of all processes so far, by role.
func (m *many) processors() map[string]time.Duration {
	out := map[string]time.Duration{"etcd": m.c.Etcd[0].CPU()}
	leader := m.c.Leader()
	for i := range 3 {
		p := m.c.Process(fmt.Sprint("m", i+1))
		if p == leader {
			out["leader"] += p.CPU()
		} else {
			out["standbys"] += p.CPU()
		}
	}
	for i := range manyNodes {
		if p := m.c.Process(fmt.Sprint("d", i+1)); !p.Gone() {
			out["dispatchers"] += p.CPU()
		}
	}
	return out
}

func (m *many) used(before map[string]time.Duration) {
	for role, now := range m.processors() {
		m.metric(ms(now-before[role]), role+"-cpu-ms")
	}
}

func (m *many) took(name string, d time.Duration) {
	put := proc.Quantile(m.puts, 0.5)
	m.metric(ms(d), name+"-ms")
	m.metric(float64(d)/float64(put), name+"-puts")
	m.metric(ms(put), "put-p50-ms")
	m.metric(0, "ns/op")
}

// phases logs when the first and the last of each kind of change came.
func (m *many) phases(seen []proc.Seen, began time.Time) {
	l := m.c.Layout()
	type phase struct{ first, last time.Time }
	phases := map[string]*phase{}
	note := func(name string, at time.Time) {
		p := phases[name]
		if p == nil {
			p = &phase{first: at}
			phases[name] = p
		}
		p.last = at
	}
	for _, x := range seen {
		switch {
		case strings.HasPrefix(x.Key, l.Operators("many")) && !x.Deleted:
			note("claimed", x.At)
		case strings.HasPrefix(x.Key, l.Spans("many")) && !x.Deleted:
			if s, err := record.DecodeSpan(x.Value); err == nil && s.Owner.Nobody() {
				note("accepted", x.At)
			} else {
				note("running", x.At)
			}
		}
	}
	for _, name := range []string{"accepted", "claimed", "running"} {
		if p := phases[name]; p != nil {
			m.b.Logf("%-8s from %v to %v", name, p.first.Sub(began), p.last.Sub(began))
		}
	}
}

// From the command to the last of 10,000 gate spans running on 10 dispatchers, and what etcd has to do for it.
func BenchmarkPlace10k(b *testing.B) {
	m := newMany(b, "5s")
	before := m.processors()
	seen, began := m.place()
	m.took("placed", seen[len(seen)-1].At.Sub(began))
	m.used(before)
	m.phases(seen, began)
	m.count(seen, manySpans)
}

// 10,000 spans that do nothing cost nothing: no write, and hardly any work of the leader.
func BenchmarkIdle10k(b *testing.B) {
	m := newMany(b, "5s")
	m.place()
	time.Sleep(12 * time.Second) // a round of progress and the last reports
	n, before, began := m.rec.Len(), m.processors(), time.Now()
	time.Sleep(30 * time.Second)
	idle := time.Since(began)
	m.used(before)
	b.ReportMetric(float64(m.rec.Len()-n), "writes")
	b.ReportMetric(idle.Seconds(), "seconds")
	b.ReportMetric(0, "ns/op")
}

// kill -9 of one of ten dispatchers with 1,000 spans: from the end of its session to the last of them running elsewhere.
func BenchmarkDispatcherKilled(b *testing.B) {
	m := newMany(b, "5s")
	m.place()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	got, err := m.c.Client(m.c.URLs).Get(ctx, m.c.Layout().Node("d4"))
	if err != nil || len(got.Kvs) != 1 {
		b.Fatalf("the node: %v, %v", got, err)
	}
	dead, lost := got.Kvs[0].CreateRevision, 0
	for _, s := range m.c.Running("many", manySpans) {
		if s.Node == "d4" {
			lost++
		}
	}
	n := m.rec.Len()
	killed, before := time.Now(), m.processors()
	before["dispatchers"] -= m.c.Process("d4").CPU()
	m.c.Process("d4").Kill()
	over, err := m.rec.Await(n, time.Minute, func(x proc.Seen) bool { return x.Key == m.c.Layout().Node("d4") && x.Deleted })
	if err != nil {
		b.Fatal(err)
	}
	seen := m.owned(n, lost, func(o record.Owner) bool { return o.Session != dead })
	m.used(before)
	m.took("elsewhere", seen[len(seen)-1].At.Sub(over.At))
	m.phases(seen, over.At)
	m.count(seen, lost)
	b.ReportMetric(float64(lost), "spans")
	b.ReportMetric(ms(over.At.Sub(killed)), "session-ms")
	m.c.Verdict()
}
