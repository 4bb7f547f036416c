package maintainer

import (
	"fmt"
	"testing"
	"time"
)

// The cost of placing many spans follows their number: one ask each, in full messages.
func TestTheCostOfManySpans(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		for i := range 10 {
			w.node(fmt.Sprintf("n%d", i))
		}
		time.Sleep(time.Second)
		const spans = 4_000
		w.keyspace("ks", spans)
		took := w.owned("ks", spans, time.Minute)
		messages := 0
		for _, n := range w.nodes {
			messages += n.messages
			if c := w.owners("ks")[n.name]; c < spans/10-40 || c > spans/10+40 {
				t.Errorf("%s has %d", n.name, c)
			}
		}
		s := m.Stats()
		t.Logf("placed in %v: %+v, %d messages", took, s, messages)
		if s.Asks != spans || s.Repeated != 0 || messages > 200 {
			t.Errorf("%d asks, %d of them repeated, in %d messages", s.Asks, s.Repeated, messages)
		}
	})
}
