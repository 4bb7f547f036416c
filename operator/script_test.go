package operator_test

import (
	"strconv"
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
	c := command{TestData: d, w: w, ref: operator.Ref{Keyspace: ks, ID: "s"}}
	d.MaybeScanArgs(t, "to", &c.to)
	d.MaybeScanArgs(t, "why", &c.why)
	d.MaybeScanArgs(t, "range", &c.rg)
	var name, id string
	d.MaybeScanArgs(t, "node", &name)
	if d.MaybeScanArgs(t, "span", &id); id != "" {
		c.ref.ID = span.ID(id)
	}
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "at":
			c.at = arg.Vals
		case "spans":
			c.spans = arg.Vals
		}
	}
	c.name, c.n = name, w.nodes[name]
	for _, run := range []map[string]func(*testing.T, command){leaderCommands, nodeCommands, worldCommands} {
		if f := run[d.Cmd]; f != nil {
			f(t, c)
			return
		}
	}
	d.Fatalf(t, "unknown command %q", d.Cmd)
}

type command struct {
	*datadriven.TestData
	w             *world
	ref           operator.Ref
	n             *node
	name, to, why string
	rg            string
	at, spans     []string
}

func (c command) accept(i record.Intent, refs ...operator.Ref) {
	op, ok := c.w.accept(i, refs...)
	c.w.logf("accepted=%t %s", ok, op)
}

var leaderCommands = map[string]func(*testing.T, command){
	"move":   func(_ *testing.T, c command) { c.accept(record.Intent{Kind: record.KindMove, To: c.to}, c.ref) },
	"remove": func(_ *testing.T, c command) { c.accept(record.Intent{Kind: record.KindRemove}, c.ref) },
	"split":  func(_ *testing.T, c command) { c.accept(record.Intent{Kind: record.KindSplit, At: c.at}, c.ref) },
	"merge": func(_ *testing.T, c command) {
		var refs []operator.Ref
		for _, id := range c.spans {
			refs = append(refs, operator.Ref{Keyspace: ks, ID: span.ID(id)})
		}
		c.accept(record.Intent{Kind: record.KindMerge}, refs...)
	},
	"cancel":    func(_ *testing.T, c command) { c.w.revoke(c.ref, false) },
	"supersede": func(_ *testing.T, c command) { c.w.logf("remove %s", c.w.revoke(c.ref, true)) },
	"next":      func(_ *testing.T, c command) { c.w.next(c.ref, c.to) },
	"takeover":  func(_ *testing.T, c command) { c.w.takeOver() },
}

var nodeCommands = map[string]func(*testing.T, command){
	"send":         func(_ *testing.T, c command) { c.w.deliver(c.n, c.ref, c.HasArg("lost")) },
	"opened":       func(_ *testing.T, c command) { c.w.opened(c.n, c.ref) },
	"open-failed":  func(_ *testing.T, c command) { c.w.openFailed(c.n, c.ref, c.why) },
	"closed":       func(_ *testing.T, c command) { c.w.closed(c.n, c.ref) },
	"close-failed": func(_ *testing.T, c command) { c.w.step(c.n, c.ref, operator.CloseFailed{Err: c.why}) },
	"broken":       func(_ *testing.T, c command) { c.w.step(c.n, c.ref, operator.Broken{Err: c.why}) },
	"stop":         func(_ *testing.T, c command) { c.w.step(c.n, c.ref, operator.Stop{}) },
	"held": func(t *testing.T, c command) {
		var at record.Position
		if len(c.at) > 0 {
			n, err := strconv.ParseUint(c.at[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			at = record.At(n)
		}
		c.w.heldAt(c.n, c.ref, at)
	},
	"abort": func(_ *testing.T, c command) {
		claim := c.n.spans[c.ref].Claim
		if c.HasArg("earlier") { // meant for an opening before this one
			claim.Mod--
		}
		c.w.step(c.n, c.ref, operator.AskAbort{Operator: claim.Operator, Claim: claim.Mod})
	},
	"release": func(_ *testing.T, c command) { // asked on the record as it is now, whoever owns it
		s, _ := c.w.span(c.ref)
		c.w.step(c.n, c.ref, operator.AskRelease{Span: s})
	},
	"forgets": func(_ *testing.T, c command) { delete(c.n.spans, c.ref) }, // whatever it had
}

var worldCommands = map[string]func(*testing.T, command){
	"start": func(_ *testing.T, c command) { c.w.start(c.name) },
	"add": func(t *testing.T, c command) {
		rg := span.Range{Start: "a", End: "b"}
		if c.rg != "" {
			var err error
			if rg, err = span.ParseRange(c.rg); err != nil {
				t.Fatal(err)
			}
		}
		c.w.add(c.ref, rg)
	},
	"kill":   func(_ *testing.T, c command) { c.w.stopAll(c.n) },
	"expire": func(_ *testing.T, c command) { c.w.expire(c.n) },
	"pause":  func(_ *testing.T, c command) { c.w.keyspace = record.KeyspacePaused },
	"resume": func(_ *testing.T, c command) { c.w.keyspace = record.KeyspaceRunning },
	"delete": func(_ *testing.T, c command) { c.w.keyspace = record.KeyspaceDeleting },
	"show":   func(_ *testing.T, c command) { c.w.show(c.ref) },
	"spans":  func(_ *testing.T, c command) { c.w.showAll() },
	"run": func(_ *testing.T, c command) { // place the span and let everything succeed
		c.w.next(c.ref, c.name)
		c.w.deliver(c.n, c.ref, false)
		c.w.opened(c.n, c.ref)
		c.w.deliver(c.n, c.ref, false)
		c.w.out.Reset()
	},
}
