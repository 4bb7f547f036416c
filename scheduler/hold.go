package scheduler

import (
	"cmp"
	"slices"
	"time"
)

// HoldConfig says when the loss of many nodes at once holds failover up. The zero value means the defaults.
type HoldConfig struct {
	// Share of the nodes that must be gone for a hold; more than it counts. Zero means one half.
	Share float64
	// Least is the smallest number of lost nodes that counts. Zero means 3.
	Least int
	// Window is the time within which they must be lost. Zero means 2 s.
	Window time.Duration
	// For is how long failover is held at most, from the last loss. Zero means 10 s.
	For time.Duration
}

func (c HoldConfig) withDefaults() HoldConfig {
	if c.Share == 0 {
		c.Share = 0.5
	}
	if c.Least == 0 {
		c.Least = 3
	}
	if c.Window == 0 {
		c.Window = 2 * time.Second
	}
	if c.For == 0 {
		c.For = 10 * time.Second
	}
	return c
}

// Loss is a node whose session was seen to be gone, at a reading of some steady clock.
type Loss struct {
	Node string
	At   time.Duration
}

// Hold is the decision to wait for nodes to come back.
type Hold struct {
	// Until is when the hold ends at the latest.
	Until time.Duration
	// Missing nodes, sorted: the hold ends early once none is left.
	Missing []string
}

// Holding reports whether spans of lost nodes wait.
func (h Hold) Holding(now time.Duration) bool { return len(h.Missing) > 0 && now < h.Until }

// MassLoss finds the latest burst of losses that is large enough to hold failover: more than a share of all nodes
// gone within a window is more likely one frozen etcd than so many dead machines, and they come back together.
func MassLoss(cfg HoldConfig, now time.Duration, present []string, losses []Loss) Hold {
	cfg = cfg.withDefaults()
	losses = slices.Clone(losses)
	slices.SortStableFunc(losses, func(a, b Loss) int { return cmp.Compare(a.At, b.At) })
	known := map[string]bool{}
	for _, n := range present {
		known[n] = true
	}
	for _, l := range losses {
		known[l.Node] = true
	}
	var hold Hold
	for i := range losses {
		burst := within(losses[i:], cfg.Window)
		if len(burst) < cfg.Least || float64(len(burst)) <= cfg.Share*float64(len(known)) {
			continue
		}
		hold.Until = max(hold.Until, losses[i].At+cfg.Window+cfg.For)
		hold.Missing = append(hold.Missing, burst...)
	}
	hold.Missing = without(hold.Missing, present)
	if now >= hold.Until {
		return Hold{}
	}
	return hold
}

// within are the distinct nodes lost in the window that starts with the first loss.
func within(losses []Loss, window time.Duration) []string {
	seen := map[string]bool{}
	var out []string
	for _, l := range losses {
		if l.At > losses[0].At+window {
			break
		}
		if !seen[l.Node] {
			seen[l.Node] = true
			out = append(out, l.Node)
		}
	}
	return out
}

func without(names, present []string) []string {
	out := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(present, n) })
	slices.Sort(out)
	return slices.Compact(out)
}
