package maintainer

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/view"
)

// reshape accepts splits and merges by load.
func (l *loop) reshape(now time.Time) {
	splits, merges := l.fleet.SplitsAndMerges(now)
	byKeyspace := map[string][]scheduler.Split{}
	for _, s := range splits {
		byKeyspace[s.Ref.Keyspace] = append(byKeyspace[s.Ref.Keyspace], s)
	}
	for keyspace, some := range byKeyspace {
		l.acceptSplits(keyspace, some, now)
	}
	for _, m := range merges {
		l.acceptMerge(m, now)
	}
}

// acceptSplits makes splits operators, as far as their keyspace may have more spans. Its lock is held until the view shows
// them, so that a user who asks for the last span there may be does not get it as well; if a user holds it, he goes first.
func (l *loop) acceptSplits(keyspace string, splits []scheduler.Split, now time.Time) {
	release, ok := l.m.control.locks.try(keyspaceLock(keyspace))
	if !ok {
		for _, s := range splits {
			l.dirty.push(s.Ref)
		}
		return
	}
	held := &heldLock{left: 1, release: sync.OnceFunc(release)}
	held.stop = context.AfterFunc(l.t.over, held.release)
	room := l.roomIn(keyspace)
	for _, s := range splits {
		if len(s.At) > room || !l.acceptSplit(s, held, now) {
			l.dirty.push(s.Ref)
			continue
		}
		room -= len(s.At)
	}
	held.done()
}

// heldLock is let go when all that was accepted under it is to be seen, or the term is over. It belongs to the loop.
type heldLock struct {
	left    int
	release func()
	// stop has the term forget it.
	stop func() bool
}

func (h *heldLock) done() {
	if h.left--; h.left == 0 {
		h.stop()
		h.release()
	}
}

// roomIn is how many spans more a keyspace may have once the splits in flight are done.
func (l *loop) roomIn(keyspace string) int {
	return read(l.state, func(s *view.State) int {
		ks := s.Keyspace(keyspace)
		if ks == nil {
			return 0
		}
		return l.tuned.Of(ks.Settings).MaxSpans - s.SpanCount(keyspace) - s.QuarantinedSpans(keyspace) - growing(s, keyspace)
	})
}

func (l *loop) acceptSplit(s scheduler.Split, held *heldLock, now time.Time) bool {
	spans, ok := l.free(s.Ref.Keyspace, s.Ref)
	if !ok {
		return false
	}
	if _, err := spans[0].Range.Split(s.At...); err != nil {
		l.log.Warn("a workload proposes keys that its span cannot be split at", refField(s.Ref), zap.Error(err))
		return false
	}
	i := l.intent(record.KindSplit, record.ByLoad, s.Reason, spans, now)
	i.At = s.At
	for n := range len(s.At) + 1 {
		i.Results = append(i.Results, string(spanID(i.Operator, n)))
	}
	held.left++
	l.acceptPlanned(spans, i, "maintainer/load/accept", func(res txn.Result) {
		l.running.Go(func() {
			seen, cancel := context.WithTimeout(l.t.over, viewWait)
			defer cancel()
			_ = l.m.view.Wait(seen, res.Revision) // without it the lock is let go as well
			l.post(held.done)
		})
	})
	return true
}

func (l *loop) acceptMerge(m scheduler.Merge, now time.Time) {
	refs := make([]operator.Ref, len(m.Spans))
	for n, id := range m.Spans {
		refs[n] = operator.Ref{Keyspace: m.Keyspace, ID: id}
	}
	spans, ok := l.free(m.Keyspace, refs...)
	if ok {
		slices.SortFunc(spans, func(a, b operator.Span) int { return a.Range.Compare(b.Range) })
		ok = read(l.state, func(s *view.State) error { return adjacent(s, spans) }) == nil
	}
	if !ok {
		for _, r := range refs {
			l.dirty.push(r)
		}
		return
	}
	i := l.intent(record.KindMerge, record.ByLoad, m.Reason, spans, now)
	i.From = ""
	i.Results = []string{string(spanID(i.Operator, 0))}
	l.acceptPlanned(spans, i, "maintainer/load/accept", nil)
}
