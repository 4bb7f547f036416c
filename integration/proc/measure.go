package proc

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Seen is one change of a key, as a watch has told of it.
type Seen struct {
	Key      string
	Value    []byte
	Revision int64
	Deleted  bool
	// At is when it came.
	At time.Time
}

// Recorder keeps all changes under the cluster's prefix since it was made, with the moment at which each came. It may
// be used concurrently.
type Recorder struct {
	mu   sync.Mutex
	seen []Seen
	more chan struct{} // closed with the next change
	err  error
}

// Record begins to watch. It ends with the test.
func (c *Cluster) Record() *Recorder {
	c.tb.Helper()
	cl := c.Client(c.URLs)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	c.tb.Cleanup(func() { cancel(); wg.Wait() })
	r := &Recorder{more: make(chan struct{})}
	changes := cl.Watch(ctx, c.Layout().Root(), clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if first := <-changes; first.Err() != nil {
		c.tb.Fatal(first.Err())
	}
	wg.Go(func() {
		for resp := range changes {
			r.take(resp)
		}
	})
	return r
}

func (r *Recorder) take(resp clientv3.WatchResponse) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range resp.Events {
		r.seen = append(r.seen, Seen{
			Key: string(e.Kv.Key), Value: e.Kv.Value, Revision: e.Kv.ModRevision, Deleted: e.Type == clientv3.EventTypeDelete, At: now,
		})
	}
	r.err = resp.Err()
	close(r.more)
	r.more = make(chan struct{})
}

// Len is how many changes have come.
func (r *Recorder) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

// Since are the changes after the first n.
func (r *Recorder) Since(n int) []Seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen[n:])
}

// Await is the first change after the first n that matches, also if it has come already.
func (r *Recorder) Await(n int, within time.Duration, match func(Seen) bool) (Seen, error) {
	limit := time.NewTimer(within)
	defer limit.Stop()
	for {
		r.mu.Lock()
		fresh, more, err := r.seen[n:], r.more, r.err
		r.mu.Unlock()
		for _, s := range fresh {
			if match(s) {
				return s, nil
			}
		}
		if err != nil {
			return Seen{}, fmt.Errorf("watch: %w", err)
		}
		n += len(fresh)
		select {
		case <-more:
		case <-limit.C:
			return Seen{}, fmt.Errorf("not seen within %v", within)
		}
	}
}

// RawPuts measures single puts to the cluster's etcd outside of its keys, one after the other: what the machine gives
// right now, to which everything else has to be compared.
func (c *Cluster) RawPuts(cl *clientv3.Client, n int) []time.Duration {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out := make([]time.Duration, n)
	for i := range out {
		began := time.Now()
		if _, err := cl.Put(ctx, "raw", strconv.Itoa(i)); err != nil {
			c.tb.Fatal(err)
		}
		out[i] = time.Since(began)
	}
	return out
}

// Quantile of some measurements, 0 if there are none.
func Quantile(of []time.Duration, q float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// ticksPerSecond is the unit of processor time in /proc, on all architectures that matter.
const ticksPerSecond = 100

// CPU is the processor time that the process has used so far.
func (p *Process) CPU() time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid()))
	if err != nil {
		p.tb.Fatal(err)
	}
	// The name may contain anything, but ends with the last bracket; user and system time are the 14th and 15th field.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			p.tb.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// PeakMemory is the most memory that the process has had, in bytes.
func (p *Process) PeakMemory() int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		p.tb.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				p.tb.Fatal(err)
			}
			return kib << 10
		}
	}
	p.tb.Fatalf("/proc/%d/status does not tell", p.Pid())
	return 0
}
