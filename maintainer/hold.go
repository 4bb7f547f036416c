package maintainer

import (
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
)

// hold keeps spans of nodes that vanished together where they were, for as long as those may come back.
type hold struct {
	scheduler.Hold
	// back are nodes that belong to the burst: their spans prefer them.
	back map[string]bool
	// kept are the spans that wait.
	kept map[operator.Ref]struct{}
	// active: the hold was shown.
	active bool
}

// holdMassLoss finds out whether failover is held, and ends it when the nodes are back or have had their time.
func (l *loop) holdMassLoss() {
	losses := l.m.past.recent(l.tuned.MassLossWindow + l.tuned.MassLossHold)
	if len(losses) == 0 && !l.hold.active {
		clear(l.hold.back)
		return
	}
	clock := l.m.clock()
	cfg := scheduler.HoldConfig{
		Share: l.tuned.MassLossShare, Least: l.tuned.MassLossLeast, Window: l.tuned.MassLossWindow, For: l.tuned.MassLossHold,
	}
	h := scheduler.MassLoss(cfg, clock, l.back(losses), losses)
	holding := h.Holding(clock)
	changed := holding != l.hold.active || !slices.Equal(h.Missing, l.hold.Missing)
	l.hold.Hold, l.hold.active = h, holding
	if !changed {
		return
	}
	l.showHold(h, holding)
	for r := range l.hold.kept {
		l.dirty.push(r)
	}
	clear(l.hold.kept)
}

// back are the nodes that are there. One that was lost counts once it is connected again: before, its spans could
// only go elsewhere.
func (l *loop) back(losses []scheduler.Loss) []string {
	var out []string
	for _, n := range l.state.Nodes() {
		lost := slices.ContainsFunc(losses, func(x scheduler.Loss) bool { return x.Node == n.Name })
		if !lost || l.streams[n.Session] != nil {
			out = append(out, n.Name)
		}
	}
	return out
}

// showHold puts the hold among the problems, and logs its beginning and end.
func (l *loop) showHold(h scheduler.Hold, holding bool) {
	if !holding {
		l.known.solve("mass_loss", "", "", "")
		l.log.Info("failover goes on")
		return
	}
	for _, n := range h.Missing {
		l.hold.back[n] = true
	}
	text := fmt.Sprintf("%d nodes vanished at once (%s): failover waits for them", len(h.Missing), strings.Join(h.Missing, ", "))
	l.known.complain(problem{kind: "mass_loss", message: text})
	l.log.Warn("failover held", zap.Strings("nodes", h.Missing))
}

// keeps says why a span is not placed now, "" if it may be. Only spans of lost nodes are held, never new ones.
func (h *hold) keeps(m operator.Member, p operator.Place) string {
	if !h.active || p.By != record.ByFailover || !slices.Contains(h.Missing, m.Span.Owner.Node) {
		return ""
	}
	h.kept[m.Ref] = struct{}{}
	return m.Span.Owner.Node + " vanished with many others; it may come back"
}

// prefers is the node that a span goes back to: its owner's, if that vanished with many others.
func (h *hold) prefers(s operator.Span) string {
	if h.back[s.Owner.Node] {
		return s.Owner.Node
	}
	return ""
}

func newHold() hold {
	return hold{back: map[string]bool{}, kept: map[operator.Ref]struct{}{}}
}
