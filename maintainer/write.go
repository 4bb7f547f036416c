package maintainer

import (
	"context"

	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

const (
	// maxWriters bounds the transactions of the loop in flight at a time.
	maxWriters = 4
	// writesPerJob bounds what one of them carries.
	writesPerJob = 100
)

// write is a change that the loop wants in etcd.
type write struct {
	ref operator.Ref
	// point is the name of its failpoint.
	point string
	part  txn.Part
	// alone: it is as large as a transaction may be.
	alone bool
	// done takes the answer; nil is that of a write about a span.
	done func(txn.Result, error)
}

// enqueue adds a write about a span; nothing else is decided about the span until it is answered.
func (l *loop) enqueue(w write) {
	k := l.work(w.ref)
	if k.writing {
		return
	}
	k.writing = true
	w.done = func(res txn.Result, err error) { l.wrote(w.ref, res, err) }
	l.writes = append(l.writes, w)
}

// write starts as many transactions as may be in flight.
func (l *loop) write(ctx context.Context) {
	for l.writers < maxWriters && len(l.writes) > 0 {
		job := l.nextJob()
		l.writers++
		l.running.Go(func() {
			res, err := l.m.writeThrough(ctx, l.t, job)
			l.post(func() { l.writers--; answer(job, res, err) })
		})
	}
}

// nextJob takes writes of one kind from the front.
func (l *loop) nextJob() []write {
	n := 1
	for n < len(l.writes) && n < writesPerJob && l.writes[n].point == l.writes[0].point && !l.writes[0].alone {
		n++
	}
	job := l.writes[:n:n]
	l.writes = l.writes[n:]
	return job
}

func answer(job []write, res []txn.Result, err error) {
	for i, w := range job {
		if i < len(res) {
			w.done(res[i], nil) // what came before an error is definite
			continue
		}
		w.done(txn.Result{}, err)
	}
}

// writeThrough sends writes of one kind under the term, with their failpoints around.
func (m *Maintainer) writeThrough(ctx context.Context, t *term, job []write) ([]txn.Result, error) {
	parts := make([]txn.Part, len(job))
	for i, w := range job {
		parts[i] = w.part
	}
	if err := m.hit(ctx, job[0].point+"/before"); err != nil {
		return nil, err
	}
	res, err := t.write(ctx, parts)
	if err != nil {
		return res, err
	}
	return res, m.hit(ctx, job[0].point+"/after")
}
