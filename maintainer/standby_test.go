package maintainer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
)

// two are a leader and a standby that has a stream to it.
func (w *world) two() (a, b *proc) {
	w.t.Helper()
	a = w.maintainer("m1")
	w.leads(a, 5*time.Second)
	b = w.maintainer("m2")
	w.eventually("the standby is up to date", 5*time.Second, func() string { return w.behind(a, b) })
	time.Sleep(time.Second) // etcd looks at new watches ten times a second, as long as they have to catch up
	return a, b
}

func (w *world) behind(leader, standby *proc) string {
	leader.standbys.mu.Lock()
	defer leader.standbys.mu.Unlock()
	st, ok := leader.standbys.list[standby.name]
	if !ok || st.revision < standby.view.Revision() {
		return fmt.Sprintf("%+v, its view is at %d", leader.standbys.list, standby.view.Revision())
	}
	return ""
}

func TestAStandbyDeposesALeaderWhoseProcessIsGone(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.two()
		a.kill(false)
		if took := w.leads(b, time.Second); took > 50*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if s := b.Stats(); len(s.Takeovers) != 1 || s.Takeovers[0].FirstWrite > 20*time.Millisecond {
			t.Errorf("%+v", s.Takeovers)
		}
	})
}

// A host that does not answer proves nothing: the lease decides.
func TestASilentLeaderIsNotDeposed(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.two()
		a.kill(true)
		if took := w.leads(b, 10*time.Second); took < 3*time.Second || took > 6500*time.Millisecond {
			t.Errorf("took %v with a TTL of 5 s", took)
		}
	})
}

// Nor does a refusal of somebody with whom there was no stream in this term.
func TestALeaderNeverSpokenToIsNotDeposed(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.maintainer("m1")
		w.leads(a, 5*time.Second)
		w.net.cut("m1", false)
		b := w.maintainer("m2")
		time.Sleep(20 * time.Second)
		if a.current() == nil || b.current() != nil {
			t.Error("a leader was deposed that is only unreachable")
		}
		if n := w.net.dialled("m1"); n < 5 || n > 200 {
			t.Errorf("%d dials in 20 s", n)
		}
	})
}

func TestALeaderThatStopsNamesAnUpToDateSuccessor(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.two()
		c := w.maintainer("m3")
		w.eventually("the other is up to date", 5*time.Second, func() string { return w.behind(a, c) })
		// m2 falls behind: its view gets nothing more.
		b.etcd.Pause()
		time.Sleep(300 * time.Millisecond)
		w.keyspace("ks", 3)
		time.Sleep(time.Second)
		w.eventually("the other is up to date again", 5*time.Second, func() string { return w.behind(a, c) })
		a.stop()
		took := w.leads(c, time.Second)
		<-a.done
		b.etcd.Resume()
		if took > 50*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if n := len(w.get(w.layout.Maintainer("m1")).Kvs); n != 0 {
			t.Error("its registration is still there")
		}
	})
}

func TestTheSecondOfANameWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.maintainer("m1")
		w.leads(a, 5*time.Second)
		b := w.maintainer("m1", func(c *Config) { c.Advertise = "elsewhere"; c.Listener = w.net.listen("elsewhere") })
		time.Sleep(20 * time.Second)
		if b.current() != nil {
			t.Error("it leads")
		}
		rec, err := record.DecodeMaintainer(w.get(w.layout.Maintainer("m1")).Kvs[0].Value)
		if err != nil || rec.Address != "m1" {
			t.Fatalf("%+v, %v", rec, err)
		}
		a.quit()
		w.leads(b, time.Second)
	})
}

func TestALostSessionBeginsAnew(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.maintainer("m1")
		w.leads(a, 5*time.Second)
		first := a.current().number
		r := w.get(w.layout.Maintainer("m1"))
		if _, err := w.etcd.Client().Revoke(context.Background(), clientv3.LeaseID(r.Kvs[0].Lease)); err != nil {
			t.Fatal(err)
		}
		w.eventually("it leads a new term", 10*time.Second, func() string {
			if t := a.current(); t == nil || t.number == first {
				return "not yet"
			}
			return ""
		})
		if len(w.get(w.layout.Maintainer("m1")).Kvs) != 1 {
			t.Error("it is not registered")
		}
	})
}

