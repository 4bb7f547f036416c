package maintainer

import (
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/view"
)

// planFacts is what the records say, at one revision, of all that a plan is made of.
type planFacts struct {
	revision  int64
	values    settings.Values
	paused    []string
	nodes     []nodeFacts
	keyspaces map[string]*view.Keyspace
	rules     map[string]*scheduler.Rules
	spans     []planSpan
}

// planSpan is a span in it.
type planSpan struct {
	*view.Span
	// claim is nil if nobody acts on it. on is the session that carries or opens it and is there, the zero value for none.
	claim *view.Claim
	on    operator.Identity
	// run: its keyspace is running.
	run bool
}

func (c *control) planFacts(s *view.State) planFacts {
	f := planFacts{
		revision: s.Revision(), values: c.tuning.in(s).Values, paused: pausedIn(s.ClusterConfig()), nodes: nodesOf(s),
		keyspaces: map[string]*view.Keyspace{}, rules: allRules(s),
	}
	for ks := range s.Keyspaces() {
		f.keyspaces[ks.Name] = ks
	}
	for _, name := range s.Names() {
		ks := f.keyspaces[name]
		run := ks != nil && ks.State == record.KeyspaceRunning
		for sp := range s.Spans(name) {
			f.spans = append(f.spans, planSpanOf(s, sp, run))
		}
	}
	return f
}

func planSpanOf(s *view.State, sp *view.Span, run bool) planSpan {
	p := planSpan{Span: sp, claim: s.Claim(sp.Ref), run: run}
	if on := weighsInView(s, sp); s.Session(on.Session) != nil {
		p.on = on
	}
	return p
}

// idle reports whether the span runs where it is recorded, with nothing in flight on it.
func (p planSpan) idle() bool {
	return p.run && p.Intent == nil && p.claim == nil && p.on.Session != 0
}

// destination is the node that it is on once what is in flight on it is done, "" for none.
func (p planSpan) destination() string {
	if h := headingOf(p.Intent, p.on); h.to != "" {
		return h.to
	}
	return p.on.Node
}

// acting is who or what is in the way of another operator, "" if nothing is.
func (p planSpan) acting() string {
	switch {
	case p.Intent != nil:
		return "operator " + p.Intent.Operator + " is in flight on it"
	case p.claim != nil:
		return p.claim.Node + " is " + record.StageName(p.claim.Stage) + " it"
	}
	return ""
}

// workload of a span, "" if its keyspace has no readable record.
func (f planFacts) workload(keyspace string) string {
	if ks := f.keyspaces[keyspace]; ks != nil {
		return ks.Workload
	}
	return ""
}

// settings that count in a keyspace.
func (f planFacts) settings(keyspace string) settings.Values {
	if ks := f.keyspaces[keyspace]; ks != nil {
		return f.values.Of(ks.Settings)
	}
	return f.values
}
