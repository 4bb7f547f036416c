package dispatcher

import (
	"context"
	"slices"
	"time"

	"github.com/spanward/spanward/operator"
)

// group acts on the sources of a merge together. What happens to one of them goes to its merger, which gives each back to its
// own actor in the end.
type group struct {
	merger operator.Merger
	// entries are the sources, as the merger counts them.
	entries []*entry
}

// about is an event of one source, as the merger takes it.
func (g *group) about(e *entry, ev operator.Event) operator.Event {
	switch ev.(type) {
	case operator.Stop, operator.AskMerge, operator.AskRevoke:
		return ev
	}
	return operator.OfMember{Index: slices.Index(g.entries, e), Event: ev}
}

func (g *group) refs() []operator.Ref {
	out := make([]operator.Ref, len(g.entries))
	for n, e := range g.entries {
		out[n] = e.ref
	}
	return out
}

// startGroup begins a merge of the spans of an ask.
func (l *loop) startGroup(ctx context.Context, term int64, o order, members []member) {
	g := &group{}
	var actors []operator.Actor
	var spans []operator.Span
	var from []Position
	for _, m := range members {
		e := l.entry(m.span.Ref)
		e.learn(o)
		e.group = g
		g.entries = append(g.entries, e)
		actors, spans, from = append(actors, e.actor), append(spans, m.span), append(from, m.from)
	}
	env := l.env
	env.Now = time.Now()
	m, effects := operator.NewMerger(env, actors, spans, from, term)
	l.goOn(ctx, g, m, effects)
}

func (l *loop) feedGroup(ctx context.Context, g *group, ev operator.Event) {
	env := l.env
	env.Now = time.Now()
	m, effects := g.merger.Step(env, ev)
	l.goOn(ctx, g, m, effects)
}

// goOn takes the next merger of a group and does what it has decided, in order. The group is over with its merger: what it
// has not given back by then was never its own.
func (l *loop) goOn(ctx context.Context, g *group, m operator.Merger, effects []operator.Effect) {
	moved := m.Phase != g.merger.Phase
	g.merger = m
	for n, a := range m.Members {
		l.turnInto(g.entries[n], a)
		if moved {
			l.says.moved(g.entries[n].ref)
		}
	}
	for _, f := range effects {
		switch f := f.(type) {
		case operator.On:
			l.carryOut(ctx, g.entries[f.Index], []operator.Effect{f.Effect})
		case operator.Leave:
			l.leave(ctx, g.entries[f.Index], f)
		case operator.Send:
			l.pending.add(request{refs: g.refs(), group: g, send: f, points: transactionOfGroup(m)})
		case operator.Become:
			l.become(ctx, g.entries[0].order, f)
		}
	}
	if m.Phase != operator.MergeOver {
		return
	}
	for _, e := range g.entries {
		if e.group == g {
			e.group = nil
			l.forgetIdle(e)
		}
	}
}

// leave lets a source go on with its own actor.
func (l *loop) leave(ctx context.Context, e *entry, f operator.Leave) {
	e.group = nil
	l.turnInto(e, f.Actor)
	l.carryOut(ctx, e, f.Effects)
	l.forgetIdle(e)
}
