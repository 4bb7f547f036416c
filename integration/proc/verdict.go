package proc

import (
	"path/filepath"

	"github.com/spanward/spanward/internal/audit"
)

// Verdict checks what must hold after every test: no violation in etcd's history, and in the event logs no moment
// at which two processes owned a key. It returns what the logs say about gaps.
func (c *Cluster) Verdict() audit.EventsReport {
	c.tb.Helper()
	a := c.Spanward("check", "-o", "json")
	if a.Code != 0 {
		c.tb.Errorf("spanward check: exit %d: %s%s", a.Code, a.Out, a.Err)
	}
	files, err := filepath.Glob(filepath.Join(c.Events, "*.jsonl"))
	if err != nil {
		c.tb.Fatal(err)
	}
	ev := audit.Events{Deaths: map[int]int64{}}
	for _, p := range c.all {
		if p.Gone() {
			ev.Deaths[p.Pid()] = p.diedAt
		}
	}
	for _, f := range files {
		if err := ev.ReadFile(f); err != nil {
			c.tb.Fatal(err)
		}
	}
	r := ev.Report()
	for _, v := range r.Violations {
		c.tb.Errorf("event logs: %+v", v)
	}
	return r
}
