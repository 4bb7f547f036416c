package maintainer

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
)

// stored are all progress entries of a keyspace.
func (w *world) stored(keyspace string) record.Progress {
	w.t.Helper()
	r, err := w.etcd.Client().Get(context.Background(), w.layout.ProgressOf(keyspace), clientv3.WithPrefix())
	if err != nil {
		w.t.Fatal(err)
	}
	out := record.Progress{}
	for _, kv := range r.Kvs {
		p, err := record.DecodeProgress(kv.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		for id, at := range p {
			out[id] = at
		}
	}
	return out
}

func TestProgressIsStoredOnceAndNeverGoesDown(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.settled(20, "n1", "n2")
		for i, r := range refs {
			w.owner(r).checkpoint(r, uint64(100+i))
		}
		time.Sleep(11 * time.Second)
		for i, r := range refs {
			if got := w.stored("ks")[r.ID]; got != uint64(100+i) {
				t.Errorf("%s: %d", r.ID, got)
			}
		}
		txns := m.Stats().Txns
		time.Sleep(time.Minute)
		if again := m.Stats().Txns; again != txns {
			t.Errorf("%d transactions while nothing moved", again-txns)
		}
		w.owner(refs[0]).checkpoint(refs[0], 50)
		w.other(refs[1]).checkpoint(refs[1], 5000) // not the owner
		time.Sleep(11 * time.Second)
		if got := w.stored("ks"); got[refs[0].ID] != 100 || got[refs[1].ID] != 101 {
			t.Errorf("an older report, or a stranger's, counted: %v", got)
		}
		if again := m.Stats().Txns; again != txns {
			t.Errorf("%d transactions for reports that say nothing new", again-txns)
		}
	})
}

func (w *world) other(r operator.Ref) *node {
	w.t.Helper()
	for _, n := range w.nodes {
		if n != w.owner(r) {
			return n
		}
	}
	return nil
}

func TestASpanOpensWhereItGot(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(2, "n1", "n2")
		w.owner(refs[0]).checkpoint(refs[0], 77)
		time.Sleep(11 * time.Second)
		n := w.owner(refs[0])
		n.kill()
		w.owned("ks", 2, time.Minute)
		if first := n.openings[refs[0]][0].GetMembers()[0]; first.Checkpoint != nil {
			t.Errorf("the first opening was at %d", first.GetCheckpoint())
		}
		asks := w.owner(refs[0]).openings[refs[0]]
		if last := asks[len(asks)-1].GetMembers()[0]; last.Checkpoint == nil || last.GetCheckpoint() != 77 {
			t.Errorf("opened at %v", last)
		}
	})
}

// Positions are taken when nobody is about to publish a higher one: an opening waits for the answer of the write.
func TestAnOpeningWaitsForTheProgressWrite(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.settled(1, "n1")
		n := w.nodes[0]
		hold := make(chan struct{})
		release := sync.OnceFunc(func() { close(hold) })
		defer release()
		m.at(func(name string) error {
			if name == "maintainer/any/progress/after" {
				<-hold
			}
			return nil
		})
		n.checkpoint(refs[0], 9)
		time.Sleep(11 * time.Second)
		if got := w.stored("ks")[refs[0].ID]; got != 9 {
			t.Fatalf("stored %d", got)
		}
		n.mu.Lock()
		delete(n.running, refs[0])
		n.mu.Unlock()
		asked := len(w.openings(refs[0]))
		n.say(n.full())
		time.Sleep(2 * time.Second)
		if again := len(w.openings(refs[0])); again != asked {
			t.Fatal("asked to open while a write of its position is outstanding")
		}
		release()
		w.eventually("asked to open", time.Second, func() string {
			asks := w.openings(refs[0])
			if len(asks) == asked {
				return "not yet"
			}
			if at := asks[asked].GetMembers()[0].GetCheckpoint(); at != 9 {
				return fmt.Sprintf("at %d", at)
			}
			return ""
		})
	})
}

func TestProgressOfRemovedSpansGoes(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(600, "n1")
		for _, r := range refs {
			w.nodes[0].checkpoint(r, 1)
		}
		time.Sleep(11 * time.Second)
		if _, err := w.etcd.Client().Delete(context.Background(), w.layout.Span("ks", refs[0].ID)); err != nil {
			t.Fatal(err)
		}
		for _, r := range refs[1:] {
			w.nodes[0].checkpoint(r, 2)
		}
		time.Sleep(11 * time.Second)
		got := w.stored("ks")
		if _, ok := got[refs[0].ID]; ok || len(got) != 599 {
			t.Errorf("%d entries, that of the removed span: %v", len(got), ok)
		}
	})
}

// The position of an opening that was asked for is below what its owner says later: that must not be published.
func TestNoReportCountsWhileAnOpeningIsAsked(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(1, "n1")
		n := w.nodes[0]
		n.mu.Lock()
		delete(n.running, refs[0])
		n.answer = func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_UNSPECIFIED }
		n.mu.Unlock()
		asked := len(w.openings(refs[0]))
		n.say(n.full())
		w.eventually("asked to open again", time.Second, func() string {
			if len(w.openings(refs[0])) == asked {
				return "not yet"
			}
			return ""
		})
		n.checkpoint(refs[0], 99)
		time.Sleep(11 * time.Second)
		if got, ok := w.stored("ks")[refs[0].ID]; ok {
			t.Errorf("published %d", got)
		}
	})
}
