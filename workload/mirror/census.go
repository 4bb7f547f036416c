package mirror

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// censusEvery is how often a span looks whether what it knows of its keys is still good, give or take censusJitter.
	// Only what is not good any more is asked for, so that a span that stays as it is asks once.
	censusEvery  = time.Minute
	censusJitter = 15 * time.Second
	// lookAfter is when it first looks for keys to split at: it may get them for nothing, from the changes of these seconds,
	// and a process that opens a thousand spans has better things to do.
	lookAfter = 10 * time.Second
	// cutsGood is up to which growth, or shrinkage, keys that were found are good to split at.
	cutsGood = 1.5
)

// A census is what is known of the keys that a span has at the source, changed or not.
type census struct {
	tally tally
	// due: the tally misses something. ready: from base on it would miss nothing.
	due, ready bool
	base       int64
	// seen is the newest revision whose changes were told.
	seen int64
	// whole: all of the span was listed by the last copy.
	whole bool
	// cuts are keys between which about as many keys are, found when there were cutFor.
	cuts   []string
	cutFor float64
	wake   chan struct{}
}

func newCensus() census { return census{due: true, wake: make(chan struct{}, 1)} }

// missed: keys have changed, or may have, and each change was not told.
func (c *census) missed() {
	c.due, c.ready = true, false
	c.tally.missed()
}

// follows: every change after base is told from now on. The first count comes at once, others when it is time.
func (c *census) follows(base int64) {
	c.ready, c.base = true, base
	if !c.due || c.tally.known {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// begin gives the revision to count at, and false if there is no need or it is not the time.
func (c *census) begin() (at int64, run int, ok bool) {
	if !c.due || !c.ready {
		return 0, 0, false
	}
	at = max(c.seen, c.base)
	return at, c.tally.begin(at), true
}

// counted is what came of it.
func (c *census) counted(run int, keys int64) {
	if c.tally.counted(run, keys) {
		c.due = false
	}
}

// looks says whether keys to split at have to be found. Those of a copy are good enough.
func (c *census) looks(listed *sample) bool {
	x := c.tally.size()
	if x == nil || c.cutFor > 0 && *x < c.cutFor*cutsGood && *x > c.cutFor/cutsGood {
		return false
	}
	if *x < sampleEnough {
		c.found(nil)
		return false
	}
	if cuts := listed.cuts(nil); c.whole && len(cuts) > 0 {
		c.found(cuts)
		c.whole = false
		return false
	}
	return true
}

// found keys, for as many as there are now.
func (c *census) found(cuts []string) {
	c.cuts = cuts
	if x := c.tally.size(); x != nil {
		c.cutFor = *x
	}
}

// wait returns when it is time to look again, and false once ctx has ended. woken: before that.
func (c *census) wait(ctx context.Context, pause time.Duration) (woken, ok bool) {
	t := time.NewTimer(pause + rand.N(censusJitter)) //nolint:gosec // not a secret
	defer t.Stop()
	select {
	case <-c.wake:
		return true, true
	case <-t.C:
		return false, true
	case <-ctx.Done():
		return false, false
	}
}

// inspect keeps the census of a span until ctx ends. One question is under way at a time, for all spans of the process
// that have the same source.
func (in *instance) inspect(ctx context.Context) {
	pause := censusEvery
	for {
		woken, ok := in.census.wait(ctx, pause)
		if !ok || !in.src.turn(ctx) {
			return
		}
		in.count(ctx)
		in.look(ctx, !woken)
		in.src.next()
		pause = censusEvery
		if woken {
			pause = lookAfter
		}
	}
}

// count finds out how many keys there are, if that is not known. After an error what was known is kept.
func (in *instance) count(ctx context.Context) {
	m := in.meter
	m.mu.Lock()
	at, run, due := m.census.begin()
	m.mu.Unlock()
	var keys int64
	var err error
	if due {
		keys, err = in.src.size(ctx, in.watched(), at)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if due && err == nil {
		m.census.counted(run, keys)
	}
	if x := m.census.tally.size(); x != nil {
		m.size = needle(*x) // as it is: this is not often
	}
}

// look finds keys to split at that are good for what the span holds now, if it may ask and does not have them.
func (in *instance) look(ctx context.Context, ask bool) {
	m := in.meter
	m.mu.Lock()
	due := m.census.looks(m.listed)
	if !m.census.whole {
		m.listed = newSample() // it is not needed any more
	}
	m.mu.Unlock()
	if !due || !ask {
		return
	}
	cuts, err := cutsByRank(ctx, in.watched(), in.src.probe)
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.census.found(cuts)
}
