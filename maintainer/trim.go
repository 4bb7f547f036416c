package maintainer

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/view"
)

const (
	// trimEvery is how often the leader looks for history to trim: all that it costs is a look at the oldest entry of each
	// keyspace. Where there was something it goes on after trimPace, with at most trimAtOnce entries a time, so that
	// a long history that has become too old at once does not get in the way of anything else.
	trimEvery  = 10 * time.Second
	trimPace   = time.Second
	trimAtOnce = writesPerJob
	// keptAtLeast is how long an entry stays whatever the numbers: those that wait for the operator look for its end there,
	// and transactions whose answer was lost find in it that they were carried out.
	keptAtLeast = 2 * time.Minute
)

// retention is how long finished operators, and with them their request ids, are remembered.
type retention struct {
	age   time.Duration
	count int
}

func retentionOf(v settings.Values) retention { return retention{v.HistoryAge, v.HistoryCount} }

// keep is how long request ids are remembered.
func (c *control) keep(s *view.State) retention { return retentionOf(c.tuning.in(s).Values) }

// keptNodeRequests bounds the request ids that a node's record remembers: commands about nodes have no history beside it.
const keptNodeRequests = 1000

// remembered adds a request to those that a record itself remembers, at most so many, and lets those go that have outlived
// the retention.
func (r retention) remembered(list []record.Request, q record.Request, most int) []record.Request {
	kept := slices.DeleteFunc(slices.Clone(list), func(old record.Request) bool { return q.At.Sub(old.At) > r.age })
	kept = append(kept, q)
	return kept[max(0, len(kept)-min(most, r.count)):]
}

// trimming is the trimmer of one term. It needs no memory: what is to go follows from the records.
type trimming struct {
	// next is when to look again.
	next time.Time
	// writing: a transaction is in flight. after is the revision up to which the view must be to see what it did.
	writing bool
	after   int64
}

// expired are the oldest entries that have outlived the retention, up to a limit. Only what is over has an entry, and
// keyspaces that exist no more keep theirs like any other.
func (r retention) expired(s *view.State, now time.Time, limit int) (out []*view.History) {
	for _, name := range s.Names() {
		surplus := s.HistoryCount(name) - r.count
		for h := range s.Histories(name) {
			if len(out) >= limit {
				return out
			}
			age := now.Sub(h.Ended())
			if age <= r.age && (surplus <= 0 || age <= keptAtLeast) {
				break // all others are younger
			}
			surplus--
			out = append(out, h)
		}
	}
	return out
}

// trim deletes history that has outlived its time.
func (l *loop) trim(now time.Time) {
	t := &l.trimming
	if t.writing || now.Before(t.next) || l.state.Revision() < t.after {
		return
	}
	keep := retentionOf(l.tuned.Values)
	old := read(l.state, func(s *view.State) []*view.History { return keep.expired(s, now, trimAtOnce) })
	if t.next = now.Add(trimEvery); len(old) == 0 {
		return
	}
	t.next, t.writing = now.Add(trimPace), true
	b := &trimmed{left: len(old)}
	for _, h := range old {
		l.writes = append(l.writes, write{
			point: "maintainer/any/trim",
			part:  operator.Trim(l.m.cfg.Layout, h.Keyspace, h.Intent.Operator, h.Mod),
			done:  func(res txn.Result, err error) { l.trimAnswered(b, res, err) },
		})
	}
}

// trimmed are entries that were to go together.
type trimmed struct {
	left, done int
	err        error
}

// trimAnswered takes the answer about one of them. Whatever it was, the records say at the next look what is still to do.
func (l *loop) trimAnswered(b *trimmed, res txn.Result, err error) {
	b.left--
	if err != nil {
		b.err = err
	} else if res.Outcome == txn.Done {
		b.done++
	}
	l.trimming.after = max(l.trimming.after, res.Revision)
	if b.left > 0 {
		return
	}
	l.trimming.writing = false
	if b.err != nil {
		l.log.Warn("history not trimmed yet", zap.Error(b.err))
		return
	}
	l.log.Debug("history trimmed", zap.Int("operators", b.done))
}
