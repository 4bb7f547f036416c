package integration_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanward/spanward/integration/proc"
)

const (
	// tryFor bounds the first try of a command, each further one has twice as long. It is short, so that some outcomes are
	// unknown although all goes well; settleWithin bounds all tries.
	tryFor       = 250 * time.Millisecond
	settleWithin = 90 * time.Second
)

// request is a changing command with a request id, repeated with that id as long as its outcome is unknown.
type request struct {
	id, kind string
	args     []string

	tries int
	// operator is what the command was answered with, its id is empty for those that answer with something else.
	operator proc.Operator
	accepted bool
	// reason and message are those of a refusal.
	reason, message string
}

func ask(id, kind, command string) *request {
	return &request{id: id, kind: kind, args: strings.Fields(command)}
}

// settle runs the command until its outcome is known. It may be called concurrently for different requests.
func (r *request) settle(c *proc.Cluster) error {
	args := append(slices.Clone(r.args), "--request-id", r.id, "-o", "json")
	until := time.Now().Add(settleWithin)
	for try := tryFor; ; try *= 2 {
		r.tries++
		a := c.Spanward(append(args, "--timeout", try.String())...)
		if known, err := r.take(a); known || err != nil {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("spanward %s: the outcome is unknown after %d tries: %s", strings.Join(args, " "), r.tries, a.Err)
		}
	}
}

// take looks at one answer, and says whether it tells the outcome.
func (r *request) take(a proc.Answer) (known bool, err error) {
	r.operator, r.accepted, r.reason = proc.Operator{}, false, ""
	var e told
	switch {
	case a.Code == 4:
		return false, nil
	case a.Out != "" && (a.Code == 0 || a.Code == 1): // 1: it was accepted, and has not come to a good end since
		r.accepted = true
		if r.args[0] == "keyspace" || r.args[0] == "node" { // these print what they concern
			return true, nil
		}
		return true, json.Unmarshal([]byte(a.Out), &r.operator)
	case a.Code == 3 && json.Unmarshal([]byte(a.Err), &e) == nil && e.Error.Reason != "":
		r.reason, r.message = e.Error.Reason, e.Error.Message
		return true, nil
	}
	return false, fmt.Errorf("spanward %s (%s): exit %d: %s%s", strings.Join(r.args, " "), r.id, a.Code, a.Out, a.Err)
}

// settling begins to settle requests side by side, and returns how to wait for that. All must be accepted.
func settling(t *testing.T, c *proc.Cluster, all ...*request) (wait func()) {
	var wg sync.WaitGroup
	errs := make([]error, len(all))
	for i, r := range all {
		wg.Go(func() { errs[i] = r.settle(c) })
	}
	t.Cleanup(wg.Wait)
	return func() {
		t.Helper()
		wg.Wait()
		for i, r := range all {
			switch {
			case errs[i] != nil:
				t.Fatal(errs[i])
			case !r.accepted:
				t.Fatalf("%s %v: refused: %s %s", r.kind, r.args, r.reason, r.message)
			}
		}
	}
}

func settleAll(t *testing.T, c *proc.Cluster, all ...*request) {
	t.Helper()
	settling(t, c, all...)()
}

// quiet waits until no operator is in flight.
func quiet(c *proc.Cluster) {
	c.Until("nothing in flight", func() (bool, string) {
		var list proc.Operators
		ok := c.TryGet(&list, "operator", "list")
		return ok && len(list.Operators) == 0, fmt.Sprintf("%+v", list)
	})
}

// past is the whole history. Every operator is in it once.
func past(t *testing.T, c *proc.Cluster) []proc.Operator {
	t.Helper()
	var done proc.Operators
	c.Get(&done, "history", "--limit", "50000")
	seen := map[string]bool{}
	for _, o := range done.Operators {
		if seen[o.ID] {
			t.Errorf("operator %s has ended twice", o.ID)
		}
		seen[o.ID] = true
	}
	return done.Operators
}

// doneOnce compares the history with what was asked for: each request is one operator that is done, and users have
// asked for no others, but for those whose request ids begin with one of these prefixes.
func doneOnce(t *testing.T, c *proc.Cluster, asked []*request, others ...string) {
	t.Helper()
	byRequest := map[string][]proc.Operator{}
	for _, o := range past(t, c) {
		if o.By == "user" && o.Type != "keyspace" {
			byRequest[o.RequestID] = append(byRequest[o.RequestID], o)
		}
	}
	for _, r := range asked {
		got := byRequest[r.id]
		delete(byRequest, r.id)
		if len(got) != 1 || got[0].ID != r.operator.ID || got[0].Type != r.kind || got[0].Outcome != "done" {
			t.Errorf("%s %s %v: want it done once, got %+v", r.kind, r.operator.ID, r.args, got)
		}
	}
	for id, ops := range byRequest {
		if !slices.ContainsFunc(others, func(prefix string) bool { return strings.HasPrefix(id, prefix) }) {
			t.Errorf("nobody has asked for %+v", ops)
		}
	}
}
