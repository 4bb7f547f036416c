package world

import (
	"context"
	"fmt"
	"slices"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
)

// operatorScenarios are those of splits and merges, and of operators that end early.
var operatorScenarios = []scenario{
	{name: "split", ask: askSplit, spans: 4, points: points("maintainer/split/accept", "maintainer/split/ask", "dispatcher/split/")},
	{name: "split without owner", ask: askSplitOwnerless, spans: 4, points: points("maintainer/split/swap")},
	{name: "merge", before: onNode("d1", "d2"), ask: askMerge, spans: 1, points: points("maintainer/merge/accept", "maintainer/merge/ask", "dispatcher/merge/")},
	{name: "merge without owners", ask: askMergeOwnerless, spans: 1, points: points("maintainer/merge/swap")},
	{name: "merge of what cannot choose", before: onNode("d3", "d3"), ask: askMerge, spans: 1, points: points("dispatcher/merge/close", "dispatcher/merge/swap")},
	{name: "cancel a closing", before: onNode("d1", "d2"), ask: askCancel(askMoveFrom("d1", "d3")), spans: 2, points: points("dispatcher/any/revoke-operator", "maintainer/cancel/ask")},
	{name: "cancel a merge", before: onNode("d1", "d1"), ask: askCancel(askMergeOnce), settled: mergedOrNot, points: points("dispatcher/any/revoke-operator", "maintainer/cancel/ask")},
	{name: "cancel before a claim", before: onNode("d1", "d2"), ask: askCancelQueued, settled: mergedOrNot, points: points("maintainer/cancel/accept")},
	{name: "supersede before a claim", before: onNode("d1", "d2"), ask: askSupersedeQueued, settled: removedOfMerge, points: points("maintainer/remove/accept")},
	{name: "late opening", ask: askLateOpening, spans: 3, points: points("maintainer/placement/abort", "dispatcher/placement/abort")},
	{name: "evict", before: onNode("d1", "d2"), ask: askEvict, spans: 2, points: points("maintainer/evict/")},
	{name: "drain", before: onNode("d1", "d1"), ask: askDrain, settled: drained, points: points("maintainer/node/", "maintainer/drain/")},
	{name: "balance", before: onNode("d1", "d1"), ask: askSettings("", "scheduler.balance", "on", "balance.cooldown", "1ms", "balance.warm-up", "1ms"), settled: balanced, points: points("maintainer/balance/")},
	{name: "split for load", ask: askSettings(ks, "split.load", "5", "split.after", "1s", "reshape.min-age", "1ms", "max-spans", "3"), spans: 3, points: points("maintainer/load/")},
	{name: "merge for load", before: onNode("d1", "d2"), ask: askSettings(ks, "merge.load", "25", "merge.after", "1s", "reshape.min-age", "1ms"), spans: 1, points: points("maintainer/load/")},
	{name: "balance gives way", ask: askGhost(record.ByBalance), spans: 2, points: points("maintainer/any/giveway")},
	{name: "config", ask: askConfig, settled: configured, points: points("maintainer/config/")},
	{name: "supersede a move", before: onNode("d1", "d2"), ask: askSupersede(askMoveFrom("d1", "d3")), spans: 1, points: points("dispatcher/any/revoke-operator", "maintainer/supersede/ask")},
	{name: "supersede a merge", before: onNode("d1", "d1"), ask: askSupersede(askMergeOnce), settled: removedOfMerge, points: points("dispatcher/any/revoke-operator", "maintainer/supersede/ask")},
}

// call repeats one changing command, with one request id, until it is answered.
func (w *World) call(do func(ctx context.Context) error) error {
	return w.repeat(func() error {
		ctx, cancel := w.ctx()
		defer cancel()
		return do(ctx)
	})
}

func (w *World) moveTo(request, id, to string) error {
	return w.call(func(ctx context.Context) error {
		_, err := w.Control().MoveSpan(ctx, &controlv1.MoveSpanRequest{RequestId: request, Keyspace: ks, Span: id, To: to})
		return err
	})
}

// onNode brings each of the spans to a node.
func onNode(nodes ...string) func(*World, []string) error {
	return func(w *World, spans []string) error {
		for n, id := range spans {
			if w.owner(id) == nodes[n] {
				continue
			}
			if err := w.moveTo("to-"+id, id, nodes[n]); err != nil {
				return err
			}
		}
		w.Until("the spans are where they shall be", func() string {
			for n, id := range spans {
				if w.owner(id) != nodes[n] {
					return id + " is at " + w.owner(id)
				}
			}
			return w.unsettled(ks, len(spans))
		})
		return nil
	}
}

