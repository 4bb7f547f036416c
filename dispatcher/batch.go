package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

// request is one part on its way to etcd. A span has at most one, so the queue is as long as there are spans.
type request struct {
	// refs are the spans that it is about.
	refs []operator.Ref
	// The answer goes to one span, or to a group.
	to     *entry
	group  *group
	send   operator.Send
	points failpoints
}

// pending gathers parts. Those of one batch share their outer compares: the term that asked, or none.
type pending struct {
	byTerm   map[int64][]request
	inFlight int
	// since is when the oldest of the gathered parts came.
	since time.Time
}

func newPending() pending { return pending{byTerm: map[int64][]request{}} }

func (p *pending) add(r request) {
	if len(p.byTerm) == 0 {
		p.since = time.Now()
	}
	p.byTerm[r.send.Term] = append(p.byTerm[r.send.Term], r)
}

// flush sends batches that are full, and others if nothing is in flight or they have waited long enough: etcd's own
// latency decides how much travels together. It returns how long the rest may wait.
func (l *loop) flush(ctx context.Context, now time.Time) time.Duration {
	p := &l.pending
	rest := linger - now.Sub(p.since)
	for term, list := range p.byTerm {
		for len(list) > 0 && p.inFlight < maxInFlight && (len(list) >= etcdx.MaxParts || p.inFlight == 0 || rest <= 0) {
			list = list[l.launch(ctx, term, list):]
		}
		if p.byTerm[term] = list; len(list) == 0 {
			delete(p.byTerm, term)
		}
	}
	if len(p.byTerm) == 0 || p.inFlight == maxInFlight {
		return idle
	}
	return rest
}

// answers is what a batch came to.
type answers struct {
	requests []request
	results  []txn.Result
	err      error
}

// launch sends as much of list as one transaction takes, and returns how much that is.
func (l *loop) launch(ctx context.Context, term int64, list []request) int {
	list = list[:min(len(list), etcdx.MaxParts, together(list))]
	parts := make([]txn.Part, len(list))
	for n, r := range list {
		parts[n] = r.send.Part
	}
	outer := []txn.Cmp{operator.Acting(l.env.Layout, l.env.Me)}
	if term != 0 {
		outer = append(outer, operator.Leading(l.env.Layout, term))
	}
	batch := etcdx.Chunk(outer, parts)[0]
	list = list[:len(batch.Parts)]
	l.pending.inFlight++
	l.calls.Go(func() {
		if a, ok := l.settle(ctx, list, batch); ok {
			l.answers <- a // has room for all that are in flight
		}
	})
	return len(list)
}

// together is how many of the first requests may share a transaction, as far as they say.
func together(list []request) int {
	n := slices.IndexFunc(list, func(r request) bool { return r.send.Alone })
	switch n {
	case -1:
		return len(list)
	case 0:
		return 1
	}
	return n
}

// settle sends a batch until its outcome is definite. ok is false if the process or the session ends here.
func (l *loop) settle(ctx context.Context, list []request, b txn.Batch) (a answers, ok bool) {
	for _, r := range list {
		if l.d.hit(ctx, r.points.before) != nil {
			return a, false
		}
	}
	if !l.me.mayAct() {
		l.lose(errNoRight)
		return a, false
	}
	a.requests = list
	a.results, a.err = etcdx.Settle(ctx, l.d.cfg.Client, l.me.lease.ID(), b, etcdx.Options{})
	for _, r := range list {
		if l.d.hit(ctx, r.points.after) != nil {
			return a, false
		}
	}
	l.d.stats.sent(b, a.results)
	return a, ctx.Err() == nil
}

var (
	errNoRight = errors.New("the right to act is over")
	errNodeKey = errors.New("the node key is gone")
)

// answered feeds the results of a batch to its actors.
func (l *loop) answered(ctx context.Context, a answers) {
	l.pending.inFlight--
	if a.err != nil {
		// Not an outage, which Settle waits for: the session's lease is gone, or etcd will never take this.
		l.lose(fmt.Errorf("a transaction was refused for good: %w", a.err))
		return
	}
	for n, r := range a.results {
		if r.Outcome == txn.Fenced && r.Found[l.env.Layout.Node(l.env.Me.Node)].Create != l.env.Me.Session {
			l.lose(errNodeKey)
			return
		}
		l.says.revision = max(l.says.revision, r.Revision)
		l.answer(ctx, a.requests[n], r)
	}
}

// answer hands a result on.
func (l *loop) answer(ctx context.Context, req request, r txn.Result) {
	done, mod := r.Outcome == txn.Done, r.Revision
	if r.Earlier {
		mod = r.Found[req.send.Key].Mod
	}
	members := make([]operator.Answer, len(req.refs))
	for n, ref := range req.refs {
		members[n] = l.read(ref, r.Found)
		members[n].Done, members[n].Mod = done, mod
	}
	if req.group != nil {
		l.feedGroup(ctx, req.group, operator.MergeAnswer{Done: done, Mod: mod, Members: members})
		return
	}
	l.feed(ctx, req.to, input{event: members[0]})
}

// read is what a refusal has found of one span.
func (l *loop) read(ref operator.Ref, found txn.Found) (a operator.Answer) {
	log := l.logOf(ref)
	if kv, ok := found[l.env.Layout.Span(ref.Keyspace, ref.ID)]; ok {
		s, err := record.DecodeSpan(kv.Value)
		if err == nil {
			a.Found = &operator.Span{Ref: ref, Span: s, Mod: kv.Mod}
		} else {
			log.Error("span record cannot be read", zap.Error(err), zap.Int64("revision", kv.Mod))
		}
	}
	if kv, ok := found[l.env.Layout.Operator(ref.Keyspace, ref.ID)]; ok {
		c, err := record.DecodeClaim(kv.Value)
		if err == nil {
			a.Held = &operator.Claim{Claim: c, Mod: kv.Mod}
		} else {
			log.Error("claim cannot be read", zap.Error(err), zap.Int64("revision", kv.Mod))
		}
	}
	return a
}
