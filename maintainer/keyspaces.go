package maintainer

import (
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/view"
)

const (
	// endEvery bounds how often it is looked whether the operator of a keyspace is over while its spans change, and
	// endAtLeast how rarely while they do not: the lapse of a session is no change.
	endEvery   = 100 * time.Millisecond
	endAtLeast = time.Second
	// bucketsAtEnd is how many buckets of positions go in the transaction that deletes a keyspace; more go before it.
	bucketsAtEnd = 90
)

// ending is the operator in flight of one keyspace, as the loop waits for its end. All of it follows from the records.
type ending struct {
	// looked is when it was last looked at, due that something has changed since.
	looked time.Time
	due    bool
	// blocker is a span that kept it from being over: as long as it does, no other has to be looked at.
	blocker operator.Ref
	// writing counts transactions in flight, and after is the revision up to which the view must be to see what they did.
	writing int
	after   int64
}

// noteKeyspace finds out whether a keyspace has an operator in flight.
func (l *loop) noteKeyspace(name string) {
	ks := l.state.Keyspace(name)
	delete(l.rules, name)
	l.tuneKeyspace(name)
	switch {
	case ks.Pending == nil:
		delete(l.ending, name)
	case l.ending[name] == nil:
		l.ending[name] = &ending{due: true}
	default:
		l.ending[name].due = true
	}
	if ks.Mod == 0 {
		l.progress.forget(name)
	}
}

// noteKeyspaces does so for all: at the beginning of a term, and after a listing.
func (l *loop) noteKeyspaces() {
	for name := range l.ending {
		l.noteKeyspace(name)
	}
	for name := range l.fleet.measures {
		if l.state.Keyspace(name).Mod == 0 {
			l.noteKeyspace(name)
		}
	}
	for _, name := range read(l.state, (*view.State).Names) {
		l.noteKeyspace(name)
	}
}

// noteEnding: something has changed in the keyspace.
func (l *loop) noteEnding(name string) {
	if e := l.ending[name]; e != nil {
		e.due = true
	}
}

// next is when to look again.
func (e *ending) next() time.Time {
	if e.due {
		return e.looked.Add(endEvery)
	}
	return e.looked.Add(endAtLeast)
}

// endNap shortens a nap to the next look.
func (l *loop) endNap(now time.Time, nap time.Duration) time.Duration {
	for _, e := range l.ending {
		if e.writing == 0 {
			nap = min(nap, max(0, e.next().Sub(now)))
		}
	}
	return nap
}

// endKeyspaces ends what is over.
func (l *loop) endKeyspaces(now time.Time) {
	for name, e := range l.ending {
		if e.writing > 0 || now.Before(e.next()) {
			continue
		}
		e.looked, e.due = now, false
		if l.state.Revision() < e.after {
			e.due = true
			continue
		}
		l.endKeyspace(l.state.Keyspace(name), e)
	}
}

func (l *loop) endKeyspace(ks operator.Keyspace, e *ending) {
	switch {
	case ks.Pending == nil:
	case ks.State == record.KeyspacePaused && !l.open(ks.Name, e):
		l.endWith(ks, e, operator.EndKeyspace(l.m.cfg.Layout, ks, time.Now()))
	case ks.State == record.KeyspaceDeleting && l.emptied(ks.Name):
		l.deleteKeyspace(ks, e)
	}
}

// open reports whether a span of the keyspace is owned, acted on, changed by an operator, or may still be written to by a
// session that is gone.
func (l *loop) open(name string, e *ending) bool {
	if e.blocker.ID != "" && l.blocks(e.blocker) {
		return true
	}
	e.blocker = read(l.state, func(s *view.State) operator.Ref { return firstOpen(s, name) })
	if e.blocker.ID != "" {
		return true
	}
	for _, r := range l.state.Spans(name) {
		if l.blocks(r) {
			e.blocker = r
			return true
		}
	}
	return false
}

