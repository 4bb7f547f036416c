package proc

import (
	"bytes"
	"encoding/json"
	"os"
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
	ev := audit.Events{Deaths: map[int]int64{}}
	for _, p := range c.all {
		if p.Gone() {
			ev.Deaths[p.Pid()] = p.diedAt
		}
	}
	for _, f := range c.eventFiles() {
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

func (c *Cluster) eventFiles() []string {
	c.tb.Helper()
	files, err := filepath.Glob(filepath.Join(c.Events, "*.jsonl"))
	if err != nil {
		c.tb.Fatal(err)
	}
	return files
}

// Openings is how often each span was opened so far, by the event logs.
func (c *Cluster) Openings() map[string]int {
	c.tb.Helper()
	n := map[string]int{}
	for _, f := range c.eventFiles() {
		data, err := os.ReadFile(f)
		if err != nil {
			c.tb.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			var e struct{ Event, Span string }
			if json.Unmarshal(line, &e) == nil && e.Event == "opened" { // a dying process may cut its last line off
				n[e.Span]++
			}
		}
	}
	return n
}
