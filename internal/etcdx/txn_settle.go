package etcdx

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/internal/txn"
)

const (
	defaultTryTimeout = 2 * time.Second
	defaultBackoff    = 20 * time.Millisecond
	// maxBackoffFactor bounds the pause between two tries, in first pauses.
	maxBackoffFactor = 50
)

// Options say how patiently a batch is settled.
type Options struct {
	// TryTimeout bounds one sending. Zero means 2 s. A short one costs only repetitions: they cannot do harm, but
	// an overloaded etcd gets more of them.
	TryTimeout time.Duration
	// Backoff is the pause after the first try that was not answered. Zero means 20 ms. It doubles up to 50 times
	// that, with jitter.
	Backoff time.Duration
	// Resent says that the very same batch was sent before and its outcome is still unknown, so that even the first
	// answer may be about what the earlier sending did.
	Resent bool
}

// Settle sends the identical transaction until the answer is definite, or ctx ends. Compares are never refreshed: they
// belong to the plan that the batch carries out.
//
// Once a sending went unanswered, a failed compare may be the trace of that very sending. Then a part whose Mine
// recognises itself in what is found is Done, with Earlier set; otherwise it is Refused or Fenced.
//
// Its error wraps ErrUnknown if something may have been carried out, because ctx ended or because etcd gave a
// definite no only after an unanswered sending. Any other error is permanent: nothing was done, and the same
// batch will never be (too many operations, too large, not permitted, lease gone).
//
// Not promised: that an unanswered sending is over. It may land after Settle has returned, as long as its compares
// hold. A term or session that has ended never holds again, nor does a mod revision that has moved; but a compare
// that a key is absent does hold again once the key is deleted. Whoever was refused and sees his own record
// appear in a watch must treat it as his.
func Settle(ctx context.Context, kv clientv3.KV, lease clientv3.LeaseID, b txn.Batch, o Options) ([]txn.Result, error) {
	s := settling{kv: kv, lease: lease, batch: b, options: o.withDefaults(), lost: o.Resent}
	pause := s.options.pauses()
	for {
		res, err := s.try(ctx)
		if err == nil {
			return res, nil
		}
		if verdictOf(err) == never {
			return nil, s.failed(err)
		}
		if wait(ctx, pause.NextBackOff()) != nil {
			return nil, s.failed(fmt.Errorf("%w after: %w", context.Cause(ctx), err))
		}
	}
}

// settling is one call of Settle.
type settling struct {
	kv      clientv3.KV
	lease   clientv3.LeaseID
	batch   txn.Batch
	options Options
	// lost: some sending was not answered, or not in a way that tells whether it was carried out.
	lost bool
}

func (s *settling) try(ctx context.Context) ([]txn.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.TryTimeout)
	defer cancel()
	res, err := Run(ctx, s.kv, s.lease, s.batch)
	if err != nil {
		s.lost = s.lost || verdictOf(err) == unknown
		return nil, err
	}
	if !s.lost {
		return res, nil
	}
	if len(res) > 0 && res[0].Outcome == txn.Fenced {
		return s.recognise(ctx, res)
	}
	for i := range res {
		if res[i].Outcome == txn.Refused {
			adopt(s.batch.Parts[i], &res[i], res[i].Found)
		}
	}
	return res, nil
}

// recognise looks for traces of an earlier sending after the outer compares have failed: their refusal reads nothing
// that belongs to the parts. The keys of one part are read at one revision.
func (s *settling) recognise(ctx context.Context, res []txn.Result) ([]txn.Result, error) {
	for _, group := range readGroups(s.batch.Parts) {
		var keys []string
		for _, i := range group {
			keys = append(keys, explaining(s.batch.Parts[i])...)
		}
		// Not nested: to etcd a nested transaction is a write, whatever is in it.
		resp, err := s.kv.Txn(ctx).Then(gets(distinct(keys))...).Commit()
		if err != nil {
			return nil, fmt.Errorf("read after a lost answer: %w", classified(err))
		}
		f := found(resp.Responses, resp.Header.Revision)
		for _, i := range group {
			adopt(s.batch.Parts[i], &res[i], f)
		}
	}
	return res, nil
}

// adopt turns the refusal of a part that has happened before into what it is.
func adopt(p txn.Part, r *txn.Result, f txn.Found) {
	if p.Mine == nil || !p.Mine(f) {
		return
	}
	*r = txn.Result{Outcome: txn.Done, Earlier: true, Revision: r.Revision, Found: f}
	for _, kv := range f {
		r.Revision = kv.Revision
	}
}

// readGroups splits the indexes of parts so that the reads of a group fit into one transaction.
func readGroups(parts []txn.Part) [][]int {
	var groups [][]int
	n := maxTxnOps
	for i, p := range parts {
		k := len(explaining(p))
		if k == 0 || p.Mine == nil {
			continue
		}
		if n += k; n > maxTxnOps {
			groups, n = append(groups, nil), k
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], i)
	}
	return groups
}

// failed marks err according to all that was sent, not only the last try.
func (s *settling) failed(err error) error {
	if s.lost && !errors.Is(err, ErrUnknown) {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return err
}

func (o Options) withDefaults() Options {
	if o.TryTimeout <= 0 {
		o.TryTimeout = defaultTryTimeout
	}
	if o.Backoff <= 0 {
		o.Backoff = defaultBackoff
	}
	return o
}

func (o Options) pauses() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.Multiplier, b.MaxInterval = o.Backoff, 2, maxBackoffFactor*o.Backoff
	return b
}

// wait pauses, and fails at once if ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
