package proc

import "fmt"

// The shapes of the command line's JSON that tests look at.
type (
	// Span as in "span list".
	Span struct {
		Keyspace, ID, Start, End, State, Node string
		Session, Token                        int64
		Operator                              *string
	}
	// Spans is "span list".
	Spans struct{ Spans []Span }
	// Operator as in "operator list" and as changing commands print it.
	Operator struct {
		ID, Type, Keyspace, Stage, Outcome string
		RequestID                          string `json:"request_id"`
		By                                 string
		Spans, Results                     []string
		From, To                           *string
		Error                              *string
		Cause                              *Cause
	}
	// Cause is what ended an operator early.
	Cause struct {
		RequestID string `json:"request_id"`
		Operator  *string
	}
	// Operators is "operator list" and "history".
	Operators struct{ Operators []Operator }
	// Status is "status".
	Status struct {
		Leader   *string
		Term     int64
		Nodes    map[string]int
		Spans    map[string]int
		Problems []struct{ Kind, Keyspace, Span, Message string }
	}
	// Keyspace is "keyspace show".
	Keyspace struct {
		Name, State string
		Spans       map[string]int
		Checkpoint  *int64
	}
	// Check is "check".
	Check struct {
		OK         bool
		Violations []struct{ Invariant, Message string }
		Problems   []struct{ Key, Message string }
	}
	// Diff is "mirror diff".
	Diff struct {
		Equal                               bool
		Compared, Missing, Extra, Different int
	}
)

// Leader waits for a leader and returns its process.
func (c *Cluster) Leader() *Process {
	c.tb.Helper()
	var p *Process
	c.Until("a leader", func() (bool, string) {
		var s Status
		if !c.TryGet(&s, "status") || s.Leader == nil {
			return false, "no leader"
		}
		p = c.processes[*s.Leader]
		return p != nil && !p.Gone(), *s.Leader
	})
	return p
}

// Term is the one that lasts now, 0 if nobody leads.
func (c *Cluster) Term() int64 {
	c.tb.Helper()
	var s Status
	c.Get(&s, "status")
	return s.Term
}

// Running waits until n spans of the keyspace run.
func (c *Cluster) Running(ks string, n int) []Span {
	c.tb.Helper()
	var list Spans
	c.Until("all spans running", func() (bool, string) {
		list = Spans{}
		if !c.TryGet(&list, "span", "list", ks) {
			return false, "span list failed"
		}
		running := 0
		for _, s := range list.Spans {
			if s.State == "running" {
				running++
			}
		}
		return running == n && len(list.Spans) == n, fmt.Sprintf("%s: %d of %d run", ks, running, len(list.Spans))
	})
	return list.Spans
}
