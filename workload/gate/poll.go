package gate

import (
	"context"
	"time"
)

// Run looks at the directory until ctx ends. While nothing waits and nothing is open it sleeps.
func (g *Gate) Run(ctx context.Context) error {
	var lastStatus time.Time
	for {
		pause, ok := g.pause(time.Since(lastStatus))
		if !g.sleep(ctx, pause, ok) {
			return nil
		}
		status := g.poll(time.Since(lastStatus) >= g.cfg.StatusPoll)
		if status {
			lastStatus = time.Now()
		}
	}
}

// pause is how long there is nothing to look at; ok is false if that may be for ever.
func (g *Gate) pause(sinceStatus time.Duration) (pause time.Duration, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.cfg.Dir == "":
	case len(g.waiters) > 0:
		return g.cfg.HoldPoll, true
	case len(g.instances) > 0:
		return max(g.cfg.StatusPoll-sinceStatus, g.cfg.HoldPoll), true
	}
	return 0, false
}

// sleep returns after the pause, earlier if what there is to poll has changed, and false once ctx has ended.
func (g *Gate) sleep(ctx context.Context, pause time.Duration, bounded bool) bool {
	var over <-chan time.Time
	if bounded {
		t := time.NewTimer(pause)
		defer t.Stop()
		over = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-over:
			return true
		case <-g.wake:
			if !g.sooner(bounded, pause) {
				continue
			}
			return true
		}
	}
}

// sooner says whether a change made the pause too long.
func (g *Gate) sooner(bounded bool, pause time.Duration) bool {
	if !bounded {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return pause > g.cfg.HoldPoll && len(g.waiters) > 0
}

// poll takes one look at the directory, for the holds and, if it is their turn, for what the instances report.
func (g *Gate) poll(statusDue bool) (statusDone bool) {
	g.mu.Lock()
	waiting, open := len(g.waiters) > 0, make([]*instance, 0, len(g.instances))
	if statusDue {
		for i := range g.instances {
			open = append(open, i)
		}
	}
	g.mu.Unlock()
	if !waiting && len(open) == 0 {
		return statusDue
	}
	l := g.list()
	g.release(l)
	for _, i := range open {
		i.look(l)
	}
	return statusDue
}
