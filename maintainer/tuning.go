package maintainer

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/view"
)

// tuning knows the settings that count: those that are stored go before the flags of this process.
type tuning struct {
	flags settings.Values
	// last is what came out of the record that was looked at last.
	last atomic.Pointer[tuned]
}

// tuned are the settings that a record leads to. They are never changed in place.
type tuned struct {
	settings.Values
	record  *view.ClusterConfig
	ignored []settings.Ignored
}

// in gives the settings that count in a state.
func (t *tuning) in(s *view.State) *tuned {
	stored := s.ClusterConfig()
	if last := t.last.Load(); last != nil && last.record == stored {
		return last
	}
	v, _, ignored := settings.Resolve(t.layers(stored))
	now := &tuned{v, stored, ignored}
	t.last.Store(now)
	return now
}

func (t *tuning) layers(stored *view.ClusterConfig) settings.Layers {
	return settings.Layers{Flags: t.flags, Cluster: stored.Settings}
}

// retune takes over settings that have changed. What goes on is held against them at once, and nobody waits longer than
// he would have to now.
func (l *loop) retune() {
	was := l.tuned.Values
	l.tuned = read(l.state, l.m.tuning.in)
	l.showIgnored()
	if l.tuned.Values == was {
		return
	}
	l.log.Info("settings changed", zap.Any("settings", l.tuned.record.Settings))
	if !l.settled.IsZero() {
		l.settled = l.began.Add(l.tuned.Settle)
	}
	if l.tuned.ProgressInterval != was.ProgressInterval {
		l.storing.Reset(l.tuned.ProgressInterval)
	}
	l.tuneFleet()
	l.lookAtUnplaced()
	now := time.Now()
	for r, w := range l.works {
		w.hasten(now, l.tuned.Values)
		l.dirty.push(r)
	}
}

// hasten shortens pauses that began when they were longer.
func (w *work) hasten(now time.Time, v settings.Values) {
	w.retryAt = earlier(w.retryAt, now.Add(v.OpenRetryMax))
	if w.ask != nil {
		w.ask.again = earlier(w.ask.again, now.Add(v.AskRetryMax))
	}
	w.stage.again = earlier(w.stage.again, now.Add(v.AskRetryMax))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// showIgnored tells of stored settings that have no effect: another version has written them, or somebody by hand.
func (l *loop) showIgnored() {
	now := map[string]bool{}
	for _, i := range l.tuned.ignored {
		p := problem{kind: "config", at: i.Name, message: i.Name + "=" + i.Value + " has no effect: " + i.Why}
		l.known.complain(p)
		now[p.key()] = true
	}
	l.known.keepOnly("config", now)
}
