package view_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

func header(revision int64) *pb.ResponseHeader { return &pb.ResponseHeader{Revision: revision} }

func TestTheEndOfASessionIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		c := etcd.Client()
		v := start(t, etcd.Process().Client())
		await(t, v, 1)
		listed, ok := v.SeenVanish(99)
		if ok || listed.SeenAt == 0 {
			t.Fatalf("a session that nobody has seen: %+v", listed)
		}
		l, err := c.Grant(context.Background(), 60)
		must(t, err)
		session := write(t, c, nodeChange("n1", l.ID, 0))
		write(t, c, nodeChange("n1", l.ID, record.EndedClean))
		time.Sleep(10 * time.Second)
		_, err = c.Revoke(context.Background(), l.ID)
		must(t, err)
		time.Sleep(time.Second)
		gone, ok := v.SeenVanish(session)
		if !ok || gone.Ended != record.EndedClean || gone.Node.Name != "n1" || gone.SeenAt-listed.SeenAt < 10*time.Second {
			t.Errorf("%+v, %v", gone, ok)
		}
		time.Sleep(14 * time.Second)
		if _, ok := v.SeenVanish(session); !ok {
			t.Error("forgotten before three TTLs")
		}
		time.Sleep(time.Hour)
		for i := range 3 { // forgetting happens when something else is to be remembered
			name := fmt.Sprint("m", i)
			write(t, c, nodeChange(name, 0, 0))
			write(t, c, view.Change{Key: layout.Node(name), Deleted: true})
		}
		time.Sleep(time.Second)
		late, ok := v.SeenVanish(session)
		if ok || late.SeenAt != listed.SeenAt {
			t.Errorf("after an hour: %+v, %v; listed at %v", late, ok, listed.SeenAt)
		}
	})
}

func TestSubscribersGetWhatGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		c := etcd.Client()
		v := start(t, etcd.Process().Client())
		sub := v.Subscribe()
		await(t, v, 1)
		if d := <-sub.C(); !d.Reset {
			t.Error("the first set is no reset")
		}
		refs := []operator.Ref{{Keyspace: "a", ID: "s1"}, {Keyspace: "a", ID: "s2"}}
		write(t, c, view.Change{Key: layout.Span("a", "s1"), Value: spanRecord("", "b")})
		write(t, c, view.Change{Key: layout.Span("a", "s2"), Value: spanRecord("b", "")})
		write(t, c, nodeChange("n1", 0, 0))
		write(t, c, view.Change{Key: layout.Node("n1"), Deleted: true})
		r := write(t, c, view.Change{Key: layout.Operator("a", "s1"), Value: record.EncodeClaim(record.Claim{
			Stage: record.StageOpening, Node: "n1", Session: 5,
		})})
		await(t, v, r)
		d := <-sub.C()
		if d.Reset || d.Revision != r || len(d.Spans) != 2 || !d.Spans[refs[0]] || !d.Spans[refs[1]] || !d.Nodes["n1"] || len(d.Gone) != 1 {
			t.Errorf("%+v", d)
		}
		select {
		case d := <-sub.C():
			t.Errorf("and again %+v", d)
		default:
		}
		late := v.Subscribe()
		if d := <-late.C(); !d.Reset {
			t.Error("who comes late is not told to look at everything")
		}
		sub.Close()
		late.Close()
		await(t, v, write(t, c, nodeChange("n2", 0, 0)))
		select {
		case d := <-sub.C():
			t.Errorf("a closed subscription got %+v", d)
		default:
		}
	})
}

// A subscriber that sleeps through a great deal is told to look at everything, not handed a list without end.
func TestDirtyIsBounded(t *testing.T) {
	s := view.NewState(layout)
	sum := s.Apply(2, nil)
	for i := range 11 {
		var changes []view.Change
		for k := range 10_000 {
			changes = append(changes, view.Change{Key: layout.Span("a", span.ID(fmt.Sprintf("%d.%d", i, k))), Deleted: false, Value: spanRecord("a", "b"), Mod: 3})
		}
		view.Merge(sum, s.Apply(int64(3+i), changes))
	}
	if !sum.Reset || len(sum.Spans) != 0 || sum.Revision != 13 {
		t.Errorf("reset %v with %d spans at %d", sum.Reset, len(sum.Spans), sum.Revision)
	}
}

