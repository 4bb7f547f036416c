package dispatcher_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/failpoint"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// A stream that breaks is followed by another one, whose first report has everything.
func TestReconnectSendsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		for _, id := range []span.ID{"a", "b"} {
			w.span(id)
			w.open("n1", id)
		}
		load, size := 2.5, 1000.0
		p.sink.reporter("a").Report(dispatcher.Status{Checkpoint: dispatcher.At(5), Load: &load, Size: &size, SplitKeys: []string{"a1", "a2"}})
		w.eventually("heard", func() bool { return w.leader.node("n1").spans["a"].GetCheckpoint() == 5 })
		for n, loss := range []func(){
			func() { w.leader.cut("n1") },
			w.lead,
		} {
			start := time.Now()
			loss()
			w.eventually("back", func() bool { return w.leader.node("n1").fulls == n+2 })
			if d := time.Since(start); d > 200*time.Millisecond {
				t.Errorf("took %v", d)
			}
			w.eventually("split keys follow", func() bool { return len(w.leader.node("n1").spans["a"].GetSplitKeys()) == 2 })
			a, b := w.leader.node("n1").spans["a"], w.leader.node("n1").spans["b"]
			if a.GetState() != sessionv1.SpanStatus_STATE_RUNNING || a.GetCheckpoint() != 5 || a.GetLoad() != load || a.GetSize() != size || a.GetToken() != w.record("a").Owner.Token {
				t.Errorf("a: %v", a)
			}
			if b.GetState() != sessionv1.SpanStatus_STATE_RUNNING || b.Checkpoint != nil {
				t.Errorf("b: %v", b)
			}
		}
	})
}

// positions is longer than the leader waits for one that is all there is to tell.
const positions = 2 * time.Second

// What an instance has to say does not become traffic by being said: a status that tells nothing new is not sent, a
// position alone once a second, and what somebody decides by at once.
func TestIdleSpansAreNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.span("a")
		w.open("n1", "a")
		load, size := 2.5, 100.0
		lag := int64(0)
		status := dispatcher.Status{Checkpoint: dispatcher.At(5), Load: &load, Size: &size, LagMS: &lag, SplitKeys: []string{"a1"}}
		say := func(ticks int, change func(n int, s *dispatcher.Status)) (told int) {
			before := len(w.leader.node("n1").reports)
			for n := range ticks {
				change(n, &status)
				p.sink.reporter("a").Report(status)
				time.Sleep(100 * time.Millisecond)
			}
			for _, r := range w.leader.node("n1").reports[before:] {
				told += len(r.GetSpans())
			}
			return told
		}
		say(20, func(int, *dispatcher.Status) {})
		same := func(_ int, s *dispatcher.Status) { // as somebody says it who does not remember what he has said
			load, size := 2.5, 100.0
			s.Load, s.Size, s.SplitKeys = &load, &size, []string{"a1"}
		}
		if n := say(600, same); n != 0 {
			t.Errorf("the same was told %d times", n)
		}
		if n := say(600, func(n int, s *dispatcher.Status) { lag := int64(n % 10 * 100); s.LagMS = &lag }); n != 0 {
			t.Errorf("a lag that comes and goes was told %d times", n)
		}
		if n := say(600, func(n int, s *dispatcher.Status) { s.Checkpoint = dispatcher.At(uint64(10 + n)) }); n < 55 || n > 62 {
			t.Errorf("a position that moves was told %d times in a minute", n)
		}
		w.eventually("the last position", func() bool { return w.leader.node("n1").spans["a"].GetCheckpoint() == 609 })
		if n := say(600, func(n int, s *dispatcher.Status) { lag := int64(n * 100); s.LagMS = &lag }); n < 10 || n > 40 {
			t.Errorf("a lag that grows to a minute was told %d times", n)
		}
		for name, change := range map[string]func(s *dispatcher.Status){
			"load":       func(s *dispatcher.Status) { x := 2.6; s.Load = &x },
			"no load":    func(s *dispatcher.Status) { s.Load = nil },
			"size":       func(s *dispatcher.Status) { x := 101.0; s.Size = &x },
			"split keys": func(s *dispatcher.Status) { s.SplitKeys = append(s.SplitKeys, "a2") },
			"error":      func(s *dispatcher.Status) { s.Error += "x" },
			"copied":     func(s *dispatcher.Status) { n := int64(7); s.Copied = &n },
			"copy total": func(s *dispatcher.Status) { n := int64(7); s.CopyTotal = &n },
			"lag":        func(s *dispatcher.Status) { s.LagMS = nil },
		} {
			if n := say(5, func(n int, s *dispatcher.Status) {
				if n == 0 {
					change(s)
				}
			}); n != 1 {
				t.Errorf("%s was told %d times", name, n)
			}
		}
		time.Sleep(positions)
		// The first position goes at once; the next one waits, and goes with the load. Then nothing is left to say.
		if n := say(25, func(n int, s *dispatcher.Status) {
			switch n {
			case 0, 1:
				s.Checkpoint = dispatcher.At(uint64(700 + n))
			case 2:
				x := 5.0
				s.Load = &x
			}
		}); n != 2 {
			t.Errorf("two positions and a load were told %d times", n)
		}
		time.Sleep(positions)
		w.leader.cut("n1")
		w.eventually("back", func() bool { return w.leader.node("n1").fulls == 2 })
		a := w.leader.node("n1").spans["a"]
		if a.GetSize() != 101 || a.GetCheckpoint() != 701 || a.GetError() != "x" {
			t.Errorf("%v", a)
		}
	})
}

