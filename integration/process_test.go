package integration_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spanward/spanward/integration/proc"
)

// cluster starts three maintainers and n dispatchers.
func cluster(t *testing.T, o proc.Options, n int, args ...string) *proc.Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("real processes")
	}
	t.Parallel()
	c := proc.Start(t, o)
	for i := range 3 {
		c.Maintainer(fmt.Sprint("m", i+1))
	}
	for i := range n {
		c.Dispatcher(fmt.Sprint("d", i+1), args...)
	}
	c.Leader()
	ready(c, n)
	return c
}

func ready(c *proc.Cluster, n int) {
	c.Until("dispatchers ready", func() (bool, string) {
		var s proc.Status
		ok := c.TryGet(&s, "status")
		return ok && s.Nodes["ready"] == n, fmt.Sprint(s.Nodes)
	})
}

func gateSpans(c *proc.Cluster, n int) []proc.Span {
	args := []string{"keyspace", "create", "g", "--workload", "gate", "--wait", "--timeout", "60s"}
	for i := range n {
		args = append(args, "--range", fmt.Sprintf("%02d:%02d", i, i+1))
	}
	c.Do(args...)
	return c.Running("g", n)
}

// Five openings and five closings are under way when the leader dies. Its successor finds every one of them, and
// each ends once.
func TestLeaderKilledWhileOperatorsAreHeld(t *testing.T) {
	c := cluster(t, proc.Options{}, 3)
	spans := gateSpans(c, 5)
	c.Hold("hold-open")
	c.Hold("hold-close")
	asked := map[string]string{}
	for i, s := range spans {
		var o proc.Operator
		if i < 3 {
			c.Get(&o, "span", "move", "g", s.ID, "--to", other(s.Node))
		} else {
			c.Get(&o, "span", "remove", "g", s.ID)
		}
		asked[o.ID] = o.Type
		c.Get(&o, "span", "add", "g", "--range", fmt.Sprintf("%02d:%02d", 50+i, 51+i))
		asked[o.ID] = o.Type
	}
	c.Until("five closing, five opening", func() (bool, string) { return stages(c, 5, 5) })

	killed := c.Leader()
	killed.Kill()
	if c.Leader() == killed {
		t.Fatal("the dead leads")
	}
	if ok, sees := stages(c, 5, 5); !ok {
		t.Fatalf("after the take-over: %s", sees)
	}
	c.Release("hold-open")
	c.Release("hold-close")
	c.Running("g", 8)
	c.Until("nothing in flight", func() (bool, string) {
		var list proc.Operators
		ok := c.TryGet(&list, "operator", "list")
		return ok && len(list.Operators) == 0, fmt.Sprintf("%+v", list)
	})
	var done proc.Operators
	c.Get(&done, "history", "g")
	for id, kind := range asked {
		n := 0
		for _, o := range done.Operators {
			if o.ID == id && o.Type == kind && o.Outcome == "done" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s %s is in the history %d times", kind, id, n)
		}
	}
	c.Verdict()
}

func other(node string) string {
	if node == "d1" {
		return "d2"
	}
	return "d1"
}

// stages counts operators in flight.
func stages(c *proc.Cluster, closing, opening int) (bool, string) {
	var list proc.Operators
	ok := c.TryGet(&list, "operator", "list")
	n := map[string]int{}
	for _, o := range list.Operators {
		n[o.Stage]++
	}
	return ok && n["closing"] == closing && n["opening"] == opening, fmt.Sprint(n)
}

// A dispatcher that was stopped for longer than its session lasts wakes up: its spans are elsewhere, and what it still
// wanted to write is refused by the destination.
func TestPausedDispatcherCanWriteNothing(t *testing.T) {
	c := cluster(t, proc.Options{TTL: "2s"}, 2)
	m := mirror(t, c, 4)
	p := c.Process("d1")
	p.Pause()
	c.Until("all spans at d2", func() (bool, string) {
		var list proc.Spans
		ok := c.TryGet(&list, "span", "list", "copy")
		n := 0
		for _, s := range list.Spans {
			if s.State == "running" && s.Node == "d2" {
				n++
			}
		}
		return ok && n == 4, fmt.Sprintf("%d of 4", n)
	})
	p.Continue()
	c.Until("d1 back with a new session", func() (bool, string) {
		return strings.Count(p.Log(), "registered") > 1, "one registration"
	})
	m.equal(t)
	c.Verdict()
}

