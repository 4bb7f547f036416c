package world

import (
	"context"
	"fmt"
	"slices"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

func askSplitOnce(w *World, spans []string) error {
	return w.call(func(ctx context.Context) error {
		_, err := w.Control().SplitSpan(ctx, &controlv1.SplitSpanRequest{
			RequestId: "r1", Keyspace: ks, Span: spans[0], At: [][]byte{[]byte("a3"), []byte("a6")},
		})
		return err
	})
}

// pending reports whether the keyspace's own operator is accepted and not over.
func (w *World) pending() bool {
	ctx, cancel := w.ctx()
	defer cancel()
	r, err := w.etcd.Client().Get(ctx, w.layout.Keyspace(ks))
	if err != nil || len(r.Kvs) == 0 {
		return false
	}
	k, err := record.DecodeKeyspace(r.Kvs[0].Value)
	return err == nil && k.Pending != nil
}

// covered says what is wrong with the ranges of the spans: together they must be those that the keyspace was made of.
func (w *World) covered() (spans int, wrong string) {
	ctx, cancel := w.ctx()
	defer cancel()
	r, err := w.etcd.Client().Get(ctx, w.layout.Spans(ks), clientv3.WithPrefix())
	if err != nil {
		return 0, err.Error()
	}
	var all []span.Range
	for _, kv := range r.Kvs {
		s, err := record.DecodeSpan(kv.Value)
		if err != nil {
			return 0, err.Error()
		}
		all = append(all, s.Range)
	}
	_, _, overlap := span.Overlapping(all)
	if union := span.Union(all); overlap || !slices.Equal(union, []span.Range{{Start: "a", End: "c"}}) {
		return len(all), fmt.Sprintf("covered is %v, overlap %v", union, overlap)
	}
	return len(all), ""
}

// A keyspace is paused or deleted while a span of it is being split, or two are being merged, at rest or while somebody
// dies: both operators end, what is paused covers what it covered and runs again when it is resumed, and of what is deleted
// nothing is left.
func TestAKeyspaceIsPausedOrDeletedWithAnOperatorInFlight(t *testing.T) {
	victims := map[string]func(w *World, spans []string) []*Proc{
		"nobody":               func(*World, []string) []*Proc { return nil },
		"the leader":           func(w *World, _ []string) []*Proc { return []*Proc{w.Leader()} },
		"the owner":            func(w *World, spans []string) []*Proc { return []*Proc{w.actor(spans[0])} },
		"the leader and owner": func(w *World, spans []string) []*Proc { return []*Proc{w.Leader(), w.actor(spans[0])} },
	}
	operators := map[string]struct {
		ask   func(*World, []string) error
		nodes []string
	}{
		"split":            {askSplitOnce, []string{"d1", "d2"}},
		"merge, gathering": {askMergeOnce, []string{"d1", "d2"}},
		"merge on one":     {askMergeOnce, []string{"d1", "d1"}},
	}
	for _, verb := range []string{"pause", "delete"} {
		for name, op := range operators {
			for who, victim := range victims {
				t.Run(verb+"/"+name+"/"+who+" dies", func(t *testing.T) {
					inBubble(t, func(w *World, spans []string) {
						if err := onNode(op.nodes...)(w, spans); err != nil {
							t.Fatal(err)
						}
						w.slowClosing()
						if err := op.ask(w, spans); err != nil {
							t.Fatal(err)
						}
						w.Until("it is claimed", func() string {
							if w.unclaimed(spans[0]) != "" && w.unclaimed(spans[1]) != "" {
								return "no source is"
							}
							return ""
						})
						w.overtake(verb, victim(w, spans))
						if h := w.outcomes(ks)["r1"]; h == nil || h.Outcome == 0 {
							t.Errorf("what was in flight: %+v", h)
						}
						w.sound(verb)
					})
				})
			}
		}
	}
}

// overtake asks for another state while an operator is in flight, has somebody die once that is accepted, and waits for the
// end.
func (w *World) overtake(verb string, victims []*Proc) {
	w.t.Helper()
	asked := make(chan error, 1)
	go func() { asked <- w.change(verb, verb) }()
	w.Until(verb+" is accepted", func() string {
		if !w.pending() {
			return "it is not"
		}
		return ""
	})
	for _, p := range victims {
		p.kill()
	}
	if err := <-asked; err != nil {
		w.t.Fatal(err)
	}
}

// sound checks what a pause, or a delete, has left.
func (w *World) sound(verb string) {
	w.t.Helper()
	defer w.audit()
	if verb == "delete" {
		w.Until("nothing is left", w.notDeleted)
		return
	}
	n, wrong := w.covered()
	if wrong != "" {
		w.t.Error(wrong)
	}
	if now := w.sink.running(); len(now) > 0 {
		w.t.Errorf("instances run in what is paused: %v", now)
	}
	if err := w.change("resume", "resume"); err != nil {
		w.t.Fatal(err)
	}
	w.Until("it runs again", func() string { return w.unsettled(ks, n) })
}
