package maintainer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

// errTermOver ends the context of a term.
var errTermOver = errors.New("the term is over")

// govern leads one term: wait until the own view has reached it, write once under it, then let the loop work until
// over ends. Nothing is listed, and no node is waited for.
func (m *Maintainer) govern(over context.Context, number int64, won time.Time) error {
	over, end := context.WithCancelCause(over)
	defer end(errTermOver)
	t := m.newTerm(over, end, number)
	took := Takeover{Term: number}
	if err := m.view.Wait(over, number); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	took.View = time.Since(won)
	if err := m.firstWrite(over, t); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	took.FirstWrite = time.Since(won)
	m.stats.tookOver(took)
	l := newLoop(m, t)
	t.ask = func(do func(*loop)) bool { return l.post(func() { do(l) }) }
	t.revoke = func(v *revocation) bool { return l.post(func() { l.revoke(v) }) }
	m.beat()
	m.standbys.clear()
	m.rise(&lead{t, l})
	defer m.lead.Store(nil)
	l.log.Info("leading", zap.Duration("took", took.FirstWrite), zap.Duration("view", took.View), zap.Int64("revision", m.view.Revision()))
	l.run(over)
	return context.Cause(over)
}

func (m *Maintainer) newTerm(over context.Context, end context.CancelCauseFunc, number int64) *term {
	t := &term{number: number, over: over, known: newKnown()}
	t.write = func(ctx context.Context, parts []txn.Part) ([]txn.Result, error) {
		res, err := m.settle(ctx, t, parts)
		for _, r := range res {
			if r.Outcome == txn.Fenced {
				end(errTermOver)
				break
			}
		}
		return res, err
	}
	return t
}

// settle sends parts under the term, batch after batch, until all outcomes are definite, or the caller or the term
// gives up.
func (m *Maintainer) settle(ctx context.Context, t *term, parts []txn.Part) ([]txn.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.over, cancel)() //nolint:contextcheck // it only ends ctx, when the term does
	var out []txn.Result
	outer := []txn.Cmp{operator.Leading(m.cfg.Layout, t.number)}
	for _, b := range etcdx.Chunk(outer, parts) {
		res, err := etcdx.Settle(ctx, m.cfg.Client, 0, b, etcdx.Options{TryTimeout: m.cfg.RequestTimeout})
		if err != nil {
			return out, fmt.Errorf("write under term %d: %w", t.number, err)
		}
		m.count(b, res)
		out = append(out, res...)
	}
	return out, nil
}

func (m *Maintainer) count(b txn.Batch, res []txn.Result) {
	m.stats.txns.Add(1)
	for i, r := range res {
		if r.Outcome == txn.Done {
			m.stats.parts.Add(1)
			m.stats.mutations.Add(int64(len(b.Parts[i].Then)))
		}
	}
}

// definite reports that an error says that nothing was done.
func definite(err error) bool {
	return !errors.Is(err, etcdx.ErrUnknown) && !errors.Is(err, context.Canceled)
}

// firstWrite makes the cluster record, if there is none. It is also the term's first fenced write: whatever an earlier
// leader may still send is refused by now, and so are we, should the term be over already.
func (m *Maintainer) firstWrite(ctx context.Context, t *term) error {
	key := m.cfg.Layout.Cluster()
	job := []write{{point: "maintainer/any/cluster", part: txn.Part{
		If:   []txn.Cmp{txn.Absent(key)},
		Then: []txn.Op{txn.Put(key, record.EncodeCluster(record.Cluster{}))},
		Mine: func(f txn.Found) bool { _, ok := f[key]; return ok },
	}}}
	res, err := m.writeThrough(ctx, t, job)
	if err != nil {
		return fmt.Errorf("first write: %w", err)
	}
	if res[0].Outcome == txn.Fenced {
		return errTermOver
	}
	return nil
}