// askSplit makes three spans of the first one, "a:b".
func askSplit(w *World, spans []string) error {
	err := w.call(func(ctx context.Context) error {
		_, err := w.Control().SplitSpan(ctx, &controlv1.SplitSpanRequest{
			RequestId: "r1", Keyspace: ks, Span: spans[0], At: [][]byte{[]byte("a3"), []byte("a6")},
		})
		return err
	})
	if err != nil {
		return err
	}
	return w.ended("r1")
}

// askSplitOwnerless kills the owner while it closes, so that nobody is left to make the children.
func askSplitOwnerless(w *World, spans []string) error {
	return w.withOwnersKilled(spans[:1], func() error { return askSplit(w, spans) })
}

func askMerge(w *World, spans []string) error {
	err := w.call(func(ctx context.Context) error {
		_, err := w.Control().MergeSpans(ctx, &controlv1.MergeSpansRequest{RequestId: "r1", Keyspace: ks, Spans: spans})
		return err
	})
	if err != nil {
		return err
	}
	return w.ended("r1")
}

func askMergeOwnerless(w *World, spans []string) error {
	return w.withOwnersKilled(spans, func() error { return askMerge(w, spans) })
}

// withOwnersKilled lets the owners close for long, and kills them as soon as an intent is in the record.
func (w *World) withOwnersKilled(spans []string, ask func() error) error {
	var owners []*Proc
	for _, id := range spans {
		p := w.Proc(w.owner(id))
		p.load.closeFor = time.Minute
		owners = append(owners, p)
	}
	asked := make(chan error, 1)
	go func() { asked <- ask() }()
	w.Until("the operator is accepted", func() string {
		if !w.intent(spans[0]) {
			return "no intent"
		}
		return ""
	})
	for _, p := range owners {
		p.kill()
	}
	return <-asked
}

// intent reports whether the span has an operator in flight, or exists no more.
func (w *World) intent(id string) bool {
	s, ok := w.record(id)
	return !ok || s.Intent != nil
}

// askMoveFrom moves the first span and does not wait for the end.
func askMoveFrom(_, to string) func(*World, []string) error {
	return func(w *World, spans []string) error { return w.moveTo("r1", spans[0], to) }
}

func askMergeOnce(w *World, spans []string) error {
	return w.call(func(ctx context.Context) error {
		_, err := w.Control().MergeSpans(ctx, &controlv1.MergeSpansRequest{RequestId: "r1", Keyspace: ks, Spans: spans})
		return err
	})
}

// slowClosing lets every dispatcher close for a while, so that there is something to take back.
func (w *World) slowClosing() {
	for _, name := range []string{"d1", "d2", "d3"} {
		w.Proc(name).load.closeFor = 10 * time.Second
	}
}

