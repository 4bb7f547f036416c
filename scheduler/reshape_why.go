package scheduler

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// whyHot is why a span is split, for people: "load 1500 for 30s, more than split.load=1000".
func (r *reshaper) whyHot(it *item) string {
	c, l := it.keyspace.cfg, it.load
	since := lasting(r.now - it.turned)
	if over(l.Load, c.SplitLoad) {
		return fmt.Sprintf("load %s for %s, more than split.load=%s", amount(l.Load), since, amount(c.SplitLoad))
	}
	return fmt.Sprintf("size %s for %s, more than split.size=%s", amount(l.Size), since, amount(c.SplitSize))
}

// whyCold is why neighbours are merged: "load 3 of 2 neighbours together, for 10m0s, no more than merge.load=10".
func (r *reshaper) whyCold(group []*item) string {
	c, sum := group[0].keyspace.cfg, sumOf(group)
	why := fmt.Sprintf("load %s of %d neighbours together, for %s, no more than merge.load=%s",
		amount(sum.Load), len(group), lasting(r.coldFor(group)), amount(c.MergeLoad))
	if c.MergeSize > 0 {
		why += fmt.Sprintf(", and size %s, no more than merge.size=%s", amount(sum.Size), amount(c.MergeSize))
	}
	return why
}

// amount is a number for people: what it has beyond a thousandth is left out, and there is no exponent.
func amount(x float64) string {
	return strconv.FormatFloat(math.Round(x*1000)/1000, 'f', -1, 64)
}

func lasting(d stamp) string { return lastingFor(int64(d)) }

// explainReshape says what is next for a span by its load, or why nothing, though it is hot or cold: part of a sentence about
// it, "" if its load does not matter, or something else is in flight.
func (f *Fleet) explainReshape(it *item, now time.Time) string {
	r := &f.reshape
	if it.heat == tepid || !it.steady() {
		return ""
	}
	r.advance(now)
	if it.heat == hot {
		return f.explainHot(it)
	}
	return f.explainCold(it)
}

func (f *Fleet) explainHot(it *item) string {
	r, why := &f.reshape, f.reshape.whyHot(it)
	due, ok := r.dueAt(it)
	room := it.keyspace.cfg.MaxSpans
	switch bar := f.displaced(it); {
	case !ok && len(it.load.SplitKeys) == 0:
		return fmt.Sprintf("is not split (%s): its workload proposes no split keys", why)
	case !ok:
		return fmt.Sprintf("is not split (%s): its workload proposes no split keys inside its range", why)
	case bar != "":
		return fmt.Sprintf("is not split (%s) where it is: %s", why, bar)
	case f.roomOn(it) < 1:
		return fmt.Sprintf("is not split (%s): %s is at its capacity of %d", why, it.Node, it.host.node.Capacity)
	case it.keyspace.room() < 1:
		return fmt.Sprintf("is not split (%s): keyspace %s has as many spans as it may, max-spans=%d", why, it.keyspace.name, room)
	case due > r.now:
		return fmt.Sprintf("is split in %s if that goes on: %s", lasting(due-r.now), why)
	case f.reshapeRoom() < 1:
		return fmt.Sprintf("is split (%s) when others are done: as many splits and merges are in flight as may be, reshape.in-flight=%d", why, f.reshapeInFlight)
	}
	return "is split next: " + why
}

func (f *Fleet) explainCold(it *item) string {
	r, cfg := &f.reshape, it.keyspace.cfg
	why := fmt.Sprintf("load %s for %s, no more than merge.load=%s", amount(it.load.Load), lasting(r.now-it.turned), amount(cfg.MergeLoad))
	due, _ := r.dueAt(it)
	if bar := f.displaced(it); bar != "" {
		return fmt.Sprintf("is not merged (%s) where it is: %s", why, bar)
	}
	if due > r.now {
		return fmt.Sprintf("may be merged in %s if that goes on: %s", lasting(due-r.now), why)
	}
	group := it.keyspace.groupOf(it)
	if group == nil {
		return fmt.Sprintf("is not merged (%s): it has no neighbour, under the same pin, that has been cold enough for as long", why)
	}
	if f.reshapeRoom() < 1 {
		return fmt.Sprintf("is merged with %s when others are done: as many splits and merges are in flight as may be, reshape.in-flight=%d",
			others(group, it), f.reshapeInFlight)
	}
	return fmt.Sprintf("is merged with %s next: %s", others(group, it), r.whyCold(group))
}

// groupOf is who a span would be merged with as things are, nil for nobody.
func (ks *reshapedKeyspace) groupOf(it *item) []*item {
	first := it.cold
	if first == nil {
		return nil
	}
	if before := ks.previous(first); before != nil && before.pair != nil && (first.pair == nil || before.pair == ks.together) {
		first = before
	}
	if first.pair == nil {
		return nil
	}
	return ks.groupFrom(first)
}

func others(group []*item, but *item) string {
	var ids []string
	for _, it := range group {
		if it != but {
			ids = append(ids, string(it.Ref.ID))
		}
	}
	return strings.Join(ids, ", ")
}