// firstOpen finds what the records alone say, so that the spans are gone through one by one only when they all look closed.
func firstOpen(s *view.State, name string) operator.Ref {
	for sp := range s.Spans(name) {
		if sp.Intent != nil || s.Claim(sp.Ref) != nil || s.Session(sp.Owner.Session) != nil {
			return sp.Ref
		}
	}
	return operator.Ref{}
}

func (l *loop) blocks(r operator.Ref) bool {
	m, ok := l.member(r)
	return ok && (m.Claim != nil || m.Intent != nil || m.Owner != operator.Over || m.Opener == operator.Lapsing)
}

// emptied reports whether no span of the keyspace is left, readable or not, no claim, and no write of positions that may
// still land.
func (l *loop) emptied(name string) bool {
	left := read(l.state, func(s *view.State) int { return s.SpanCount(name) + s.QuarantinedSpans(name) })
	if left > 0 {
		return false
	}
	for _, r := range l.state.Claims() {
		if r.Keyspace == name {
			return false
		}
	}
	return l.progress.quiet(name, l.state.Revision())
}

// deleteKeyspace takes the record away with all that is left beside it. A keyspace may have more buckets of positions
// than a transaction may write; nobody writes them any more, so they go one by one before.
func (l *loop) deleteKeyspace(ks operator.Keyspace, e *ending) {
	left := read(l.state, func(s *view.State) (out []operator.Bucket) {
		for p := range s.ProgressRecords(ks.Name) {
			out = append(out, operator.Bucket{Number: p.Bucket, Mod: p.Mod})
		}
		return out
	})
	if len(left) <= bucketsAtEnd {
		l.endWith(ks, e, operator.DeleteKeyspace(l.m.cfg.Layout, ks, left, time.Now()))
		return
	}
	for _, b := range left[bucketsAtEnd:] {
		l.endWith(ks, e, operator.DropProgress(l.m.cfg.Layout, ks.Name, b))
	}
}

// endWith writes what the end of an operator takes. If it is not known what came of it the view will show that, and if
// nothing did it is tried again.
func (l *loop) endWith(ks operator.Keyspace, e *ending, p txn.Part) {
	e.writing++
	l.writes = append(l.writes, write{point: "maintainer/keyspace/finish", part: p, done: func(res txn.Result, err error) {
		e.writing--
		e.due = true
		if err == nil && res.Outcome == txn.Done {
			e.after = max(e.after, res.Revision)
			return
		}
		l.log.Info("keyspace operator not ended yet", zap.String("keyspace", ks.Name),
			zap.String("operator", ks.Pending.Operator), zap.Error(err))
	}})
}

// acceptRemove puts an operator that removes the span into its record, in the place of one that nobody acts on: its keyspace
// is being deleted.
func (l *loop) acceptRemove(recs operator.Records) {
	m := recs.Members[0]
	ks := l.state.Keyspace(m.Keyspace)
	if ks.Pending == nil {
		return
	}
	now := time.Now()
	i := &record.Intent{
		Operator: l.t.nextOperator(), Kind: record.KindRemove, By: record.ByUser, Reason: "keyspace delete " + ks.Pending.Operator,
		CreatedAt: now, From: m.Span.Owner.Node, Spans: []string{string(m.ID)},
		Marks: []record.Mark{{Stage: record.StageQueued, At: now}},
	}
	part := operator.Accept(l.m.cfg.Layout, []operator.Span{m.Span}, i)
	if m.Intent != nil {
		part = l.supersede(recs, i, now)
	}
	l.enqueue(write{ref: m.Ref, point: "maintainer/remove/accept", part: part})
}

// quiet reports whether all positions of a keyspace that were sent are answered and in the view.
func (p *progress) quiet(keyspace string, revision int64) bool {
	for k, b := range p.buckets {
		if k.keyspace == keyspace && (b.writing || b.mod > revision) {
			return false
		}
	}
	return true
}

// forget drops what is not stored yet of a keyspace that is no more: another one of its name begins anew.
func (p *progress) forget(keyspace string) {
	for k, b := range p.buckets {
		if k.keyspace == keyspace && !b.writing {
			delete(p.buckets, k)
		}
	}
}
