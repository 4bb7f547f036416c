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

// A measure says what the load of a span counts.
type measure struct {
	// of gives what one change counts.
	of func(change) float64
	// least is the smallest load a second that is not reported as none.
	least float64
}

var (
	byWrites = measure{of: func(change) float64 { return 1 }, least: 0.01}
	byBytes  = measure{of: func(c change) float64 { return float64(len(c.key) + len(c.value)) }, least: 1}
)

// A meter keeps what an instance reports.
type meter struct {
	rep     dispatcher.Reporter
	measure measure

	mu       sync.Mutex
	status   dispatcher.Status
	caughtUp time.Time // zero: never
	rate     float64   // load a second
	pending  float64   // load since rated
	rated    time.Time
	load     needle
	size     needle
	// wrote has keys that changes were made to, listed keys of the last copy.
	wrote, listed *sample
	split         []string // keys proposed when last rated
	census        census
}

func newMeter(rep dispatcher.Reporter, from dispatcher.Position, by measure) *meter {
	return &meter{
		rep: rep, measure: by, status: dispatcher.Status{Checkpoint: from}, rated: time.Now(),
		wrote: newSample(), listed: newSample(), census: newCensus(),
	}
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
	load := float64(m.load)
	s.Load = &load
	if m.census.tally.known {
		size := float64(m.size)
		s.Size = &size
	}
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
	m.rate = m.rate*keep + m.pending/dt.Seconds()*(1-keep)
	m.pending, m.rated = 0, now
	m.load.follow(m.rate, m.measure.least)
	if x := m.census.tally.size(); x != nil {
		m.size.follow(*x, 1)
	}
	m.split = m.cuts()
}

// cuts are proposed where the changes are, and where nothing changes such that all parts are of one size.
func (m *meter) cuts() []string {
	if cuts := m.wrote.cuts(m.split); len(cuts) > 0 && (m.load > 0 || len(m.census.cuts) == 0) {
		return cuts
	}
	return m.census.cuts
}

// reached notes that everything up to rev is durable, and if at is set that this was all there was at that time.
func (m *meter) reached(rev int64, at time.Time) {
	m.report(func(s *dispatcher.Status) {
		s.Checkpoint = s.Checkpoint.Max(position(rev))
		s.Error = ""
		m.census.seen = max(m.census.seen, rev)
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
		m.census.seen = max(m.census.seen, g.rev)
		for _, c := range g.changes {
			load := m.measure.of(c)
			m.pending += load
			m.wrote.add(c.key, load)
			m.census.tally.changed(g.rev, c.grows)
		}
	}
}

// filling: something is about to be listed at a revision, and its changes up to there are not told. whole: all of it is.
func (m *meter) filling(whole bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listed = newSample()
	m.census.missed()
	m.census.whole = whole
}

// copied takes a key of a copy. It is no load, but where nothing changes the size of a span is all there is to split by.
func (m *meter) copied(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listed.add(key, 1)
}

// missed: it is not known which changes have been told.
func (m *meter) missed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.census.missed()
}

// following: all changes of each piece are told that come after its revision.
func (m *meter) following(parts []part) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.census.follows(highest(parts))
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