// Revisions that come in fragments, because they were written while the view was looking elsewhere, are still seen whole.
func TestFragmentsAreJoined(t *testing.T) {
	etcd := etcdtest.Start(t)
	c, other := etcd.Client(t), etcd.Client(t)
	const rounds, spans, size = 6, 100, 12_000
	reason := string(make([]byte, size))
	var newest int64
	round := func(n int) {
		var changes []view.Change
		for i := range spans {
			changes = append(changes, view.Change{Key: layout.Span("a", span.ID(fmt.Sprint("s", i))), Value: record.EncodeSpan(record.Span{
				Range:     span.Range{Start: fmt.Sprintf("%03d", i), End: fmt.Sprintf("%03d", i+1)},
				CreatedAt: time.Unix(int64(n), 0),
				Intent:    &record.Intent{Operator: "1-1", Kind: record.KindMove, By: record.ByUser, Reason: reason},
			})})
		}
		newest = write(t, other, changes...)
	}
	round(0)
	c.KV = &lateList{KV: c.KV, meanwhile: func() {
		for n := range rounds {
			round(n + 1)
		}
	}}
	v, err := view.New(view.Config{Client: c, Layout: layout})
	must(t, err)
	sub := v.Subscribe()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	for seen := int64(0); seen < rounds; {
		select {
		case <-sub.C():
		case <-ctx.Done():
			t.Fatalf("stopped at %d", seen)
		}
		v.Read(func(s *view.State) {
			rounds := map[int64]int{}
			for sp := range s.Spans("a") {
				seen = sp.CreatedAt.Unix()
				rounds[seen]++
			}
			if len(rounds) != 1 || rounds[seen] != spans {
				t.Errorf("a revision is there by halves: %v", rounds)
			}
		})
	}
	if r := v.Revision(); r != newest || v.Stats().Lists != 1 {
		t.Errorf("at %d of %d after %+v", r, newest, v.Stats())
	}
	cancel()
	<-done
}

func TestLookupDoesNotAllocate(t *testing.T) {
	s := bigState(1000)
	key := "000500x"
	if n := testing.AllocsPerRun(100, func() { _ = s.Lookup("a", key) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func bigChanges(n int) []view.Change {
	changes := make([]view.Change, n)
	for i := range changes {
		r := span.Range{Start: fmt.Sprintf("%06d", i), End: fmt.Sprintf("%06d", i+1)}
		if i == n-1 {
			r.End = ""
		}
		changes[i] = view.Change{
			Key: layout.Span("a", span.ID(fmt.Sprintf("812-%d.0", i))), Create: 2, Mod: 2,
			Value: record.EncodeSpan(record.Span{
				Range: r, Owner: record.Owner{Node: fmt.Sprint("n", i%10), Session: int64(i%10 + 1), Token: 7},
				Checkpoint: record.At(uint64(i)), LastNode: "n1", CreatedAt: time.Unix(1, 0),
			}),
		}
	}
	return changes
}

func bigState(n int) *view.State {
	s := view.NewState(layout)
	s.Load(2, bigChanges(n))
	return s
}

func BenchmarkLookup(b *testing.B) {
	s := bigState(100_000)
	keys := make([]string, 1024)
	for i := range keys {
		keys[i] = fmt.Sprintf("%06d", i*97%100_000)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if s.Lookup("a", keys[i%len(keys)]) == nil {
			b.Fatal("not found")
		}
	}
}

func BenchmarkLoad100k(b *testing.B) {
	changes := bigChanges(100_000)
	b.ReportAllocs()
	for b.Loop() {
		s := view.NewState(layout)
		s.Load(2, changes)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100_000, "µs/record")
}

// BenchmarkList100k is how long a maintainer that starts takes until it may act.
func BenchmarkList100k(b *testing.B) {
	etcd := etcdtest.Start(b)
	c := etcd.Client(b)
	var newest int64
	for changes := bigChanges(100_000); len(changes) > 0; {
		n := min(128, len(changes))
		newest = write(b, c, changes[:n]...)
		changes = changes[n:]
	}
	for b.Loop() {
		v, err := view.New(view.Config{Client: c, Layout: layout})
		must(b, err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- v.Run(ctx) }()
		must(b, v.Wait(ctx, newest))
		cancel()
		<-done
	}
}

var _ clientv3.KV = (*lateList)(nil)
