package election_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/election"
	"github.com/spanward/spanward/internal/etcdtest"
)

// event is one step of a schedule: something happens to candidate who, and then some time passes.
type event struct {
	what  string
	who   int
	after time.Duration
}

var happenings = []string{
	"nothing", "kill", "pause", "resume", "resign", "delete the key", "lose a txn", "fail a txn", "crash after a txn",
	"revoke", "restart etcd", "depose", "drain", "undrain",
}

func drawSchedule(t *rapid.T) []event {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event {
		return event{
			what: rapid.SampledFrom(happenings).Draw(t, "what"), who: rapid.IntRange(0, 2).Draw(t, "who"),
			after: rapid.SampledFrom([]time.Duration{0, 10 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 7 * time.Second}).Draw(t, "after"),
		}
	}), 1, 12).Draw(t, "schedule")
}

// Whatever happens, no write has an effect outside its term, terms do not interleave, and once it is over somebody leads.
func TestTermsNeverInterleave(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		schedule := drawSchedule(rt)
		var problem error
		synctest.Test(t, func(t *testing.T) { problem = play(t, schedule) })
		if problem != nil {
			rt.Fatal(problem)
		}
	})
}

// worker is a process that campaigns, writes while it leads, and starts over when its session is lost.
type worker struct {
	t    *testing.T
	etcd *etcdtest.Bubble

	mu     sync.Mutex
	me     *candidate
	seat   *election.Seat // the one that is held, or nil
	wrote  int
	resign context.CancelFunc
}

func play(t *testing.T, schedule []event) error {
	ctx, cancel := context.WithCancel(t.Context())
	etcd := etcdtest.StartBubble(t)
	var all sync.WaitGroup
	workers := make([]*worker, 3)
	for i := range workers {
		w := &worker{t: t, etcd: etcd}
		w.fresh(ctx, i, 0)
		workers[i] = w
		all.Go(func() { w.run(ctx, i) })
	}
	defer all.Wait()
	defer cancel()
	time.Sleep(time.Second)
	for _, e := range schedule {
		workers[e.who].suffer(ctx, e.what, workers)
		time.Sleep(e.after)
	}
	before := make([]int, 3)
	for i, w := range workers {
		w.suffer(ctx, "resume", nil)
		w.suffer(ctx, "undrain", nil)
		w.candidate().process.Inject(nil)
		before[i] = w.count()
	}
	time.Sleep(2 * (ttl + time.Second))
	if workers[0].count()+workers[1].count()+workers[2].count() <= before[0]+before[1]+before[2] {
		return errors.New("nobody leads in the end")
	}
	_, err := history(ctx, etcd.Client())
	return err
}

func (w *worker) candidate() *candidate {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.me
}

func (w *worker) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrote
}

// fresh starts the process anew, under the same name.
func (w *worker) fresh(ctx context.Context, i, n int) {
	c := &candidate{name: string(rune('a' + i)), process: w.etcd.Process()}
	for c.restart(ctx, fmt.Sprintf("%s-%d", c.name, n)) != nil {
		if ctx.Err() != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.me = c
}

func (w *worker) run(ctx context.Context, i int) {
	for n := 1; ctx.Err() == nil; n++ {
		w.live(ctx, w.candidate())
		if ctx.Err() == nil {
			time.Sleep(time.Second)
			w.fresh(ctx, i, n)
		}
	}
}

// live campaigns and leads until the session is over.
func (w *worker) live(ctx context.Context, me *candidate) {
	for ctx.Err() == nil && me.session.Err() == nil {
		seat, err := me.Campaign(ctx)
		if err != nil {
			time.Sleep(10 * time.Millisecond) // another call of this process may hold the seat
			continue
		}
		lead, resign := context.WithCancel(ctx)
		w.set(seat, resign)
		_ = election.Hold(lead, seat, func() string { return "b" }, func(ctx context.Context, _ int64) error {
			return w.work(ctx, me, seat)
		})
		w.set(nil, nil)
		resign()
	}
}

func (w *worker) set(s *election.Seat, resign context.CancelFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seat, w.resign = s, resign
}

// work writes without looking whether it still may: only etcd's comparison stands between it and the data.
func (w *worker) work(ctx context.Context, me *candidate, seat *election.Seat) error {
	for n := 0; ctx.Err() == nil; n++ {
		if ok, _ := me.write(context.WithoutCancel(ctx), seat, n); ok {
			w.mu.Lock()
			w.wrote++
			w.mu.Unlock()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return ctx.Err()
}

func (w *worker) suffer(ctx context.Context, what string, all []*worker) {
	me := w.candidate()
	switch what {
	case "kill":
		me.process.Kill()
	case "pause":
		me.process.Pause()
	case "resume":
		me.process.Resume()
	case "lose a txn":
		me.process.LoseTxn(1)
	case "fail a txn":
		me.process.FailTxn(1)
	case "crash after a txn":
		me.process.Inject(func(c etcdtest.Call) etcdtest.Fault { return etcdtest.Fault{CrashAfter: c.Method == "Txn"} })
	case "resign":
		w.mu.Lock()
		if w.resign != nil {
			w.resign()
		}
		w.mu.Unlock()
	case "delete the key":
		_, _ = w.etcd.Client().Delete(ctx, key)
	case "revoke":
		_, _ = w.etcd.Client().Revoke(ctx, me.session.ID())
	case "restart etcd":
		w.etcd.Down()
		w.etcd.Up()
	case "drain", "undrain":
		me.draining.Store(what == "drain")
	case "depose":
		w.depose(ctx, me, all)
	}
}

// depose goes against whoever leads, dead or alive.
func (w *worker) depose(ctx context.Context, me *candidate, all []*worker) {
	for i, other := range all {
		other.mu.Lock()
		seat := other.seat
		other.mu.Unlock()
		if seat == nil || other == w {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		for n := range 5 {
			won, err := me.Depose(ctx, election.Evidence{Term: seat.Term(), Instance: fmt.Sprintf("%c-%d", 'a'+i, n)})
			if err == nil {
				_, _ = me.write(ctx, won, 0)
				_ = won.Resign(ctx, "")
				return
			}
		}
	}
}
