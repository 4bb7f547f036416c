package mirror

import (
	"context"
	"errors"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// etcdSink writes to an etcd. Every write compares the revision of the own fence, which anyone who takes over any key
// of the range changes, and settle changes as well: so an unanswered write cannot land after either.
type etcdSink struct {
	f      fencer
	m      mapping
	seg    segment
	rev    int64 // of the own fence
	leases *leaseCopier
	// ops and bytes shrink when a destination turns out to have lower limits than etcd's defaults.
	ops, bytes int
}

func (s *etcdSink) state() segment           { return s.seg }
func (s *etcdSink) limits() (ops, bytes int) { return s.ops, s.bytes }
func (s *etcdSink) close()                   {}

// apply writes the groups and the position of the last one in one transaction.
func (s *etcdSink) apply(ctx context.Context, gs []group) error {
	ops, err := s.puts(ctx, gs)
	if err != nil {
		return err
	}
	at := gs[len(gs)-1].rev
	err = s.write(ctx, append(ops, s.atOp(at)))
	if err == nil {
		s.seg.At = at
		return nil
	}
	if isLeaseGone(err) {
		s.leases.forget(gs)
	}
	if !tooLarge(err) {
		return err
	}
	if len(gs) == 1 {
		return unfit(gs[0], s.m, err)
	}
	s.ops, s.bytes = max(s.ops/2, 1), max(s.bytes/2, 1)
	return s.apply(ctx, gs[:(len(gs)+1)/2])
}

func (s *etcdSink) atOp(at int64) clientv3.Op {
	return clientv3.OpPut(s.f.keys.at(s.seg.ID), strconv.FormatInt(at, 10))
}

// puts translates changes.
func (s *etcdSink) puts(ctx context.Context, gs []group) ([]clientv3.Op, error) {
	var ops []clientv3.Op
	for _, g := range gs {
		for _, c := range g.changes {
			op, err := s.op(ctx, c)
			if err != nil {
				return nil, err
			}
			if op.KeyBytes() == nil || len(op.KeyBytes()) == 0 {
				return nil, unfit(g, s.m, errNoName)
			}
			ops = append(ops, op)
		}
	}
	return ops, nil
}

func (s *etcdSink) op(ctx context.Context, c change) (clientv3.Op, error) {
	key, _ := s.m.key(c.key)
	if !c.put {
		return clientv3.OpDelete(key), nil
	}
	lease, err := s.leases.get(ctx, c.lease)
	return clientv3.OpPut(key, string(c.value), clientv3.WithLease(lease)), err
}

// write runs operations in one fenced transaction. errFenced and sizes are definite answers.
func (s *etcdSink) write(ctx context.Context, ops []clientv3.Op) error {
	ops, ok := nested(ops, txnSlots)
	if !ok {
		return errTooMany
	}
	r, err := s.f.txn(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(s.f.keys.fence(s.seg.ID)), "=", s.rev)}, ops, nil)
	if err != nil {
		return err
	}
	if !r.Succeeded {
		return errFenced
	}
	return nil
}

// settle reads back what is there.
func (s *etcdSink) settle(ctx context.Context) error {
	seg, rev, err := s.f.settle(ctx, s.seg.ID, s.seg.Token)
	if err != nil {
		return err
	}
	s.seg, s.rev = seg, rev
	return nil
}

func (s *etcdSink) move(ctx context.Context, at int64) error {
	if err := s.write(ctx, []clientv3.Op{s.atOp(at)}); err != nil {
		return err
	}
	s.seg.At = at
	return nil
}

func (s *etcdSink) store(ctx context.Context, parts []part, leased bool) error {
	next := s.seg
	next.Parts, next.Leased = parts, leased
	value, err := next.encode()
	if err != nil {
		return err
	}
	key := s.f.keys.fence(s.seg.ID)
	r, err := s.f.txn(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", s.rev)}, []clientv3.Op{clientv3.OpPut(key, value)}, nil)
	if err != nil {
		return err
	}
	if !r.Succeeded {
		return errFenced
	}
	s.seg, s.rev = next, r.Header.Revision
	return nil
}

var (
	// errNoName is about a source key that is exactly the source-prefix, without a dest-prefix.
	errNoName  = errors.New("without its prefix the key is empty, and etcd has no empty key: set a dest-prefix")
	errTooMany = errors.New("too many operations for one transaction of any shape")
)
