package dispatcher

import (
	"context"
	"fmt"
	"maps"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
)

// maxConfirm spans are read back in one transaction: two keys each, and etcd takes 128.
const maxConfirm = 60

// confirming gathers the spans that the leader has found running here and not in etcd.
type confirming struct {
	refs map[operator.Ref]struct{}
	// busy: a read is under way.
	busy bool
}

// confirmation is what a linearizable read says of a span.
type confirmation struct {
	ref operator.Ref
	// revision of the read.
	revision int64
	// ours: the record or a claim names this session.
	ours bool
}

func newConfirming() confirming { return confirming{refs: map[operator.Ref]struct{}{}} }

func (c *confirming) add(r operator.Ref) { c.refs[r] = struct{}{} }

// checkNext reads the next spans back, one transaction at a time.
func (l *loop) checkNext(ctx context.Context) {
	c := &l.confirm
	if c.busy || len(c.refs) == 0 {
		return
	}
	refs := slices.Collect(maps.Keys(c.refs))
	refs = refs[:min(len(refs), maxConfirm)]
	for _, r := range refs {
		delete(c.refs, r)
	}
	c.busy = true
	l.calls.Go(func() {
		found, err := l.readBack(ctx, refs)
		if err != nil {
			// The leader asks again as long as it sees a difference.
			l.log.Warn("spans cannot be read back", zap.Int("spans", len(refs)), zap.Error(err))
		}
		select {
		case l.confirmed <- found:
		case <-ctx.Done():
		}
	})
}

func (l *loop) readBack(ctx context.Context, refs []operator.Ref) ([]confirmation, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var gets []clientv3.Op
	for _, r := range refs {
		gets = append(gets,
			clientv3.OpGet(l.env.Layout.Span(r.Keyspace, r.ID)), clientv3.OpGet(l.env.Layout.Operator(r.Keyspace, r.ID)))
	}
	resp, err := l.d.cfg.Client.Txn(ctx).Then(gets...).Commit()
	if err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	out := make([]confirmation, len(refs))
	for n, r := range refs {
		out[n] = confirmation{ref: r, revision: resp.Header.Revision}
		for _, kv := range resp.Responses[2*n].GetResponseRange().Kvs {
			s, err := record.DecodeSpan(kv.Value)
			// What cannot be read is no reason to stop.
			out[n].ours = err != nil || l.env.Me.Owns(s)
		}
		for _, kv := range resp.Responses[2*n+1].GetResponseRange().Kvs {
			c, err := record.DecodeClaim(kv.Value)
			out[n].ours = out[n].ours || err != nil || c.Session == l.env.Me.Session
		}
	}
	return out, nil
}

// checked ends what nobody knows. What runs rightly, or does not run at all, is reported again.
func (l *loop) checked(ctx context.Context, found []confirmation) {
	l.confirm.busy = false
	for _, c := range found {
		e := l.entries[c.ref]
		switch {
		case e == nil:
			l.says.ended(c.ref)
		case c.ours:
			l.says.moved(c.ref)
		default:
			l.feed(ctx, e, input{event: operator.Disowned{Revision: c.revision}})
		}
	}
}