// A leader that is not there yet is asked again, soon.
func TestRefusedStreamIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.leader.refuse = status.Error(codes.Unavailable, "not leading yet")
		p := w.start("n1")
		time.Sleep(10 * time.Second)
		w.leader.mu.Lock()
		w.leader.refuse = nil
		w.leader.mu.Unlock()
		start := time.Now()
		w.eventually("reported", func() bool { return w.leader.node("n1").fulls == 1 })
		if d := time.Since(start); d > 1100*time.Millisecond {
			t.Errorf("took %v", d)
		}
		if n := p.said("stream to the leader broke"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

// Each renewal declares anew how long the session may act.
func TestDeclaresHowLongItMayAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		before := len(w.leader.node("n1").reports)
		time.Sleep(20 * time.Second)
		reports := w.leader.node("n1").reports[before:]
		if len(reports) < 10 {
			t.Errorf("%d reports in four TTLs", len(reports))
		}
		for _, r := range reports {
			if ms := r.GetMayActForMs(); ms <= 4000 || ms > 4500 {
				t.Errorf("may act for %d ms", ms)
			}
		}
		p.sink.mu.Lock()
		defer p.sink.mu.Unlock()
		if p.sink.renewals < 10 {
			t.Errorf("the observer saw %d renewals", p.sink.renewals)
		}
	})
}

// A full report holds for every record that the session has written up to its revision, also in the middle of things.
func TestFullReportsAreTrueAtTheirRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1", func(c *dispatcher.Config) { c.Failpoints = slowCommits() })
		var spans []operator.Span
		for i := range 300 {
			spans = append(spans, w.span(span.ID(fmt.Sprintf("s%04d", i))))
		}
		for n := 1; p.Stats().Running < 300; n++ {
			if n > 100 {
				t.Fatalf("%+v", p.Stats())
			}
			from := 30 * (n - 1) % 300
			w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, spans[from:from+30]...)
			time.Sleep(7 * time.Millisecond)
			w.leader.cut("n1")
			w.eventually("back", func() bool { return w.leader.node("n1").fulls == n+1 })
		}
		owned := map[string]int64{} // the revision at which each span became the node's
		for _, kv := range w.getAll(w.layout.Spans("ks")) {
			p, err := w.layout.Parse(string(kv.Key))
			if err != nil {
				t.Fatal(err)
			}
			owned[string(p.Span)] = kv.ModRevision
		}
		middle := 0
		for _, r := range w.leader.node("n1").reports {
			if !r.GetFull() {
				continue
			}
			if n := len(r.GetSpans()); n > 0 && n < 300 {
				middle++
			}
			known := map[string]bool{}
			for _, s := range r.GetSpans() {
				known[s.GetSpan()] = s.GetState() != sessionv1.SpanStatus_STATE_GONE
			}
			for id, rev := range owned {
				if rev <= r.GetRevision() && !known[id] {
					t.Fatalf("%s was committed at %d and is missing in the full report of %d", id, rev, r.GetRevision())
				}
			}
		}
		if middle < 5 {
			t.Errorf("only %d reports were made in the middle", middle)
		}
	})
}

// slowCommits lets other things happen around every commit.
func slowCommits() *failpoint.Set {
	return failpoint.NewHook(func(_ context.Context, name string) error {
		if strings.HasPrefix(name, "dispatcher/placement/commit") {
			time.Sleep(time.Millisecond)
		}
		return nil
	})
}

// Reports of checkpoints are few, however many an instance makes.
func TestStatusesAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.ready("n1")
		w.span("a")
		w.open("n1", "a")
		r := p.sink.reporter("a")
		before := len(w.leader.node("n1").reports)
		for i := range 2000 {
			r.Report(dispatcher.Status{Checkpoint: record.At(uint64(i))})
			time.Sleep(time.Millisecond)
		}
		w.eventually("newest", func() bool { return w.leader.node("n1").spans["a"].GetCheckpoint() == 1999 })
		if n := len(w.leader.node("n1").reports) - before; n > 25 {
			t.Errorf("%d reports in 2 s", n)
		}
	})
}

// Every try to reach a leader has a context of its own, which ends with the try: they would gather for as long as nobody
// can be reached.
func TestTriesLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mu sync.Mutex
		var tries []context.Context
		refuse := func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ grpc.Streamer, _ ...grpc.CallOption) (grpc.ClientStream, error) {
			mu.Lock()
			defer mu.Unlock()
			tries = append(tries, ctx)
			return nil, status.Error(codes.Unavailable, "nobody is there")
		}
		w.start("n1", func(c *dispatcher.Config) {
			c.Dial = func(address string) (*grpc.ClientConn, error) {
				return grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStreamInterceptor(refuse))
			}
		})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		for n, ctx := range tries {
			if ctx.Err() == nil {
				t.Fatalf("try %d of %d has not ended", n, len(tries))
			}
		}
		if len(tries) < 5 {
			t.Errorf("%d tries", len(tries))
		}
	})
}
