package dispatcher

import (
	"context"

	"go.uber.org/zap"

	"github.com/spanward/spanward/operator"
)

// carryOut does what an actor has decided, in order. Effects after an Abort wait for its end.
func (l *loop) carryOut(ctx context.Context, e *entry, effects []operator.Effect) {
	for n, f := range effects {
		switch f := f.(type) {
		case operator.Send:
			l.pending.add(request{entry: e, send: f, points: transactionOf(e.actor)})
		case operator.Open:
			l.open(ctx, e, f)
		case operator.GiveUp:
			if e.run != nil {
				l.runs.giveUp(e.run)
			}
		case operator.Close:
			l.runs.close(ctx, e.run, f.Try, closingOf(e.actor))
		case operator.Abort:
			if e.run == nil {
				continue
			}
			l.logOf(e).Warn("instance aborted", zap.String("error", e.actor.Why))
			e.aborting, e.effects = true, effects[n+1:]
			l.runs.abort(ctx, e.run)
			return
		case operator.Say:
			l.say(e, f)
		case operator.Forget:
			l.forget(e)
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
	l.logOf(e).Info("opening", zap.Uint64("token", f.Token), zap.String("reason", e.order.reason))
	e.run = &run{ref: e.ref, task: Task{
		Cluster: l.env.Layout.ClusterName(), Keyspace: e.ref.Keyspace, Span: e.ref.ID, Range: e.actor.Span.Range,
		Node: l.env.Me.Node, Token: f.Token, From: f.From, Parents: e.actor.Span.Parents, Settings: e.order.settings,
	}}
	l.runs.open(ctx, e.run, l.d.workloads[e.order.workload], reporter{l.news, e.run})
}

// say keeps the answer to an ask for the leader, and logs what a person would want to know.
func (l *loop) say(e *entry, s operator.Say) {
	log := l.logOf(e).With(zap.String("operator", s.Operator))
	switch s.Result {
	case operator.ResultClaimed:
		log.Debug("claimed", zap.Int64("revision", e.actor.Claim.Mod))
	case operator.ResultDone:
		l.logDone(log, e)
	case operator.ResultRefused:
		log.Info("refused", zap.String("why", s.Err), zap.String("holder", s.Holder))
	case operator.ResultOpenFailed:
		log.Warn("released after a failure", zap.String("error", s.Err))
	case operator.ResultCloseFailed:
		log.Warn("close failed", zap.String("error", s.Err), zap.Int("try", e.actor.Tries))
	case operator.ResultAborted:
		log.Info("opening given up as asked")
	}
	l.says.result(e.ref, s)
}

func (l *loop) logDone(log *zap.Logger, e *entry) {
	switch e.actor.Phase {
	case operator.Running, operator.Stopping:
		log.Info("span runs", zap.Uint64("token", e.actor.Token), zap.Int64("revision", e.actor.Span.Mod))
	default:
		log.Info("span closed and released")
	}
}

func (l *loop) logOf(e *entry) *zap.Logger {
	return l.log.With(zap.String("keyspace", e.ref.Keyspace), zap.String("span", string(e.ref.ID)))
}
