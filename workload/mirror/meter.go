package mirror

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/spanward/spanward/dispatcher"
)

const (
	// reportEvery is how often a status is sent without news; lag grows by itself.
	reportEvery = time.Second
	// loadHalfLife is how fast the reported load follows what happens.
	loadHalfLife = 10 * time.Second
)

// A meter keeps what an instance reports.
type meter struct {
	rep dispatcher.Reporter

	mu       sync.Mutex
	status   dispatcher.Status
	caughtUp time.Time // zero: never
	rate     float64   // changes a second
	pending  int       // changes since rated
	rated    time.Time
	sample   *sample
	split    []string // keys proposed when last rated
}

func newMeter(rep dispatcher.Reporter, from dispatcher.Position) *meter {
	return &meter{rep: rep, status: dispatcher.Status{Checkpoint: from}, rated: time.Now(), sample: newSample()}
}

// run reports from time to time until ctx ends.
func (m *meter) run(ctx context.Context) {
	for sleep(ctx, reportEvery) {
		m.report(func(*dispatcher.Status) {})
	}
}

// report changes the status and sends it.
func (m *meter) report(change func(*dispatcher.Status)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.status)
	now := time.Now()
	m.rateAt(now)
	s := m.status
	load := m.rate
	s.Load = &load
	if !m.caughtUp.IsZero() {
		lag := now.Sub(m.caughtUp).Milliseconds()
		s.LagMS = &lag
	}
	s.SplitKeys = m.split
	m.rep.Report(s)
}

// rateAt folds the changes since the last time into the moving average, and looks where they were.
func (m *meter) rateAt(now time.Time) {
	dt := now.Sub(m.rated)
	if dt < reportEvery/2 {
		return
	}
	keep := math.Exp2(-float64(dt) / float64(loadHalfLife))
	m.rate = m.rate*keep + float64(m.pending)/dt.Seconds()*(1-keep)
	m.pending, m.rated, m.split = 0, now, m.sample.cuts()
}

// reached notes that everything up to rev is durable, and if at is set that this was all there was at that time.
func (m *meter) reached(rev int64, at time.Time) {
	m.report(func(s *dispatcher.Status) {
		s.Checkpoint = s.Checkpoint.Max(position(rev))
		s.Error = ""
		if !at.IsZero() {
			m.caughtUp = at
		}
	})
}

// changed counts changes and samples their keys.
func (m *meter) changed(gs []group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range gs {
		m.pending += len(g.changes)
		for _, c := range g.changes {
			m.sample.add(c.key)
		}
	}
}

// copied counts a key of a copy. It is no load, but where nothing changes the size of a span is all there is to split by.
func (m *meter) copied(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sample.add(key)
}

func (m *meter) trouble(err error) {
	m.report(func(s *dispatcher.Status) { s.Error = err.Error() })
}

// copying reports the progress of a copy; both are nil when none goes on.
func (m *meter) copying(copied, total *int64) {
	m.report(func(s *dispatcher.Status) { s.Copied, s.CopyTotal, s.Error = copied, total, "" })
}

func (m *meter) checkpoint() dispatcher.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status.Checkpoint
}

func position(rev int64) dispatcher.Position {
	return dispatcher.Position{Known: true, At: uint64(rev)} //nolint:gosec // revisions are positive
}
