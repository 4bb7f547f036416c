package integration_test

import (
	"context"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/integration/proc"
	"github.com/spanward/spanward/internal/record"
)

// txnsOfFailover bounds the transactions for each thousand spans that find new owners: a claim and a commit of each, about
// a hundred of them together, unless a batch does not want to wait.
const txnsOfFailover = 100

// Four of ten dispatchers, with four thousand of ten thousand spans, are killed within a second: less than what would be held
// as a mass loss. Each of the spans has an owner again, in few transactions, and nobody touches those of the other six.
func TestSeveralDispatchersDieWithinASecond(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes")
	}
	m := newMany(t, "10s") // a busy machine must not end the sessions of the others
	seen, _ := m.place()
	before, opened := m.owners(), m.openings()
	t.Logf("opened %d times, %d changes", opened, len(seen))
	dead := map[int64]bool{}
	n := m.rec.Len()
	killed := time.Now()
	for _, name := range []string{"d2", "d5", "d7", "d10"} {
		dead[m.session(name)] = true
		m.c.Process(name).Kill()
	}
	if took := time.Since(killed); took > time.Second {
		t.Logf("it took %v to kill them", took)
	}
	lost := 0
	for _, o := range before {
		if dead[o.Session] {
			lost++
		}
	}
	var first, last time.Time // of the ends of their sessions
	over := 0
	if _, err := m.rec.Await(n, time.Minute, func(x proc.Seen) bool {
		if x.Deleted && strings.HasPrefix(x.Key, m.c.Layout().Nodes()) {
			if over++; over == 1 {
				first = x.At
			}
			last = x.At
		}
		return over == len(dead)
	}); err != nil {
		t.Fatalf("%d sessions have ended: %v", over, err)
	}
	seen = m.owned(n, lost, func(o record.Owner) bool { return !dead[o.Session] })
	txns := m.count(seen, lost)
	t.Logf("%d spans of 4 nodes: their sessions ended %v to %v after the kill, the last span ran elsewhere %v after that, in %d transactions",
		lost, first.Sub(killed).Round(time.Millisecond), last.Sub(killed).Round(time.Millisecond), seen[len(seen)-1].At.Sub(last).Round(time.Millisecond), txns)
	if lost < manySpans/4 || txns > txnsOfFailover*lost/1000 {
		t.Errorf("%d transactions for %d spans", txns, lost)
	}
	m.c.Running("many", manySpans)
	after := m.owners()
	per := map[int64]int{}
	for id, o := range after {
		per[o.Session]++
		if was := before[id]; !dead[was.Session] && o != was {
			t.Errorf("%s had %+v, which lives, and has %+v", id, was, o)
		}
	}
	for session, n := range per {
		if n < manySpans/6-manySpans/60 || n > manySpans/6+manySpans/60 {
			t.Errorf("session %d has %d", session, n)
		}
	}
	if openings := m.openings() - opened; len(after) != manySpans || len(per) != manyNodes-len(dead) || openings != lost {
		t.Errorf("%d spans of %d nodes, opened %d times for %d that were lost", len(after), len(per), openings, lost)
	}
	m.c.Verdict()
}

// owners are those of all spans, as etcd has them.
func (m *many) owners() map[string]record.Owner {
	m.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := m.c.Client(m.c.URLs).Get(ctx, m.c.Layout().Spans("many"), clientv3.WithPrefix())
	if err != nil {
		m.b.Fatal(err)
	}
	out := map[string]record.Owner{}
	for _, kv := range r.Kvs {
		s, err := record.DecodeSpan(kv.Value)
		if err != nil {
			m.b.Fatal(err)
		}
		out[string(kv.Key)] = s.Owner
	}
	return out
}

// openings there have been of all spans.
func (m *many) openings() (n int) {
	for _, of := range m.c.Openings() {
		n += of
	}
	return n
}

// session of a node.
func (m *many) session(name string) int64 {
	m.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	got, err := m.c.Client(m.c.URLs).Get(ctx, m.c.Layout().Node(name))
	if err != nil || len(got.Kvs) != 1 {
		m.b.Fatalf("%s: %v, %v", name, got, err)
	}
	return got.Kvs[0].CreateRevision
}