// Every process is stopped cleanly and started again, one after the other, while the mirror runs.
func TestRollingRestart(t *testing.T) {
	c := cluster(t, proc.Options{}, 3)
	m := mirror(t, c, 6)
	for i := range 3 {
		name := fmt.Sprint("d", i+1)
		c.Process(name).Stop()
		c.Dispatcher(name)
		c.Running("copy", 6)
	}
	for i := range 3 {
		name := fmt.Sprint("m", i+1)
		c.Process(name).Stop()
		c.Maintainer(name)
		c.Leader()
	}
	c.Running("copy", 6)
	m.equal(t)
	r := c.Verdict()
	for _, g := range r.Ranges {
		t.Logf("%+v", g)
	}
}

// Somebody deletes the leader key by hand: the leader notices, and there is one leader again.
func TestLeaderKeyDeletedByHand(t *testing.T) {
	c := cluster(t, proc.Options{}, 2)
	gateSpans(c, 4)
	var before proc.Status
	c.Get(&before, "status")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := c.Client(c.URLs).Delete(ctx, c.Layout().Leader()); err != nil {
		t.Fatal(err)
	}
	c.Until("a later term", func() (bool, string) {
		var s proc.Status
		ok := c.TryGet(&s, "status")
		return ok && s.Leader != nil && s.Term > before.Term, fmt.Sprint(s.Term)
	})
	spans := c.Running("g", 4)
	c.Do("span", "move", "g", spans[0].ID, "--to", other(spans[0].Node), "--wait", "--timeout", "60s")
	c.Verdict()
}

// Two processes have one name: the second waits and says so, and takes over when the first is gone. With the data
// directory of a dead one it does not have to wait for the session to expire.
func TestTwoDispatchersWithOneName(t *testing.T) {
	c := cluster(t, proc.Options{TTL: "20s"}, 0)
	dir := t.TempDir()
	first := c.Dispatcher("d1", "--data-dir", dir)
	gateSpans(c, 3)
	second := c.DispatcherNoWait("d1", "--data-dir", dir)
	c.Until("the second waits", func() (bool, string) {
		return strings.Contains(second.Log(), "waiting"), second.Log()
	})
	began := time.Now()
	first.Kill()
	c.Until("the spans run again", func() (bool, string) {
		var list proc.Spans
		ok := c.TryGet(&list, "span", "list", "g")
		n := 0
		for _, s := range list.Spans {
			if s.State == "running" {
				n++
			}
		}
		return ok && n == 3 && strings.Contains(second.Log(), "registered"), fmt.Sprintf("%d run", n)
	})
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("took %v: it has waited for the old session of 20 s", took)
	}
	c.Verdict()
}

// Nobody leads for half a minute. The workloads go on, and everything is picked up afterwards.
func TestAllMaintainersDown(t *testing.T) {
	c := cluster(t, proc.Options{}, 3)
	m := mirror(t, c, 4)
	for i := range 3 {
		c.Process(fmt.Sprint("m", i+1)).Kill()
	}
	down := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	if _, err := m.source.Put(ctx, "key/499/marker", "nobody leads"); err != nil {
		t.Fatal(err)
	}
	c.UntilWithin(25*time.Second, "the mirror goes on without a leader", func() (bool, string) {
		r, err := m.dest.Get(ctx, "key/499/marker")
		return err == nil && len(r.Kvs) == 1, fmt.Sprint(err)
	})
	c.Process("d1").Kill() // its session ends while nobody can move its spans
	<-time.After(30*time.Second - time.Since(down))
	for i := range 3 {
		c.Maintainer(fmt.Sprint("m", i+1))
	}
	c.Leader()
	c.Running("copy", 4)
	m.equal(t)
	c.Verdict()
}

// etcd has three members and loses its leader: sessions survive, and work goes on.
func TestEtcdLeaderKilled(t *testing.T) {
	c := cluster(t, proc.Options{EtcdMembers: 3}, 2)
	spans := gateSpans(c, 4)
	etcdLeader(t, c).Kill()
	c.Until("a move", func() (bool, string) {
		a := c.Spanward("span", "move", "g", spans[0].ID, "--to", other(spans[0].Node), "--request-id", "r1", "--wait", "--timeout", "20s", "-o", "json")
		return a.Code == 0, a.Out + a.Err
	})
	c.Running("g", 4)
	c.Verdict()
}

func etcdLeader(t *testing.T, c *proc.Cluster) *proc.Process {
	t.Helper()
	cl := c.Client(c.URLs)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for i, url := range strings.Split(c.URLs, ",") {
		s, err := cl.Status(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		if s.Leader == s.Header.MemberId {
			return c.Etcd[i]
		}
	}
	t.Fatal("etcd has no leader")
	return nil
}