func TestALeaderWhoseKeyIsDeletedLeadsAnew(t *testing.T) {
	inWorld(t, func(w *world) {
		a, refs := w.settled(3, "n1")
		first := a.current().number
		if _, err := w.etcd.Client().Delete(context.Background(), w.layout.Leader()); err != nil {
			t.Fatal(err)
		}
		w.eventually("a new term", 2*time.Second, func() string {
			if t := a.current(); t == nil || t.number == first {
				return "not yet"
			}
			return ""
		})
		before := w.span(refs[0]).Owner
		time.Sleep(5 * time.Second)
		if now := w.span(refs[0]).Owner; now != before {
			t.Errorf("a span moved: %v, %v", before, now)
		}
	})
}

// Whoever is killed at a failpoint must not say another word to etcd.
func TestAKilledProcessTouchesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.maintainer("m1")
		w.leads(a, 5*time.Second)
		a.dead = true
		a.at(func(name string) error {
			if name == "maintainer/placement/ask/before" {
				return errKilled
			}
			return nil
		})
		w.node("n1")
		w.keyspace("ks", 1)
		select {
		case <-a.done:
		case <-time.After(3 * time.Second):
			t.Fatal("Run goes on")
		}
		l, err := record.DecodeLeader(w.get(w.layout.Leader()).Kvs[0].Value)
		if err != nil || l.Resigned {
			t.Errorf("it has resigned: %+v %v", l, err)
		}
		if len(w.get(w.layout.Maintainer("m1")).Kvs) != 1 {
			t.Error("it has revoked its lease")
		}
	})
}

// A process that lives but does not work must not stay the leader.
func TestALeaderWhoseLoopHangsLosesItsSession(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.two()
		hang := make(chan struct{})
		resume := sync.OnceFunc(func() { close(hang) })
		defer resume()
		_, l := a.leading()
		l.post(func() { <-hang })
		if took := w.leads(b, 15*time.Second); took < 4*time.Second || took > 11*time.Second {
			t.Errorf("took %v", took)
		}
		resume()
		time.Sleep(time.Second)
		if a.current() != nil {
			t.Error("it still believes to lead")
		}
	})
}

// The streams of the standbys end with the term, and the resignation comes after it: they must not be forgotten then.
func TestWhoeverStopsNamesALivingStandby(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.two()
		for _, p := range []*proc{a, b} {
			p.at(func(name string) error {
				if name == "maintainer/any/resign/before" {
					time.Sleep(50 * time.Millisecond) // whatever ends with the term has ended
				}
				return nil
			})
		}
		a.quit()
		w.leads(b, 100*time.Millisecond)
		var names []string
		r, err := w.etcd.Client().Get(context.Background(), w.layout.Leader())
		if err != nil {
			t.Fatal(err)
		}
		for rev := r.Kvs[0].CreateRevision; rev <= r.Kvs[0].ModRevision; rev++ {
			old, err := w.etcd.Client().Get(context.Background(), w.layout.Leader(), clientv3.WithRev(rev))
			if err != nil {
				t.Fatal(err)
			}
			if l, err := record.DecodeLeader(old.Kvs[0].Value); err == nil && l.Resigned && old.Kvs[0].ModRevision == rev {
				names = append(names, l.Successor)
			}
		}
		if fmt.Sprint(names) != "[m2]" {
			t.Errorf("successors named: %q", names)
		}
		// Nobody is left.
		b.quit()
		l, err := record.DecodeLeader(w.get(w.layout.Leader()).Kvs[0].Value)
		if err != nil || !l.Resigned || l.Successor != "" {
			t.Errorf("the last one resigned to somebody: %+v, %v", l, err)
		}
	})
}

