package dispatcher_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanward/spanward/dispatcher"
)

// What a dispatcher says of itself: not ready before it has registered and after it has lost its session, and the
// greatest lag of what it runs.
func TestStatsAndReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		idle := w.etcd.Process()
		d, err := dispatcher.New(dispatcher.Config{Cluster: w.layout, Name: "idle", Client: idle.Client()}, map[string]dispatcher.Workload{"test": newSink()})
		if err != nil {
			t.Fatal(err)
		}
		if d.Ready() == nil || d.Stats().Session != 0 || d.Stats().MayAct != 0 {
			t.Errorf("one that does not run: %v, %+v", d.Ready(), d.Stats())
		}
		p := w.ready("n1")
		w.span("a")
		w.span("b")
		w.open("n1", "a")
		w.open("n1", "b")
		for n, id := range []string{"a", "b"} {
			lag := int64(1000 * (n + 1))
			p.sink.reporter(id).Report(dispatcher.Status{LagMS: &lag})
		}
		s := p.Stats()
		if p.Ready() != nil || s.Session != w.session("n1") || s.Sessions != 1 || s.MayAct <= 0 || s.Lag["ks"] != 2*time.Second || s.Running != 2 {
			t.Errorf("%v, %+v", p.Ready(), s)
		}
		p.sink.reporter("b").Report(dispatcher.Status{})
		if lag := p.Stats().Lag["ks"]; lag != time.Second {
			t.Errorf("lag %v once that of b is unknown", lag)
		}
		p.etcd.Pause()
		time.Sleep(time.Minute)
		if s := p.Stats(); p.Ready() == nil || s.Session != 0 || len(s.Lag) != 0 {
			t.Errorf("without etcd: %v, %+v", p.Ready(), s)
		}
		p.etcd.Resume()
		w.eventually("ready again", func() bool { return p.Ready() == nil && p.Stats().Sessions == 2 })
	})
}