// askCancel begins an operator and cancels it while it closes. If it has ended meanwhile, since somebody died and it was
// carried on without closing, the refusal says so.
func askCancel(begin func(*World, []string) error) func(*World, []string) error {
	return func(w *World, spans []string) error {
		w.slowClosing()
		if err := begin(w, spans); err != nil {
			return err
		}
		id := w.operatorOf(spans[0])
		w.Until("it is claimed", func() string { return w.unclaimed(spans[0]) })
		err := w.call(func(ctx context.Context) error {
			_, err := w.Control().CancelOperator(ctx, &controlv1.CancelOperatorRequest{RequestId: "c1", Id: id})
			if err != nil && w.pastCommit(spans[0]) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
		return w.ended("r1")
	}
}

// askSupersede begins an operator and removes its first span while it closes.
func askSupersede(begin func(*World, []string) error) func(*World, []string) error {
	return func(w *World, spans []string) error {
		w.slowClosing()
		if err := begin(w, spans); err != nil {
			return err
		}
		w.Until("it is claimed", func() string { return w.unclaimed(spans[0]) })
		err := w.call(func(ctx context.Context) error {
			_, err := w.Control().RemoveSpan(ctx, &controlv1.RemoveSpanRequest{RequestId: "x1", Keyspace: ks, Span: spans[0]})
			if _, there := w.record(spans[0]); err != nil && !there && w.outcomes(ks)["x1"] == nil {
				return nil // it was merged before
			}
			return err
		})
		if err != nil {
			return err
		}
		return w.ended("r1")
	}
}

// asleep kills the owner of a span, so that until its lease is over nothing can happen to the operator that needs it.
func (w *World) asleep(id string, ask func() error) error {
	w.Proc(w.owner(id)).kill()
	return ask()
}

func (w *World) cancel(id string) error {
	return w.call(func(ctx context.Context) error {
		_, err := w.Control().CancelOperator(ctx, &controlv1.CancelOperatorRequest{RequestId: "c1", Id: id})
		if err != nil && w.outcomes(ks)["r1"] != nil {
			return nil
		}
		return err
	})
}

// askCancelQueued cancels a merge that waits for a node that was killed.
func askCancelQueued(w *World, spans []string) error {
	return w.asleep(spans[1], func() error {
		if err := askMergeOnce(w, spans); err != nil {
			return err
		}
		if err := w.cancel(w.operatorOf(spans[0])); err != nil {
			return err
		}
		return w.ended("r1")
	})
}

// askSupersedeQueued removes a source of such a merge.
func askSupersedeQueued(w *World, spans []string) error {
	return w.asleep(spans[1], func() error {
		if err := askMergeOnce(w, spans); err != nil {
			return err
		}
		err := w.call(func(ctx context.Context) error {
			_, err := w.Control().RemoveSpan(ctx, &controlv1.RemoveSpanRequest{RequestId: "x1", Keyspace: ks, Span: spans[0]})
			if _, there := w.record(spans[0]); err != nil && !there && w.outcomes(ks)["x1"] == nil {
				return nil // it was merged before
			}
			return err
		})
		if err != nil {
			return err
		}
		return w.ended("r1")
	})
}

// askLateOpening adds a span that the first node that is asked opens for ever.
func askLateOpening(w *World, spans []string) error {
	w.sink.hangNext(1)
	return askAdd(w, spans)
}

// askEvict evicts a node that does not see that it was, so that the leader has to end its session.
func askEvict(w *World, _ []string) error {
	p := w.Proc("d1")
	p.etcd.Pause()
	defer p.etcd.Resume()
	err := w.call(func(ctx context.Context) error {
		_, err := w.Control().EvictNode(ctx, &controlv1.EvictNodeRequest{RequestId: "e1", Name: "d1"})
		if !w.registered("d1") {
			return nil // its lease was over before anybody could evict it
		}
		return err
	})
	if err != nil {
		return err
	}
	w.Until("the session is over", func() string {
		if w.registered("d1") && w.Proc("d1") == p {
			return "the node key is there"
		}
		return ""
	})
	return nil
}

func (w *World) registered(node string) bool {
	ctx, cancel := w.ctx()
	defer cancel()
	r, err := w.etcd.Client().Get(ctx, w.layout.Node(node))
	return err != nil || len(r.Kvs) > 0
}

// unclaimed says that nobody acts on the span yet; one that is gone or that is handed off has been acted on.
func (w *World) unclaimed(id string) string {
	ctx, cancel := w.ctx()
	defer cancel()
	r, err := w.etcd.Client().Get(ctx, w.layout.Operators(ks)+id)
	if err == nil && len(r.Kvs) == 0 && !w.pastCommit(id) {
		return "nobody has claimed it"
	}
	return ""
}

// pastCommit: the operator of the span has ended, or only goes forward.
func (w *World) pastCommit(id string) bool {
	s, ok := w.record(id)
	return !ok || s.Intent == nil || s.Intent.HandedOff
}

func (w *World) operatorOf(id string) string {
	if s, ok := w.record(id); ok && s.Intent != nil {
		return s.Intent.Operator
	}
	for _, h := range w.outcomes(ks) {
		if slices.Contains(h.Intent.Spans, id) {
			return h.Intent.Operator
		}
	}
	return "none"
}

// mergedOrNot: the merge was cancelled, or was over before.
func mergedOrNot(w *World) string {
	switch h := w.outcomes(ks)["r1"]; {
	case h == nil:
		return "the merge has not ended"
	case h.Outcome == record.OutcomeDone:
		return w.unsettled(ks, 1)
	}
	return w.unsettled(ks, 2)
}

// removedOfMerge: only the first span is gone, or the merge was over before, and then it is in the merged one.
func removedOfMerge(w *World) string {
	h := w.outcomes(ks)["r1"]
	if h == nil {
		return "the merge has not ended"
	}
	if h.Outcome == record.OutcomeDone {
		return w.unsettled(ks, 1)
	}
	if x := w.outcomes(ks)["x1"]; x == nil || x.Outcome != record.OutcomeDone {
		return fmt.Sprintf("the remove has not ended: %v", x)
	}
	return w.unsettled(ks, 1)
}
