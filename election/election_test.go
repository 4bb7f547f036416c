package election_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/election"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/leases"
)

// trio is three candidates, of which a leads and the others campaign.
type trio struct {
	etcd       *etcdtest.Bubble
	a, b, c    *candidate
	seat       *election.Seat
	wonB, wonC <-chan *election.Seat
}

func newTrio(t *testing.T) *trio {
	t.Helper()
	w := &trio{etcd: etcdtest.StartBubble(t)}
	w.a, w.b, w.c = join(t.Context(), t, w.etcd, "a"), join(t.Context(), t, w.etcd, "b"), join(t.Context(), t, w.etcd, "c")
	w.seat = w.a.mustWin(t)
	w.wonB, w.wonC = w.b.campaign(t), w.c.campaign(t)
	time.Sleep(time.Minute)
	select {
	case <-w.wonB:
		t.Fatal("b won against a living leader")
	case <-w.wonC:
		t.Fatal("c won against a living leader")
	case <-w.seat.Lost():
		t.Fatal("a lost its seat")
	default:
	}
	return w
}

// next waits for the next leader and returns it, its seat, and how long it took.
func (w *trio) next(t *testing.T) (*candidate, *election.Seat, time.Duration) {
	t.Helper()
	from := time.Now()
	var who *candidate
	var seat *election.Seat
	select {
	case seat = <-w.wonB:
		who = w.b
	case seat = <-w.wonC:
		who = w.c
	case <-time.After(time.Minute):
		t.Fatal("nobody was elected in a minute")
	}
	took := time.Since(from)
	time.Sleep(10 * time.Second)
	select {
	case <-w.wonB:
		t.Error("a second winner")
	case <-w.wonC:
		t.Error("a second winner")
	default:
	}
	return who, seat, took
}

func mustLose(t *testing.T, s *election.Seat, within time.Duration) {
	t.Helper()
	select {
	case <-s.Lost():
	case <-time.After(within):
		t.Fatalf("the seat was not lost within %v", within)
	}
	if !errors.Is(s.Err(), election.ErrTermOver) {
		t.Errorf("lost with %v", s.Err())
	}
}

func mustWrite(t *testing.T, c *candidate, s *election.Seat, want bool) {
	t.Helper()
	if ok, err := c.write(t.Context(), s, 0); err != nil || ok != want {
		t.Errorf("%s wrote in term %d: %v, %v; want %v", c.name, s.Term(), ok, err, want)
	}
}

func TestDeadLeaderIsReplacedWithinTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTrio(t)
		w.a.process.Kill()
		who, seat, took := w.next(t)
		if took > ttl+time.Second {
			t.Errorf("took %v", took)
		}
		if seat.Term() <= w.seat.Term() {
			t.Errorf("term %d after %d", seat.Term(), w.seat.Term())
		}
		mustWrite(t, who, seat, true)
		mustLose(t, w.seat, time.Second) // it could not even hear of it
	})
}

func TestStoppedLeaderWakesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTrio(t)
		w.a.process.Pause()
		late := make(chan bool, 1)
		go func() { // decided before it was stopped, sent after it woke up
			r, err := w.a.process.Client().Txn(t.Context()).If(w.seat.Fence()).
				Then(clientv3.OpPut(writes+"late", "0")).Commit()
			late <- err == nil && r.Succeeded
		}()
		who, seat, took := w.next(t)
		if took > ttl+time.Second {
			t.Errorf("took %v", took)
		}
		mustWrite(t, who, seat, true)
		w.a.process.Resume()
		if <-late {
			t.Error("a write of the old term had an effect")
		}
		mustLose(t, w.seat, time.Second)
		if _, err := w.a.Campaign(t.Context()); !errors.Is(err, leases.ErrExpired) {
			t.Errorf("campaigned on a session that is over: %v", err)
		}
		mustHistory(t, w.etcd.Client())
	})
}

// Campaign must not report a victory on a session that ended while it waited.
func TestNoPhantomWinner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTrio(t)
		err := make(chan error, 1)
		d := join(t.Context(), t, w.etcd, "d")
		go func() {
			_, e := d.Campaign(t.Context())
			err <- e
		}()
		time.Sleep(time.Second)
		if _, e := w.etcd.Client().Revoke(t.Context(), d.session.ID()); e != nil {
			t.Fatal(e)
		}
		// At once, before d's next renewal tells it.
		if e := w.seat.Resign(t.Context(), "d"); e != nil {
			t.Fatal(e)
		}
		if e := <-err; !errors.Is(e, leases.ErrExpired) {
			t.Errorf("campaign ended with %v", e)
		}
		if who, _, _ := w.next(t); who == nil {
			t.Error("nobody leads")
		}
	})
}

func TestLeaderKeyDeletedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTrio(t)
		if _, err := w.etcd.Client().Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		mustLose(t, w.seat, 100*time.Millisecond)
		who, seat, took := w.next(t)
		if took > 100*time.Millisecond {
			t.Errorf("took %v", took)
		}
		mustWrite(t, w.a, w.seat, false)
		mustWrite(t, who, seat, true)
		if terms := mustHistory(t, w.etcd.Client()); len(terms) != 2 {
			t.Errorf("terms %v", terms)
		}
	})
}

// Nobody's lease would ever remove what was put by hand.
func TestLeaderKeyPutByHand(t *testing.T) {
	for name, value := range map[string]string{
		"garbage":         "garbage",
		"a leader's copy": string(record.EncodeLeader(record.Leader{Maintainer: "x", Instance: "x-1", Address: "x"})),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTrio(t)
				if _, err := w.etcd.Client().Put(t.Context(), key, value); err != nil {
					t.Fatal(err)
				}
				mustLose(t, w.seat, 100*time.Millisecond)
				who, seat, took := w.next(t)
				if took > time.Second {
					t.Errorf("took %v", took)
				}
				mustWrite(t, who, seat, true)
			})
		})
	}
}

func TestResigningLateTakesNothingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		a, b := join(t.Context(), t, etcd, "a"), join(t.Context(), t, etcd, "b")
		old, err := a.Campaign(t.Context()) // and does not look at the key again
		if err != nil {
			t.Fatal(err)
		}
		seat, err := b.Depose(t.Context(), election.Evidence{Term: old.Term(), Instance: a.instance()})
		if err != nil {
			t.Fatal(err)
		}
		if err := old.Resign(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		mustWrite(t, b, seat, true)
	})
}

// The key of a session that is over goes with its lease; the same process on a new session must not lean on it.
func TestKeyOfAnOldSessionIsNotTakenForOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		a := join(t.Context(), t, etcd, "a")
		old := a.mustWin(t)
		if err := a.restart(t.Context(), a.instance()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if seat, err := a.Campaign(ctx); err == nil {
			t.Errorf("won term %d on a lease that is not its own, after %d", seat.Term(), old.Term())
		}
	})
}

func TestResignToANamedSuccessor(t *testing.T) {
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			w := newTrio(t)
			if err := w.seat.Resign(t.Context(), "c"); err != nil {
				t.Fatal(err)
			}
			if !errors.Is(w.seat.Err(), election.ErrResigned) {
				t.Errorf("resigned: %v", w.seat.Err())
			}
			who, seat, took := w.next(t)
			if who != w.c || took > 100*time.Millisecond {
				t.Errorf("%s after %v", who.name, took)
			}
			if err := w.seat.Resign(t.Context(), "b"); err != nil {
				t.Error(err)
			}
			mustWrite(t, who, seat, true) // resigning again changed nothing
			mustWrite(t, w.a, w.seat, false)
		})
	}
}

func TestDeadSuccessorIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTrio(t)
		w.c.process.Kill()
		if err := w.seat.Resign(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		who, _, took := w.next(t)
		if who != w.b || took < 200*time.Millisecond || took > 400*time.Millisecond {
			t.Errorf("%s after %v", who.name, took)
		}
	})
}

func TestDrainingCandidateStaysOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTrio(t)
		w.b.draining.Store(true)
		w.c.draining.Store(true)
		if err := w.seat.Resign(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		select {
		case <-w.wonB:
			t.Error("b won")
		case <-w.wonC:
			t.Error("c won")
		default:
		}
		if _, err := w.b.Depose(t.Context(), election.Evidence{Term: w.seat.Term(), Instance: "a-1"}); !errors.Is(err, election.ErrRefused) {
			t.Errorf("a draining candidate deposed: %v", err)
		}
		w.b.draining.Store(false)
		if who, _, took := w.next(t); who != w.b || took > time.Second {
			t.Errorf("%s after %v", who.name, took)
		}
	})
}

func TestDepose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTrio(t)
		w.a.process.Kill()
		for name, e := range map[string]election.Evidence{
			"another instance": {Term: w.seat.Term(), Instance: "a-2"},
			"another term":     {Term: w.seat.Term() - 1, Instance: w.a.instance()},
		} {
			if _, err := w.b.Depose(t.Context(), e); !errors.Is(err, election.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if mustHistory(t, w.etcd.Client())[0] != w.seat.Term() {
			t.Error("a refused deposition changed the key")
		}
		// Campaign and Depose of one candidate run side by side, and one of them gets the seat.
		depose := func(term int64, instance string) *election.Seat {
			t.Helper()
			seat, err := w.b.Depose(t.Context(), election.Evidence{Term: term, Instance: instance})
			if errors.Is(err, election.ErrSeated) {
				return <-w.wonB
			}
			if err != nil || seat.Term() <= term {
				t.Fatal(seat, err)
			}
			return seat
		}
		seat := depose(w.seat.Term(), w.a.instance())
		mustWrite(t, w.b, seat, true)
		// Once per TTL, whoever it is against.
		if err := seat.Resign(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		third := <-w.wonC
		if _, err := w.b.Depose(t.Context(), election.Evidence{Term: third.Term(), Instance: "c-1"}); !errors.Is(err, election.ErrRefused) {
			t.Errorf("deposed twice in a moment: %v", err)
		}
		time.Sleep(ttl)
		depose(third.Term(), "c-1")
	})
}

