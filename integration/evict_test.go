package integration_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spanward/spanward/integration/proc"
)

// A closing does not end. It is shown as stuck, with the way out; the way out works, not before the node may act no more;
// and the process that was evicted, which lives, comes back.
func TestAStuckClosingEndsWithAnEviction(t *testing.T) {
	c := cluster(t, proc.Options{TTL: "2s"}, 2)
	c.Do("keyspace", "create", "g", "--workload", "gate", "--range", "a:b", "--range", "b:c", "--set", "close-timeout=1s", "--wait", "--timeout", "60s")
	s := c.Running("g", 2)[0]
	c.Hold("hold-close")
	var move proc.Operator
	c.Get(&move, "span", "move", "g", s.ID, "--to", other(s.Node))
	c.Until("stuck", func() (bool, string) {
		var st proc.Status
		ok := c.TryGet(&st, "status")
		for _, p := range st.Problems {
			if p.Kind == "stuck" && strings.Contains(p.Message, move.ID) && strings.Contains(p.Message, "spanward node evict "+s.Node) {
				return ok && st.Spans["stuck"] == 1, fmt.Sprintf("%+v", st)
			}
		}
		return false, fmt.Sprintf("%+v", st)
	})
	p := c.Process(s.Node)
	p.Pause() // so that it cannot say itself that nothing of it runs any more
	began := time.Now()
	a := c.Spanward("node", "evict", s.Node, "--wait", "--timeout", "60s")
	took := time.Since(began)
	if a.Code != 0 || !strings.Contains(a.Err, "spans run elsewhere") {
		t.Fatalf("exit %d: %s%s", a.Code, a.Out, a.Err)
	}
	if took < 2*time.Second {
		t.Errorf("reassigned after %v: the node could act for 2s", took)
	}
	p.Continue()
	c.Release("hold-close")
	c.Until("the move is over", func() (bool, string) {
		c.Get(&move, "operator", "show", move.ID)
		return move.Outcome == "done", fmt.Sprintf("%+v", move)
	})
	c.Until("the evicted process is back", func() (bool, string) {
		return !p.Gone() && strings.Count(p.Log(), "registered") > 1, "one registration"
	})
	for _, now := range c.Running("g", 2) {
		if now.ID == s.ID && (now.Node == s.Node || now.Token <= s.Token) {
			t.Errorf("was %+v, is %+v", s, now)
		}
	}
	if a := c.Spanward("node", "evict", "d9"); a.Code != 3 {
		t.Errorf("an unknown node: exit %d: %s", a.Code, a.Err)
	}
	c.Verdict()
}