// A standby that has no session, as one that waits for its name, could not take the seat: it is no successor.
func TestWhoeverCannotCampaignIsNoSuccessor(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.two()
		if _, err := w.etcd.Client().Put(context.Background(), w.layout.Maintainer("m0"), "somebody's"); err != nil {
			t.Fatal(err)
		}
		c := w.maintainer("m0") // would be preferred by its name
		w.eventually("it has a stream", 5*time.Second, func() string { return w.behind(a, c) })
		if s := a.standbys.successor(); s != "m2" {
			t.Errorf("the successor would be %q", s)
		}
		a.quit()
		w.leads(b, 100*time.Millisecond)
	})
}

// A dispatcher reads in the leader key who leads, and asks before that process has caught up with its own election.
func TestWhoeverAsksDuringATakeOverWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.maintainer("m1")
		slow := func(name string) error {
			if name == "maintainer/any/cluster/before" {
				time.Sleep(500 * time.Millisecond)
			}
			return nil
		}
		a.at(slow)
		w.eventually("it is elected", 5*time.Second, func() string {
			if len(w.get(w.layout.Leader()).Kvs) == 0 {
				return "not yet"
			}
			return ""
		})
		if a.current() != nil {
			t.Fatal("it has taken over already")
		}
		err := w.tryRegister(a.name, &sessionv1.Register{Cluster: "test", Node: "n1", Session: 1})
		if !fault.Is(err, fault.Refused) { // by the leader, who knows no such session
			t.Errorf("it was told: %v", err)
		}
		if a.current() == nil {
			t.Error("it was answered by nobody who leads")
		}
	})
}

func TestEtcdAwayForAMinute(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.two()
		w.etcd.Down()
		time.Sleep(time.Minute)
		if a.current() != nil || b.current() != nil {
			t.Error("somebody believes to lead although its session cannot live")
		}
		w.etcd.Up()
		w.eventually("one leads again", 15*time.Second, func() string {
			if a.current() == nil && b.current() == nil {
				return "nobody"
			}
			return ""
		})
		w.node("n1")
		w.keyspace("ks", 3)
		w.owned("ks", 3, 5*time.Second)
	})
}

// Who was a standby in a term that is over, and has not come back since, is no successor.
func TestAStandbyOfAFormerTermIsNoSuccessor(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.two()
		first := a.current().number
		if _, err := w.etcd.Client().Delete(context.Background(), w.layout.Leader()); err != nil {
			t.Fatal(err)
		}
		b.kill(false)
		w.eventually("it leads a new term", 5*time.Second, func() string {
			if t := a.current(); t == nil || t.number == first {
				return "not yet"
			}
			return ""
		})
		if s := a.standbys.successor(); s != "" {
			t.Errorf("the successor would be %q", s)
		}
	})
}

// The listener of a process that dies may outlive its connections by a moment.
func TestAListenerThatClosesLastDoesNotSaveTheLeader(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.two()
		w.net.linger(a.name)
		a.kill(false)
		time.Sleep(5 * time.Millisecond)
		w.net.cut(a.name, false)
		if took := w.leads(b, time.Second); took > 50*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// A leader that has resigned and stops can only send its callers away: waiting there for somebody to lead would cost
// them the time that it takes to stop.
func TestALeaderThatStopsKeepsNoCallerWaiting(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.two()
		api := w.ask(a.name)
		ask := func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			_, err := api.GetStatus(ctx, &controlv1.GetStatusRequest{Cluster: "test"})
			return err
		}
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		a.at(func(name string) error {
			if name == "maintainer/any/resign/before" {
				time.Sleep(2 * time.Second)
			}
			return nil
		})
		began := time.Now()
		a.stop()
		time.Sleep(10 * time.Millisecond)
		if err := ask(); !fault.Is(err, fault.NotLeader) {
			t.Errorf("it was told: %v", err)
		}
		err := w.tryRegister(a.name, &sessionv1.Register{Cluster: "test", Node: "n1", Session: 1})
		if f, ok := fault.As(err); !ok || f.Reason != fault.NotLeader || strings.Contains(f.Remedy, a.name) {
			t.Errorf("a dispatcher was told: %v", err)
		}
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("after %v", took)
		}
		w.leads(b, 3*time.Second)
	})
}
