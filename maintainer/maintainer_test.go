package maintainer

import (
	"testing"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
)

func TestPlacesManySpansEvenlyInFewMessages(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		for _, name := range []string{"n1", "n2", "n3"} {
			w.node(name)
		}
		time.Sleep(time.Second)
		w.keyspace("ks", 999)
		w.owned("ks", 999, 10*time.Second)
		messages := 0
		for _, n := range w.nodes {
			if c := w.owners("ks")[n.name]; c != 333 {
				t.Errorf("%s has %d of 999", n.name, c)
			}
			messages += n.messages
		}
		if messages > 30 {
			t.Errorf("%d messages for 999 spans", messages)
		}
		if s := m.Stats(); s.Asks != 999 || s.Repeated != 0 || s.Refused != 0 {
			t.Errorf("asks: %+v", s)
		}
		for _, n := range w.nodes {
			if got := n.asks[sessionv1.Ask_ACTION_OPEN]; got != 333 {
				t.Errorf("%s was asked %d times", n.name, got)
			}
		}
	})
}
