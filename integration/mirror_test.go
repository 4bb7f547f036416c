package integration_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/integration/proc"
)

// mirrored is a keyspace that mirrors one etcd to another while a writer changes the source.
type mirrored struct {
	c            *proc.Cluster
	source, dest *clientv3.Client
	stop         context.CancelFunc
	wg           sync.WaitGroup
	writes       int
}

// mirror starts source and destination, puts keys into the source, creates the keyspace and keeps changing keys.
func mirror(t *testing.T, c *proc.Cluster, spans int) *mirrored {
	t.Helper()
	m := &mirrored{c: c}
	from, to := m.start()
	for i := range 500 {
		m.put(t, i, "first")
	}
	args := []string{"keyspace", "create", "copy", "--workload", "mirror", "--set", "source=" + from, "--set", "dest=" + to, "--wait", "--timeout", "90s"}
	for i := range spans {
		start, end := fmt.Sprintf("key/%03d", i*500/spans), fmt.Sprintf("key/%03d", (i+1)*500/spans)
		if i == 0 {
			start = ""
		}
		if i == spans-1 {
			end = ""
		}
		args = append(args, "--range", start+":"+end)
	}
	c.Do(args...)
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.wg.Add(1)
	go m.write(ctx)
	t.Cleanup(m.quiet)
	return m
}

func (m *mirrored) put(t *testing.T, i int, v string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := m.source.Put(ctx, fmt.Sprintf("key/%03d", i), v); err != nil {
		t.Fatal(err)
	}
}

// write changes, adds and deletes keys, some of them together in one transaction.
func (m *mirrored) write(ctx context.Context) {
	defer m.wg.Done()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		key := func(n int) string { return fmt.Sprintf("key/%03d", n%500) }
		ops := []clientv3.Op{clientv3.OpPut(key(i*7), fmt.Sprint("value ", i))}
		if i%5 == 0 {
			ops = append(ops, clientv3.OpPut(key(i*7+1), fmt.Sprint("both ", i)))
		}
		if i%11 == 0 {
			ops = append(ops, clientv3.OpDelete(key(i*7+2)))
		}
		if _, err := m.source.Txn(ctx).Then(ops...).Commit(); err == nil {
			m.writes++
		}
	}
}

// quiet ends the writer.
func (m *mirrored) quiet() {
	m.stop()
	m.wg.Wait()
}

// equal ends the writer and waits until source and destination are equal.
func (m *mirrored) equal(t *testing.T) {
	t.Helper()
	m.quiet()
	if m.writes == 0 {
		t.Fatal("nothing was written to the source")
	}
	m.c.Until("source and destination equal", func() (bool, string) {
		a := m.c.Spanward("mirror", "diff", "copy")
		return a.Code == 0, a.Out + a.Err
	})
	t.Logf("%d transactions at the source", m.writes)
}