func TestLostAnswers(t *testing.T) {
	for name, fault := range map[string]etcdtest.Fault{
		"carried out": {Lose: true},
		"not sent":    {Err: context.DeadlineExceeded},
		"late":        {Late: 3 * time.Second},
		"slow":        {Delay: 900 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				etcd := etcdtest.StartBubble(t)
				a, b := join(t.Context(), t, etcd, "a"), join(t.Context(), t, etcd, "b")
				first := func(c etcdtest.Call) etcdtest.Fault {
					if c.Method == "Txn" && c.N%2 == 1 {
						return fault
					}
					return etcdtest.Fault{}
				}
				a.process.Inject(first)
				b.process.Inject(first)
				seat := a.mustWin(t)
				won := b.campaign(t)
				if err := seat.Resign(t.Context(), "b"); err != nil {
					t.Fatal(err)
				}
				next := <-won
				mustLose(t, seat, time.Millisecond)
				if terms := mustHistory(t, etcd.Client()); len(terms) != 2 || terms[0] != seat.Term() || terms[1] != next.Term() {
					t.Errorf("terms %v, seats %d and %d", terms, seat.Term(), next.Term())
				}
			})
		})
	}
}

// A term that is over is not taken up again by the same process, though the key may still show it.
func TestEveryElectionIsANewTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		a := join(t.Context(), t, etcd, "a")
		seat := a.mustWin(t)
		if _, err := a.Campaign(t.Context()); !errors.Is(err, election.ErrSeated) {
			t.Errorf("campaigned while leading: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a.process.Inject(func(c etcdtest.Call) etcdtest.Fault {
			if c.Method == "Txn" {
				return etcdtest.Fault{Err: context.DeadlineExceeded}
			}
			return etcdtest.Fault{}
		})
		if err := seat.Resign(ctx, ""); err == nil {
			t.Fatal("resigned without etcd")
		}
		a.process.Inject(nil)
		again := a.mustWin(t)
		if again.Term() <= seat.Term() {
			t.Errorf("term %d after %d", again.Term(), seat.Term())
		}
		mustWrite(t, a, seat, false) // the key's value is the same as then
		mustWrite(t, a, again, true)
	})
}

func TestObserveTellsThatNobodyLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		a := join(t.Context(), t, etcd, "a")
		ctx, cancel := context.WithCancel(t.Context())
		told := make(chan string, 10)
		done := make(chan error, 1)
		go func() {
			done <- election.Observe(ctx, etcd.Process().Client(), key, nopLog, func(h election.Holder) {
				if h.Leads() {
					told <- h.Maintainer
				} else {
					told <- "nobody"
				}
			})
		}()
		want := func(s string) {
			t.Helper()
			if got := <-told; got != s {
				t.Errorf("told %q, want %q", got, s)
			}
		}
		want("nobody")
		seat := a.mustWin(t)
		want("a")
		if err := seat.Resign(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		want("nobody")
		a.mustWin(t)
		want("a")
		a.process.Kill()
		want("nobody")
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// The key was compacted away under a watch: the candidate lists again.
func TestCampaignSurvivesCompaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTrio(t)
		w.b.process.Pause()
		w.c.process.Kill()
		for range 10 {
			if _, err := w.etcd.Client().Put(t.Context(), "other", ""); err != nil {
				t.Fatal(err)
			}
		}
		r, err := w.etcd.Client().Delete(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.etcd.Client().Compact(t.Context(), r.Header.Revision); err != nil {
			t.Fatal(err)
		}
		w.etcd.Down()
		w.etcd.Up()
		w.b.process.Resume()
		if who, _, took := w.next(t); who != w.b || took > 5*time.Second {
			t.Errorf("%s after %v", who.name, took)
		}
		mustLose(t, w.seat, 5*time.Second)
	})
}

func TestConfigIsChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		s, err := leases.Grant(t.Context(), etcd.Client(), leases.Config{TTL: ttl, Clock: leases.Virtual()})
		if err != nil {
			t.Fatal(err)
		}
		good := election.Config{Client: etcd.Client(), Key: key, Session: s, Self: record.Leader{Maintainer: "a", Instance: "1"}}
		if _, err := election.New(good); err != nil {
			t.Error(err)
		}
		for name, spoil := range map[string]func(*election.Config){
			"no client":      func(c *election.Config) { c.Client = nil },
			"no session":     func(c *election.Config) { c.Session = nil },
			"no key":         func(c *election.Config) { c.Key = "" },
			"no instance":    func(c *election.Config) { c.Self.Instance = "" },
			"negative grace": func(c *election.Config) { c.Grace = -1 },
		} {
			bad := good
			spoil(&bad)
			if _, err := election.New(bad); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	})
}
