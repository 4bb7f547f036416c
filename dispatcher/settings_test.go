package dispatcher_test

import (
	"testing"
	"testing/synctest"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// changed is an ask of a leader for whom the settings of the keyspace have changed since the spans were opened.
func (w *world) changed(action sessionv1.Ask_Action, spans ...operator.Span) *sessionv1.Ask {
	w.t.Helper()
	ask := w.askTogether(action, spans...)
	ask.Settings = map[string]string{"a": "new"}
	return ask
}

// A span is opened with the settings of that moment, also where no ask to open comes before: as a child, or again.
func TestWhatIsOpenedWithoutAnAskHasTheNewSettings(t *testing.T) {
	opened := func(t *testing.T, p *process, ids ...span.ID) {
		t.Helper()
		for _, id := range ids {
			if got := p.sink.taskOf(string(id)).Settings["a"]; got != "new" {
				t.Errorf("%s was opened with %q", id, got)
			}
		}
	}
	t.Run("split", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			p := w.ready("n1")
			w.tile("a")
			w.open("n1", "a")
			s := w.acceptSplit("a", 2)
			w.sendAsk("n1", w.changed(sessionv1.Ask_ACTION_CLOSE, s))
			w.swapped("n1", []span.ID{"a"}, childrenOf(s))
			opened(t, p, childrenOf(s)...)
		})
	})
	t.Run("merge", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newMerging(t, canCloseAt)
			m.sendAsk("n1", m.changed(sessionv1.Ask_ACTION_CLOSE, m.spans...))
			m.swapped("n1", sources, []span.ID{"9-m.0"})
			opened(t, m.p, "9-m.0")
		})
	})
	t.Run("cancel", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newMerging(t, canCloseAt)
			release := m.p.sink.hold(m.p.sink.holdClose, "b")
			m.ask()
			m.eventually("closing", func() bool { return len(m.p.sink.trace("b")) == 4 })
			ask := m.changed(sessionv1.Ask_ACTION_CANCEL, m.spans...)
			ask.Cause = record.EncodeCause(byUser)
			m.sendAsk("n1", ask)
			m.eventually("told", func() bool { return m.wasRevoked("c") })
			at := m.ended("9-m", byUser)
			for _, id := range sources {
				m.again(id, at)
			}
			release()
			opened(t, m.p, sources...)
		})
	})
}
