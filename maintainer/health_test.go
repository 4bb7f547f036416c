package maintainer

import (
	"testing"
	"time"
)

// Who leads, who is ready, and who is not any more because etcd is away.
func TestHealth(t *testing.T) {
	inWorld(t, func(w *world) {
		idle, err := New(Config{Layout: w.layout, Name: "idle", Advertise: "idle", Listener: w.net.listen("idle"), Client: w.etcd.Process().Client()})
		if err != nil {
			t.Fatal(err)
		}
		if idle.Ready() == nil || idle.Alive() != nil || idle.Overview() != nil {
			t.Errorf("one that does not run: ready %v, alive %v", idle.Ready(), idle.Alive())
		}
		m1 := w.maintainer("m1")
		w.eventually("m1 leads", time.Minute, func() string { return unless(m1.Stats().Leading) })
		m2 := w.maintainer("m2")
		w.eventually("m2 is ready", time.Minute, func() string { return unless(m2.Ready() == nil) })
		s1, s2 := m1.Stats(), m2.Stats()
		if s1.Term == 0 || s1.Term != s2.Term || s2.Leading || s1.Terms != 1 || s1.Sessions != 1 || s1.MayAct <= 0 || s1.Revision == 0 {
			t.Errorf("m1 %+v\nm2 %+v", s1, s2)
		}
		if m1.Overview().GetLeader() != "m1" || m2.Overview() != nil {
			t.Errorf("overviews: %v, %v", m1.Overview(), m2.Overview())
		}
		m1.etcd.Pause()
		time.Sleep(time.Minute)
		if m1.Ready() == nil || m1.Alive() != nil || m1.Stats().Leading || m1.Stats().MayAct != 0 {
			t.Errorf("without etcd: ready %v, alive %v, %+v", m1.Ready(), m1.Alive(), m1.Stats())
		}
		m1.etcd.Resume()
		w.eventually("m1 is ready again", time.Minute, func() string { return unless(m1.Ready() == nil) })
		if n := m1.Stats().Sessions; n < 2 {
			t.Errorf("%d sessions", n)
		}
	})
}

func unless(ok bool) string {
	if ok {
		return ""
	}
	return "not yet"
}
