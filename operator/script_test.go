package operator_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// Rewrite the expected output with: go test ./operator -rewrite
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		w := newWorld(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			w.out.Reset()
			w.command(t, d)
			if broken := w.check(); broken != "" {
				t.Fatalf("%s: %s", d.Pos, broken)
			}
			if w.out.Len() == 0 {
				return "-"
			}
			return w.out.String()
		})
	})
}

// command is one line of a script: the leader's are accept, next and takeover; the others name a node.
func (w *world) command(t *testing.T, d *datadriven.TestData) {
	r := operator.Ref{Keyspace: ks, ID: "s"}
	var name, to, why string
	d.MaybeScanArgs(t, "node", &name)
	d.MaybeScanArgs(t, "to", &to)
	d.MaybeScanArgs(t, "why", &why)
	var id string
	if d.MaybeScanArgs(t, "span", &id); id != "" {
		r.ID = span.ID(id)
	}
	n := w.nodes[name]
	switch d.Cmd {
	case "start":
		w.start(name)
	case "add":
		w.add(r)
	case "move", "remove":
		kind, err := record.ParseKind(d.Cmd)
		if err != nil {
			t.Fatal(err)
		}
		op, ok := w.accept(r, kind, to)
		w.logf("accepted=%t %s", ok, op)
	case "next":
		w.next(r, to)
	case "send":
		w.deliver(n, r, d.HasArg("lost"))
	case "opened":
		w.opened(n, r)
	case "open-failed":
		w.openFailed(n, r, why)
	case "closed":
		w.closed(n, r)
	case "close-failed":
		w.step(n, r, operator.CloseFailed{Err: why})
	case "broken":
		w.step(n, r, operator.Broken{Err: why})
	case "stop":
		w.step(n, r, operator.Stop{})
	case "abort":
		claim := n.spans[r].Claim
		if d.HasArg("earlier") { // meant for an opening before this one
			claim.Mod--
		}
		w.step(n, r, operator.AskAbort{Operator: claim.Operator, Claim: claim.Mod})
	case "kill":
		w.stopAll(n)
	case "expire":
		w.expire(n)
	case "pause":
		w.keyspace = record.KeyspacePaused
	case "resume":
		w.keyspace = record.KeyspaceRunning
	case "delete":
		w.keyspace = record.KeyspaceDeleting
	case "release": // asked on the record as it is now, whoever owns it
		s, _ := w.span(r)
		w.step(n, r, operator.AskRelease{Span: s})
	case "forgets": // whatever it had
		delete(n.spans, r)
	case "takeover":
		w.takeOver()
	case "show":
		w.show(r)
	case "run": // place the span and let everything succeed
		w.next(r, name)
		w.deliver(n, r, false)
		w.opened(n, r)
		w.deliver(n, r, false)
		w.out.Reset()
	default:
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
}
