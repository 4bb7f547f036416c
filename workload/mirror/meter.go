package mirror

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/spanward/spanward/dispatcher"
)

const (
	// reportEvery is how often a status is sent without news; lag grows by itself.
	reportEvery = time.Second
	// loadHalfLife is how fast the reported load follows what happens.
	loadHalfLife = 10 * time.Second
	// sampleKeys is how many recent keys split keys are chosen from.
	sampleKeys = 128
	// splitKeys is how many are proposed.
	splitKeys = 3
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
	seen     int
	sample   []string
}

func newMeter(rep dispatcher.Reporter, from dispatcher.Position) *meter {
	return &meter{rep: rep, status: dispatcher.Status{Checkpoint: from}, rated: time.Now()}
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
	s.SplitKeys = m.proposal()
	m.rep.Report(s)
}

// rateAt folds the changes since the last time into the moving average.
func (m *meter) rateAt(now time.Time) {
	dt := now.Sub(m.rated)
	if dt < reportEvery/2 {
		return
	}
	keep := math.Exp2(-float64(dt) / float64(loadHalfLife))
	m.rate = m.rate*keep + float64(m.pending)/dt.Seconds()*(1-keep)
	m.pending, m.rated = 0, now
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
			m.add(c.key)
		}
	}
}

// add keeps the newest keys; when many come, only some of them, so that the sample spans a while.
func (m *meter) add(key string) {
	m.seen++
	if len(m.sample) < sampleKeys {
		m.sample = append(m.sample, key)
		return
	}
	if m.seen%sampleStep == 0 {
		m.sample[m.seen/sampleStep%sampleKeys] = key
	}
}

// sampleStep is one in how many keys replaces an old one.
const sampleStep = 7

// proposal cuts the sampled keys into equal shares.
func (m *meter) proposal() []string {
	keys := slices.Compact(slices.Sorted(slices.Values(m.sample)))
	var out []string
	for i := 1; i <= splitKeys && len(keys) > splitKeys; i++ {
		out = append(out, keys[i*len(keys)/(splitKeys+1)])
	}
	return slices.Compact(out)
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
