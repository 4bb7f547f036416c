package integration_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/integration/proc"
	"github.com/spanward/spanward/workload/events"
)

// change is one change of a span's owner, as the event logs of both have it: the old one closes, the new one is found and
// asked, and opens.
type change struct {
	span            string
	close, ask, own time.Duration
	// tries is how many openings it took.
	tries int
}

// gap is how long nobody owned the span: closing is the old owner's.
func (c change) gap() time.Duration { return c.ask + c.own }

func (c change) String() string {
	return fmt.Sprintf("%s: closed in %v, asked for %v later, opened in %v, %d tries", c.span, c.close, c.ask, c.own, c.tries)
}

// changes are those of all spans, from what all dispatchers have written down on one clock.
func changes(t *testing.T, c *proc.Cluster) []change {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.Events, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	spans := map[string][]events.Line{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			var l events.Line
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			id := l.Keyspace + "/" + string(l.Span)
			spans[id] = append(spans[id], l)
		}
	}
	var out []change
	for id, lines := range spans {
		slices.SortFunc(lines, func(a, b events.Line) int { return cmp.Compare(a.BoottimeNS, b.BoottimeNS) })
		out = append(out, changesOf(id, lines)...)
	}
	return out
}

// changesOf are those of one span, whose lines are in order.
func changesOf(id string, lines []events.Line) []change {
	var out []change
	var now change
	var closing, closed, opening int64
	for _, l := range lines {
		switch l.Event {
		case events.CloseStart:
			closing = l.BoottimeNS
		case events.Closed, events.Aborted:
			closed = l.BoottimeNS
			now = change{span: id, close: time.Duration(closed - closing)}
		case events.OpenStart:
			opening = l.BoottimeNS
			now.tries++
		case events.Opened:
			if closed > 0 {
				now.ask, now.own = time.Duration(opening-closed), time.Duration(l.BoottimeNS-opening)
				out = append(out, now)
			}
		}
	}
	return out
}

// slowest measures, until the test stops it, how long a single put takes at its worst: what etcd and the machine give while
// others use them.
func slowest(t *testing.T, c *proc.Cluster) (stop func() time.Duration) {
	t.Helper()
	cl := c.Client(c.URLs)
	ctx, cancel := context.WithCancel(context.Background())
	var worst time.Duration
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			began := time.Now()
			if _, err := cl.Put(ctx, "raw", ""); err == nil {
				worst = max(worst, time.Since(began))
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return func() time.Duration { cancel(); wg.Wait(); return worst }
}

// lags watches both sides of a mirror until the test stops it, and gives how much later than at the source a change was
// at the destination, at its worst, and how many changes that is of.
func lags(t *testing.T, m *mirrored) (stop func() (time.Duration, int)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var wg sync.WaitGroup
	first := map[string]time.Time{} // of a change that was seen on one side
	var worst time.Duration
	n := 0
	watch := func(cl *clientv3.Client, side int) {
		ch := cl.Watch(ctx, "key/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
		<-ch
		wg.Go(func() {
			for r := range ch {
				now := time.Now()
				mu.Lock()
				for _, e := range r.Events {
					if e.Type != clientv3.EventTypePut {
						continue // a delete has no name of its own
					}
					id := string(e.Kv.Key) + "=" + string(e.Kv.Value)
					at, seen := first[id]
					switch {
					case !seen:
						first[id] = now
					default:
						// The two watches race, and the destination's may win.
						worst, n = max(worst, now.Sub(at)*time.Duration(side)), n+1
						delete(first, id)
					}
				}
				mu.Unlock()
			}
		})
	}
	watch(m.dest, 1)
	watch(m.source, 0)
	t.Cleanup(func() { cancel(); wg.Wait() })
	return func() (time.Duration, int) {
		cancel()
		wg.Wait()
		return worst, n
	}
}
