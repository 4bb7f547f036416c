package integration_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanward/spanward/integration/proc"
)

// In a planned restart nobody owns a span for as long as its new owner needs to open it, and before that for as long as
// it takes to hand it off, to ask the new owner and to claim: transactions, of which the slowest put of that time is the
// measure, and what a busy machine lets processes wait for each other.
const (
	handOffPuts = 6
	handOffRest = 500 * time.Millisecond
)

// Every dispatcher is stopped and started again, one after the other, and drains before it stops. No span notices more of
// it than its moves, nothing is left to be handed back, and what comes back is a node like any other.
func TestRollingRestartWithDrain(t *testing.T) {
	c := cluster(t, proc.Options{}, 3, "--drain-timeout", "20s")
	const spans = 30
	own := gateSpans(c, spans)
	m := mirror(t, c, 4)
	put, lag := slowest(t, c), lags(t, m)
	began := time.Now()
	for i := range 3 {
		name := fmt.Sprint("d", i+1)
		p := c.Process(name)
		p.Stop()
		if log := p.Log(); !strings.Contains(log, "drained") || strings.Contains(log, "handed back") {
			t.Errorf("%s has not drained:\n%s", name, log)
		}
		c.Dispatcher(name, "--drain-timeout", "20s")
		ready(c, 3) // not draining any more
	}
	took := time.Since(began)
	c.Running("g", spans)
	m.equal(t)
	slow := put()
	late, of := lag()
	worst := c.Verdict().Longest()
	t.Logf("three dispatchers in %v; the longest time without an owner was %v, of %s; the mirror was behind by %v at most in %d changes; slowest put %v",
		took.Round(time.Millisecond), worst.Gap.Round(100*time.Microsecond), worst.Range, late.Round(time.Millisecond), of, slow.Round(100*time.Microsecond))
	all := changes(t, c)
	top := slices.MaxFunc(all, func(a, b change) int { return cmp.Compare(a.gap(), b.gap()) })
	t.Logf("%d changes of owner, the longest: %v", len(all), top)
	limit := handOffPuts*slow + handOffRest
	var closing, opening time.Duration // at their worst
	for _, ch := range all {
		closing, opening = max(closing, ch.close), max(opening, ch.own)
		if ch.tries != 1 || ch.ask > limit {
			t.Errorf("%v, and is to be asked within %v", ch, limit)
		}
	}
	if worst.Gap > top.gap()+time.Millisecond {
		t.Errorf("a key was unowned for longer than any span: %+v", worst)
	}
	// What a reader of the destination sees of it is the same, and the closing before.
	if of < 50 || late > closing+limit+opening {
		t.Errorf("the mirror was behind by %v, in %d changes", late, of)
	}
	var done proc.Operators
	c.Get(&done, "history", "g")
	moved := 0
	for _, o := range done.Operators {
		if o.By == "drain" && o.Outcome == "done" {
			moved++
		}
	}
	// Nothing was placed anew: each opening beyond the first is that of a move.
	openings, opened := 0, c.Openings()
	for _, sp := range own {
		openings += opened[sp.ID]
	}
	if moved < spans || openings != spans+moved {
		t.Errorf("%d moves and %d openings of %d spans", moved, openings, spans)
	}
}

// node is one of "node list".
type node struct {
	Name, State string
	Spans       int
	Why         *string
}

func nodeIs(c *proc.Cluster, name string) (n node) {
	c.Get(&n, "node", "show", name)
	return n
}

// From the command line: the plan, the refusal, the wait, and the way back.
func TestDrainFromTheCommandLine(t *testing.T) {
	c := cluster(t, proc.Options{}, 2)
	gateSpans(c, 12)
	var plan struct {
		Moves []struct{ Span, From, To, Reason string }
		Stuck []struct{ Span, Reason string }
	}
	c.Get(&plan, "node", "drain", "d1", "--dry-run")
	if n := nodeIs(c, "d1"); len(plan.Moves) != n.Spans || n.Spans == 0 || n.State != "ready" || plan.Moves[0].To != "d2" {
		t.Errorf("%+v of %+v", plan, n)
	}
	a := c.Spanward("node", "drain", "d1", "--wait", "--timeout", "60s", "-o", "json")
	var got node
	if err := json.Unmarshal([]byte(a.Out), &got); err != nil || a.Code != 0 || got.State != "drained" || got.Spans != 0 {
		t.Fatalf("exit %d: %s%s", a.Code, a.Out, a.Err)
	}
	a = c.Spanward("node", "drain", "d2")
	if a.Code != 3 || !strings.Contains(a.Err, "keyspace g ") || !strings.Contains(a.Err, "d1 is drained") || !strings.Contains(a.Err, "--force") {
		t.Errorf("exit %d: %s", a.Code, a.Err)
	}
	if a := c.Spanward("node", "cordon", "d9"); a.Code != 3 {
		t.Errorf("an unknown node: exit %d: %s", a.Code, a.Err)
	}
	opened := c.Openings()
	c.Process("d1").Stop() // no span notices
	c.Dispatcher("d1")
	c.Until("still drained after a restart", func() (bool, string) {
		n := nodeIs(c, "d1")
		return n.State == "drained", fmt.Sprintf("%+v", n)
	})
	if now := c.Openings(); fmt.Sprint(now) != fmt.Sprint(opened) {
		t.Errorf("openings were %v, are %v", opened, now)
	}
	c.Do("node", "uncordon", "d1")
	c.Do("node", "drain", "d2", "--wait", "--timeout", "60s")
	c.Running("g", 12) // drained says that nothing runs there, and not yet that all of it runs elsewhere
	if n := nodeIs(c, "d1"); n.Spans != 12 || n.State != "ready" {
		t.Errorf("%+v", n)
	}
	c.Verdict()
}

// Nobody leads: a dispatcher that would drain stops cleanly all the same, once its time is up.
func TestDrainTimeoutWithoutALeader(t *testing.T) {
	c := cluster(t, proc.Options{}, 2, "--drain-timeout", "3s")
	gateSpans(c, 4)
	for i := range 3 {
		c.Process(fmt.Sprint("m", i+1)).Kill()
	}
	p := c.Process("d1")
	began := time.Now()
	p.Stop()
	if took := time.Since(began); took < 3*time.Second || took > 15*time.Second {
		t.Errorf("took %v", took)
	}
	if !strings.Contains(p.Log(), "not drained in time") {
		t.Error(p.Log())
	}
	events, err := os.ReadFile(filepath.Join(c.Events, "d1.jsonl"))
	if err != nil || strings.Count(string(events), `"closed"`) != strings.Count(string(events), `"opened"`) {
		t.Errorf("not everything was closed: %v", err)
	}
	for i := range 3 {
		c.Maintainer(fmt.Sprint("m", i+1))
	}
	c.Running("g", 4)
	c.Verdict()
}
