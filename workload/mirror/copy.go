package mirror

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/spanward/spanward/span"
)

// copiesInFlight is how many transactions of a copy run at once. Their order does not matter: they write different
// keys, all of one source revision, and the range counts as copied only when all have been answered.
const copiesInFlight = 4

// copy makes the destination equal to the listing, writing only what differs. Destination pages are read as they are
// at that moment: nobody else may write there, and what this copy writes lies behind the pages that it reads.
//
// After an error it is called again once the sink is settled, and compares anew: what had been written before is equal
// then and not written twice.
func (s *etcdSink) copy(ctx context.Context, r span.Range, src listing, seen func(item)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(copiesInFlight)
	w := &copyWriter{sink: s, group: g}
	have := listing{kv: s.f.kv, name: func(key string) (string, bool) {
		_, ok := s.m.back(key)
		return key, ok
	}}
	err := compare(src.items(ctx, r), have.items(ctx, s.m.dest(r)), s.leases.on(),
		seen,
		func(d difference) error { return w.write(ctx, d) })
	if err == nil {
		err = w.flush(ctx)
	}
	// A write that failed first has cancelled the comparison: it is the one to tell.
	if failed := g.Wait(); failed != nil {
		return failed
	}
	return err
}

// copyWriter gathers differences into transactions.
type copyWriter struct {
	sink  *etcdSink
	group *errgroup.Group
	ops   []clientv3.Op
	from  []group // what each operation is made from
	bytes int
}

// write adds one difference.
func (w *copyWriter) write(ctx context.Context, d difference) error {
	g := w.sink.repair(d)
	ops, err := w.sink.puts(ctx, []group{g})
	if err != nil {
		return err
	}
	size := g.bytes(w.sink.m)
	if len(w.ops) >= w.sink.ops || w.bytes+size > w.sink.bytes {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	w.ops, w.from, w.bytes = append(w.ops, ops...), append(w.from, g), w.bytes+size
	return nil
}

// repair is the change that ends a difference.
func (s *etcdSink) repair(d difference) group {
	if d.want == nil {
		key, _ := s.m.back(d.have.key)
		return group{changes: []change{{key: key}}}
	}
	return group{rev: d.want.rev, changes: []change{{key: d.want.source, value: d.want.value, put: true, lease: d.want.lease}}}
}

// flush sends what was gathered; it waits while enough is in flight.
func (w *copyWriter) flush(ctx context.Context) error {
	if len(w.ops) == 0 {
		return nil
	}
	ops, from := w.ops, w.from
	w.ops, w.from, w.bytes = nil, nil, 0
	w.group.Go(func() error { return w.sink.copyOps(ctx, ops, from) })
	return ctx.Err()
}

// copyOps writes some operations of a copy, in halves if they are too large together.
func (s *etcdSink) copyOps(ctx context.Context, ops []clientv3.Op, gs []group) error {
	err := s.write(ctx, ops)
	switch {
	case err == nil || errors.Is(err, errFenced):
		return err
	case isLeaseGone(err):
		s.leases.forget(gs)
		return err
	case !tooLarge(err):
		return err
	case len(ops) == 1:
		return unfit(gs[0], s.m, err)
	}
	half := len(ops) / 2
	if err := s.copyOps(ctx, ops[:half], gs[:half]); err != nil {
		return err
	}
	return s.copyOps(ctx, ops[half:], gs[half:])
}
