package explore

import (
	"fmt"
	"strings"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

// String is the trace of a violation, one event a line.
func (v *Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (after %d states)\n", v.What, v.After)
	for i, line := range v.Trace {
		fmt.Fprintf(&b, "  %2d %s\n", i+1, line)
	}
	return b.String()
}

// String is one line about an exploration.
func (r Result) String() string {
	return fmt.Sprintf("%d states, %d transitions, depth %d, %d clean, %.1fs", r.States, r.Transitions, r.Depth, r.Clean, r.Time.Seconds())
}

func (x *explorer) who(s *state, p int) string {
	pr := s.procs[p]
	name := x.cfg.Nodes[pr.node]
	if !x.present(s, pr.node, pr.session) {
		return fmt.Sprintf("%s (zombie of session %d)", name, pr.session)
	}
	return name
}

func (x *explorer) opName(n int) string {
	o := x.cfg.Ops[n]
	name := fmt.Sprintf("%s %s", record.KindName(o.Kind), o.Spans[0])
	if o.To != "" {
		name += " to " + o.To
	}
	return fmt.Sprintf("operator %s (%s)", x.opIDs[n], name)
}

func describeAsk(x *explorer, i int, ev operator.Event) string {
	verb, mod := "do something with", int64(0)
	switch ev := ev.(type) {
	case operator.AskOpen:
		verb, mod = "open", ev.Span.Mod
	case operator.AskEnd:
		verb, mod = "close", ev.Span.Mod
	case operator.AskRelease:
		verb, mod = "release", ev.Span.Mod
	case operator.AskAbort:
		verb, mod = "give up opening", ev.Claim
	case operator.AskRevoke:
		verb = "cancel the operator of"
		if ev.Successor != nil {
			verb = "supersede the operator of"
		}
		mod = ev.Members[0].Mod
	case *askMerge:
		verb, mod = "merge what begins with", ev.spans[0].Mod
	}
	return fmt.Sprintf("%s %s as of %d", verb, x.refs[i].ID, mod)
}

func (x *explorer) describePart(p txn.Part) string {
	var b []string
	for _, op := range p.Then {
		verb := "put"
		switch {
		case op.Delete:
			verb = "delete"
		case op.Leased:
			verb = "put leased"
		}
		b = append(b, verb+" "+strings.TrimPrefix(op.Key, x.layout.Root()))
	}
	return strings.Join(b, ", ")
}

// show prints a state.
func (x *explorer) show(t *state) []string {
	out := []string{fmt.Sprintf("= revision %d, term %d, sink %v", t.etcd.rev, x.term(t), t.sink)}
	for i := range x.refs {
		if s, ok := x.span(t, i); ok {
			line := fmt.Sprintf("= span %s at %d: owner %s/%d token %d, checkpoint %v", s.ID, s.Mod, s.Owner.Node, s.Owner.Session, s.Owner.Token, s.Checkpoint)
			if s.Intent != nil {
				line += fmt.Sprintf(", intent %s %s handed off=%t", s.Intent.Operator, record.KindName(s.Intent.Kind), s.Intent.HandedOff)
			}
			out = append(out, line)
		}
		if c := x.claim(t, i); c != nil {
			out = append(out, fmt.Sprintf("= claim %s at %d: %s by %s/%d for %q", x.refs[i].ID, c.Mod, record.StageName(c.Stage), c.Node, c.Session, c.Operator))
		}
	}
	for n, k := range x.history {
		if e := &t.etcd.kvs[k]; e.val != nil {
			out = append(out, fmt.Sprintf("= history %s: %s", x.opName(n), record.OutcomeName(e.val.ended.Outcome)))
		}
	}
	for p, pr := range t.procs {
		line := fmt.Sprintf("= process %s session %d stopping=%t", x.who(t, p), pr.session, pr.stopping)
		for i, h := range pr.held {
			if h != nil {
				line += fmt.Sprintf(" %s: phase %d record %d token %d running %d opening %d send=%t;", x.refs[i].ID, h.Phase, h.Span.Mod, h.Token, h.running, h.opening, h.send != nil)
			}
		}
		if pr.merger != nil {
			line += fmt.Sprintf(" merger in phase %d", pr.merger.Phase)
		}
		out = append(out, line)
	}
	return out
}
