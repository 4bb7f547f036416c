package maintainer

import (
	"hash/fnv"
	"maps"

	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// buckets of a keyspace's checkpoints. A round writes at most as many keys, each with the checkpoints of its spans.
const buckets = 256

// bucketOf must stay as it is: other versions find the checkpoints of a span by it.
func bucketOf(id span.ID) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return h.Sum32() % buckets
}

type bucketKey struct {
	keyspace string
	number   uint32
}

func bucketFor(r operator.Ref) bucketKey { return bucketKey{r.Keyspace, bucketOf(r.ID)} }

// progress is what is reported and not stored yet. It belongs to the loop.
type progress struct {
	buckets map[bucketKey]*bucket
}

// bucket has something to write, or is being written, or was written a moment ago.
type bucket struct {
	// reported are checkpoints since the last write.
	reported map[span.ID]reported
	// stored is what this term has written last, at revision mod; the view shows it in a moment.
	stored record.Progress
	mod    int64
	// writing: a write is outstanding, so its positions may be in etcd or not.
	writing bool
	// waiting are spans whose opening waits for that.
	waiting []operator.Ref
}

type reported struct {
	session    int64
	checkpoint uint64
}

func newProgress() progress { return progress{map[bucketKey]*bucket{}} }

func (p *progress) bucket(k bucketKey) *bucket {
	b := p.buckets[k]
	if b == nil {
		b = &bucket{reported: map[span.ID]reported{}}
		p.buckets[k] = b
	}
	return b
}

func (p *progress) heard(r operator.Ref, session int64, checkpoint uint64) {
	p.bucket(bucketFor(r)).reported[r.ID] = reported{session, checkpoint}
}

// deferred reports whether the position of a span is not known for certain now, and remembers who asks.
func (p *progress) deferred(r operator.Ref) bool {
	b := p.buckets[bucketFor(r)]
	if b == nil || !b.writing {
		return false
	}
	b.waiting = append(b.waiting, r)
	return true
}

// pending is what the owner of a span has reported since its position was stored.
func (p *progress) pending(s operator.Span) record.Position {
	b := p.buckets[bucketFor(s.Ref)]
	if b == nil {
		return record.Position{}
	}
	r, ok := b.reported[s.ID]
	return record.Position{Known: ok && r.session == s.Owner.Session, At: r.checkpoint}
}

// at is the stored position of a span.
func (p *progress) at(s state, r operator.Ref) record.Position {
	k := bucketFor(r)
	entries, _ := p.buckets[k].base(s, k)
	at, ok := entries[r.ID]
	return record.Position{Known: ok, At: at}
}

// base is the newest content of a bucket that is known, and the revision that it was written at.
func (b *bucket) base(s state, k bucketKey) (record.Progress, int64) {
	entries, mod := s.Progress(k.keyspace, k.number)
	if b != nil && b.mod > mod {
		return b.stored, b.mod
	}
	return entries, mod
}

// writeProgress stores what has moved, bucket by bucket. Buckets in which nothing has moved are left alone.
func (l *loop) writeProgress() {
	for k, b := range l.progress.buckets {
		if b.writing {
			continue
		}
		base, mod := b.base(l.state, k)
		next := l.raised(k, b, base)
		if maps.Equal(base, next) {
			delete(l.progress.buckets, k)
			continue
		}
		b.writing = true
		l.writes = append(l.writes, write{
			point: "maintainer/any/progress",
			part:  operator.PutProgress(l.m.cfg.Layout, k.keyspace, k.number, next, mod),
			done:  func(res txn.Result, err error) { l.progressWritten(k, b, next, res, err) },
		})
	}
}

// raised is the bucket's next content: entries never go down, and those of spans that are gone go with them.
func (l *loop) raised(k bucketKey, b *bucket, base record.Progress) record.Progress {
	next := record.Progress{}
	moved := false
	for id, rep := range b.reported {
		r := operator.Ref{Keyspace: k.keyspace, ID: id}
		old, ok := base[id]
		if l.mayRaise(r, rep.session) && (!ok || rep.checkpoint > old) {
			next[id] = rep.checkpoint
			moved = true
		}
	}
	clear(b.reported)
	if !moved {
		return base
	}
	for id, at := range base {
		if _, ok := l.state.Span(operator.Ref{Keyspace: k.keyspace, ID: id}); ok && next[id] < at {
			next[id] = at
		}
	}
	return next
}

// mayRaise: a report counts only while its session is the recorded owner and there, and nobody was asked to open
// the span or does: the opening's position was taken before.
func (l *loop) mayRaise(r operator.Ref, session int64) bool {
	s, ok := l.state.Span(r)
	if !ok || s.Owner.Session != session || l.state.Session(s.Owner.Node) != session {
		return false
	}
	if c, claimed := l.state.Claim(r); claimed && c.Stage == record.StageOpening {
		return false
	}
	w := l.works[r]
	return w == nil || !w.ask.opening()
}

// progressWritten takes the answer. Without one the positions may be stored or not: the identical write is sent again
// until it is known, and openings wait for it.
func (l *loop) progressWritten(k bucketKey, b *bucket, sent record.Progress, res txn.Result, err error) {
	if err != nil && !definite(err) {
		l.log.Warn("progress not written yet", zap.String("keyspace", k.keyspace), zap.Error(err))
		_, mod := b.base(l.state, k)
		l.writes = append(l.writes, write{
			point: "maintainer/any/progress",
			part:  operator.PutProgress(l.m.cfg.Layout, k.keyspace, k.number, sent, mod),
			done:  func(res txn.Result, err error) { l.progressWritten(k, b, sent, res, err) },
		})
		return
	}
	b.writing = false
	if err == nil && res.Outcome == txn.Done {
		b.stored, b.mod = sent, res.Revision
		if res.Earlier {
			b.mod = res.Found[l.m.cfg.Layout.Progress(k.keyspace, k.number)].Mod
		}
	} else {
		l.log.Warn("progress refused", zap.String("keyspace", k.keyspace), zap.Uint32("bucket", k.number), zap.Error(err))
	}
	for _, r := range b.waiting {
		l.dirty.push(r)
	}
	b.waiting = nil
}
