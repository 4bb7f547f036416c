package dispatcher

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/operator"
)

// carryOut does what an actor has decided, in order. Effects after an Abort wait for its end.
func (l *loop) carryOut(ctx context.Context, e *entry, effects []operator.Effect) {
	for n, f := range effects {
		switch f := f.(type) {
		case operator.Send:
			l.pending.add(request{refs: []operator.Ref{e.ref}, to: e, send: f, points: transactionOf(e.actor)})
		case operator.Open:
			l.open(ctx, e, f)
		case operator.GiveUp:
			if e.run != nil {
				l.runs.giveUp(e.run)
			}
		case operator.Close, operator.CloseAt, operator.Hold, operator.Interrupt:
			l.end(ctx, e, f)
		case operator.Abort:
			if e.run == nil {
				continue
			}
			l.logOf(e.ref).Warn("instance aborted", zap.String("error", e.actor.Why))
			e.aborting, e.effects = true, effects[n+1:]
			l.runs.abort(ctx, e.run)
			return
		case operator.Say:
			l.say(e, f)
		case operator.Forget:
			l.forget(e)
		case operator.Become:
			l.become(ctx, e.order, f)
		}
	}
}

// end calls what leads to the end of an instance.
func (l *loop) end(ctx context.Context, e *entry, f operator.Effect) {
	switch f := f.(type) {
	case operator.Close:
		l.runs.begin(ctx, e.run, closing(Position{}, f.Try, closingOf(e.actor)))
	case operator.CloseAt:
		l.runs.begin(ctx, e.run, closing(f.At, f.Try, closingOf(e.actor)))
	case operator.Hold:
		l.runs.begin(ctx, e.run, holding(f.Try))
	case operator.Interrupt:
		l.logOf(e.ref).Info("closing interrupted", zap.String("operator", e.actor.Claim.Operator))
		l.runs.interrupt(ctx, e.run)
	}
}

// become makes entries of the spans that a swap has put in the place of others, which open at once.
func (l *loop) become(ctx context.Context, o order, f operator.Become) {
	env := l.env
	env.Now = time.Now()
	for _, c := range f.Children {
		if e := l.entries[c.Span.Ref]; e != nil {
			// Asked about too early: what it has sent cannot succeed any more.
			l.forget(e)
		}
		e := l.entry(c.Span.Ref)
		actor, effects := operator.Inherit(env, c)
		e.order = o
		e.order.reason = "made of " + strings.Join(c.Span.Parents, ", ")
		l.turnInto(e, actor)
		l.carryOut(ctx, e, effects)
		if l.stopping {
			l.feed(ctx, e, input{event: operator.Stop{}})
		}
	}
}

// forget drops an actor, once.
func (l *loop) forget(e *entry) {
	if l.entries[e.ref] != e {
		return
	}
	delete(l.entries, e.ref)
	l.d.stats.leave(e.actor.Phase)
	l.says.ended(e.ref)
}

func (l *loop) open(ctx context.Context, e *entry, f operator.Open) {
	if !l.me.mayAct() {
		l.lose(errNoRight)
		return
	}
	l.logOf(e.ref).Info("opening", zap.Uint64("token", f.Token), zap.String("reason", e.order.reason))
	e.status, e.broken = Status{}, ""
	e.run = &run{ref: e.ref, task: Task{
		Cluster: l.env.Layout.ClusterName(), Keyspace: e.ref.Keyspace, Span: e.ref.ID, Range: e.actor.Span.Range,
		Node: l.env.Me.Node, Token: f.Token, From: f.From, Parents: e.actor.Span.Parents, Settings: e.order.settings,
	}}
	w, ok := l.d.workloads[e.order.workload]
	if !ok {
		w = missing(l.unknown(e.order.workload))
	}
	l.runs.open(ctx, e.run, w, reporter{l.news, e.run})
}

// missing stands for a workload that this process does not have: what it is asked to open fails.
type missing string

func (m missing) Open(context.Context, Task, Reporter) (Instance, error) {
	return nil, errors.New(string(m))
}

// say keeps the answer to an ask for the leader, and logs what a person would want to know.
func (l *loop) say(e *entry, s operator.Say) {
	log := l.logOf(e.ref).With(zap.String("operator", s.Operator))
	switch s.Result {
	case operator.ResultClaimed:
		log.Debug("claimed", zap.Int64("revision", e.actor.Claim.Mod))
	case operator.ResultDone:
		l.logDone(log, e)
	case operator.ResultRefused, operator.ResultMissing:
		log.Info("refused", zap.String("why", s.Err), zap.String("holder", s.Holder))
	case operator.ResultOpenFailed:
		log.Warn("released after a failure", zap.String("error", s.Err))
	case operator.ResultCloseFailed:
		log.Warn("close failed", zap.String("error", s.Err), zap.Int("try", e.tries()))
	case operator.ResultAborted:
		log.Info("opening given up as asked")
	case operator.ResultRevoked:
		log.Info("operator ended early, as asked")
	}
	l.says.result(e.ref, s)
}

// tries counts the calls to end the instance that have failed in a row.
func (e *entry) tries() int {
	if g := e.group; g != nil {
		return g.merger.Seats[slices.Index(g.entries, e)].Tries
	}
	return e.actor.Tries
}

func (l *loop) logDone(log *zap.Logger, e *entry) {
	switch e.actor.Phase {
	case operator.Running, operator.Stopping:
		log.Info("span runs", zap.Uint64("token", e.actor.Token), zap.Int64("revision", e.actor.Span.Mod))
	default:
		log.Info("span closed and released")
	}
}

func (l *loop) logOf(r operator.Ref) *zap.Logger {
	return l.log.With(zap.String("keyspace", r.Keyspace), zap.String("span", string(r.ID)))
}
