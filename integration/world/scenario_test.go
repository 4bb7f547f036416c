package world

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

const ks = "ks"

// scenario is one operator under test: ask brings it on its way in a cluster of two running spans.
type scenario struct {
	name string
	// ask must be repeatable, like a user who repeats a command with its request id.
	ask func(w *World, spans []string) error
	// before is done before anything can go wrong; nil is nothing.
	before func(w *World, spans []string) error
	// spans that run in the end.
	spans int
	// settled says what is not yet as it should be in the end, if that is not spans that run.
	settled func(w *World) string
	// points are the failpoints that the scenario passes.
	points []string
}

func (s scenario) unsettled(w *World) string {
	if s.settled != nil {
		return s.settled(w)
	}
	return w.unsettled(ks, s.spans)
}

// inBubble runs f in a bubble with a cluster: two maintainers, three dispatchers, a keyspace of two running spans.
func inBubble(t *testing.T, f func(w *World, spans []string)) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t)
		w.Maintainer("m1")
		w.Maintainer("m2")
		for _, n := range []string{"d1", "d2", "d3"} {
			w.Dispatcher(n)
		}
		w.create(ks, "a:b", "b:c")
		w.calm()
		w.Until("two spans running", func() string { return w.unsettled(ks, 2) })
		f(w, w.ids(ks))
	})
}

func (w *World) ctx() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

func (w *World) create(name string, ranges ...string) {
	w.t.Helper()
	if err := w.tryCreate(name, ranges...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *World) tryCreate(name string, ranges ...string) error {
	req := &controlv1.CreateKeyspaceRequest{RequestId: "create-" + name, Name: name, Workload: sinkName}
	for _, r := range ranges {
		p, err := span.ParseRange(r)
		if err != nil {
			return err
		}
		req.Ranges = append(req.Ranges, &controlv1.Range{Start: []byte(p.Start), End: []byte(p.End)})
	}
	ctx, cancel := w.ctx()
	defer cancel()
	// The first dispatchers may not have registered yet, and then nobody offers the workload.
	for {
		_, err := w.Control().CreateKeyspace(ctx, req)
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// ids are the spans of a keyspace in key order.
func (w *World) ids(name string) []string {
	w.t.Helper()
	ctx, cancel := w.ctx()
	defer cancel()
	list, err := w.cli.ListSpans(ctx, &controlv1.ListSpansRequest{Keyspace: name})
	if err != nil {
		w.t.Fatal(err)
	}
	var ids []string
	for _, s := range list {
		ids = append(ids, s.Id)
	}
	return ids
}

// unsettled says what is not yet as it should be: n spans in the keyspace, each owned by a present session, without
// operator or claim, with a live instance at its owner.
func (w *World) unsettled(name string, n int) string {
	ctx, cancel := w.ctx()
	defer cancel()
	c := w.etcd.Client()
	spans, err := c.Get(ctx, w.layout.Spans(name), clientv3.WithPrefix())
	if err != nil {
		return err.Error()
	}
	claims, err := c.Get(ctx, w.layout.Operators(name), clientv3.WithPrefix())
	if err != nil {
		return err.Error()
	}
	if len(spans.Kvs) != n || len(claims.Kvs) > 0 {
		return fmt.Sprintf("%d spans, %d claims", len(spans.Kvs), len(claims.Kvs))
	}
	running := w.sink.running()
	for _, kv := range spans.Kvs {
		s, err := record.DecodeSpan(kv.Value)
		if err != nil {
			return err.Error()
		}
		key, err := w.layout.Parse(string(kv.Key))
		if err != nil {
			return err.Error()
		}
		node, err := c.Get(ctx, w.layout.Node(s.Owner.Node))
		if err != nil {
			return err.Error()
		}
		switch {
		case s.Intent != nil:
			return fmt.Sprintf("%s: %s in flight", key.Span, s.Intent.Operator)
		case s.Owner.Nobody():
			return fmt.Sprintf("%s: nobody owns it", key.Span)
		case len(node.Kvs) == 0 || node.Kvs[0].CreateRevision != s.Owner.Session:
			return fmt.Sprintf("%s: %s is gone", key.Span, s.Owner.Node)
		case running[key.Span] != s.Owner.Node:
			return fmt.Sprintf("%s: owned by %s, running at %q", key.Span, s.Owner.Node, running[key.Span])
		}
	}
	return ""
}

// record of a span, false if there is none.
func (w *World) record(id string) (record.Span, bool) {
	ctx, cancel := w.ctx()
	defer cancel()
	r, err := w.etcd.Client().Get(ctx, w.layout.Span(ks, span.ID(id)))
	if err != nil || len(r.Kvs) == 0 {
		return record.Span{}, false
	}
	s, err := record.DecodeSpan(r.Kvs[0].Value)
	return s, err == nil
}

// owner is the node that owns the span, "" if nobody does.
func (w *World) owner(id string) string {
	s, _ := w.record(id)
	return s.Owner.Node
}

// actor is the dispatcher that acts on the span, or else its owner, or else its last one.
func (w *World) actor(id string) *Proc {
	ctx, cancel := w.ctx()
	defer cancel()
	c := w.etcd.Client()
	if r, err := c.Get(ctx, w.layout.Operator(ks, span.ID(id))); err == nil && len(r.Kvs) > 0 {
		if cl, err := record.DecodeClaim(r.Kvs[0].Value); err == nil {
			return w.Proc(cl.Node)
		}
	}
	if o := w.owner(id); o != "" {
		return w.Proc(o)
	}
	return w.Proc("d1")
}

// outcomes are the finished operators of a keyspace.
func (w *World) outcomes(name string) map[string]*record.History {
	ctx, cancel := w.ctx()
	defer cancel()
	out := map[string]*record.History{}
	r, err := w.etcd.Client().Get(ctx, w.layout.HistoryOf(name), clientv3.WithPrefix())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, kv := range r.Kvs {
		h, err := record.DecodeHistory(kv.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		out[h.Intent.RequestID] = &h
	}
	return out
}
