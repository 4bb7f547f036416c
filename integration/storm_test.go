package integration_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/integration/proc"
	"github.com/spanward/spanward/internal/audit"
)

// The storm's size: SPANWARD_STORM is how long it blows, SPANWARD_STORM_DATA a file of Debian package records (the
// output of "apt-cache dumpavail"), each of which becomes a key. Without them it is short, over made-up keys.
const (
	stormEnv     = "SPANWARD_STORM"
	stormDataEnv = "SPANWARD_STORM_DATA"
	shortStorm   = 12 * time.Second
	madeUpKeys   = 3000
	killEvery    = time.Second
	// sleepsFor is longer than a session lasts.
	sleepsFor = 7 * time.Second
)

// Every second a leader or a dispatcher is killed, or stopped, or put to sleep for too long, while a live key space is
// mirrored and all kinds of operators are asked for at random. Afterwards every command that was accepted has ended once,
// source and destination are equal, no invariant was violated at any revision, and no key ever had two owners.
func TestStorm(t *testing.T) {
	blow := shortStorm
	if v := os.Getenv(stormEnv); v != "" {
		var err error
		if blow, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	records := corpus(t)
	c := cluster(t, proc.Options{}, 0)
	dirs := map[string]string{}
	for i := range 3 {
		name := fmt.Sprint("d", i+1)
		dirs[name] = filepath.Join(t.TempDir(), name)
		c.Dispatcher(name, "--data-dir", dirs[name])
	}
	ready(c, 3)
	m := &mirrored{c: c}
	from, to := m.start()
	_, spareTo := c.ExtraEtcd("spare")
	began := time.Now()
	names := m.fill(t, records)
	t.Logf("%d keys at the source after %v", len(names), time.Since(began).Round(time.Millisecond))

	began = time.Now()
	args := []string{"keyspace", "create", "copy", "--workload", "mirror", "--set", "source=" + from, "--set", "dest=" + to, "--wait", "--timeout", "120s"}
	for _, r := range eight(names) {
		args = append(args, "--range", r)
	}
	c.Do(args...)
	c.Do("keyspace", "create", "spare", "--workload", "mirror", "--set", "source="+from, "--set", "dest="+spareTo,
		"--range", "pkg/p:pkg/pm", "--range", "pkg/pm:pkg/q", "--wait", "--timeout", "120s")
	c.Do("keyspace", "create", "gated", "--workload", "gate", "--range", "pkg/a:pkg/d", "--range", "pkg/d:pkg/h",
		"--range", "pkg/h:pkg/m", "--wait", "--timeout", "120s")
	t.Logf("all spans run after %v", time.Since(began).Round(time.Millisecond))
	eager(c)
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.wg.Add(1)
	go m.churn(ctx, names)
	defer m.quiet()

	g := &gale{c: c, names: names, grounds: []ground{
		{"copy", false, "", ""}, {"spare", true, "pkg/p", "pkg/q"}, {"gated", true, "pkg/a", "pkg/m"},
	}}
	blowing, calm := context.WithCancel(context.Background())
	wait := g.blow(blowing)
	defer func() { calm(); wait() }()
	began = time.Now()
	struck := storm(c, blow, dirs)
	t.Logf("the storm was over after %v", time.Since(began).Round(time.Millisecond))
	calm()
	wait()
	lazy(c)
	began = time.Now()
	g.whole(t)
	t.Logf("everything is quiet after %v", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	m.equal(t)
	if a := c.Spanward("mirror", "diff", "spare"); a.Code != 0 {
		t.Errorf("spare: %s%s", a.Out, a.Err)
	}
	t.Logf("source and destinations are equal after %v", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	ended, refused := g.accounted(t)
	g.answeredAgain(t)
	r := c.Verdict()
	t.Logf("history, check and event logs took %v", time.Since(began).Round(time.Millisecond))
	r.Ranges = slices.DeleteFunc(r.Ranges, func(s audit.RangeStats) bool { return s.Keyspace != "copy" })
	t.Logf("%v; %d openings; longest time without an owner %v (%v)", struck, r.Openings, r.Longest().Gap, r.Longest().Range)
	t.Logf("by the scheduler itself: %v", ofTheScheduler(t, c))
	t.Logf("%d commands, %d of them repeated; ended: %v; refused: %v", len(g.asked), g.repeated(), ended, refused)
	if struck["maintainers killed"] == 0 || struck["dispatchers killed"] == 0 {
		t.Error("the storm has killed nobody")
	}
	for _, kind := range []string{"add", "remove", "move", "split", "merge"} {
		if blow > shortStorm && ended[kind+" done"] == 0 { // on a busy machine a short one does not get to all
			t.Errorf("no %s was done in all the storm", kind)
		}
	}
}

// corpus are the values of the keys, by key.
func corpus(t *testing.T) map[string]string {
	path := os.Getenv(stormDataEnv)
	records := map[string]string{}
	if path == "" {
		for i := range madeUpKeys {
			records[fmt.Sprintf("pkg/%c/%d", 'a'+i%26, i)] = strings.Repeat("made up ", 20)
		}
		return records
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var name string
	var record strings.Builder
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := in.Text()
		if line == "" {
			records["pkg/"+name] = record.String()
			record.Reset()
			continue
		}
		if rest, ok := strings.CutPrefix(line, "Package: "); ok {
			name = rest
		}
		record.WriteString(line + "\n")
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return records
}

// start starts source and destination.
func (m *mirrored) start() (from, to string) {
	_, from = m.c.ExtraEtcd("source")
	_, to = m.c.ExtraEtcd("dest")
	m.source, m.dest = m.c.Client(from), m.c.Client(to)
	m.stop = func() {}
	return from, to
}

// fill puts the records into the source, many at a time, and returns the keys in order.
func (m *mirrored) fill(t *testing.T, records map[string]string) []string {
	t.Helper()
	var names []string
	for k := range records {
		names = append(names, k)
	}
	slices.Sort(names)
	const batch = 100
	for i := 0; i < len(names); i += batch {
		var ops []clientv3.Op
		for _, k := range names[i:min(i+batch, len(names))] {
			ops = append(ops, clientv3.OpPut(k, records[k]))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		_, err := m.source.Txn(ctx).Then(ops...).Commit()
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// eight are ranges with about as many keys each.
func eight(names []string) []string {
	var out []string
	start := ""
	for i := 1; i < 8; i++ {
		end := names[i*len(names)/8]
		out = append(out, start+":"+end)
		start = end
	}
	return append(out, start+":")
}

// churn changes random keys, some together, and deletes and adds some.
func (m *mirrored) churn(ctx context.Context, names []string) {
	defer m.wg.Done()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		k := names[rand.IntN(len(names))]
		var ops []clientv3.Op
		switch i % 10 {
		case 0:
			ops = append(ops, clientv3.OpDelete(k))
		case 1:
			ops = append(ops, clientv3.OpPut(k+"/new", fmt.Sprint(i)))
		case 2, 3:
			ops = append(ops, clientv3.OpPut(k, fmt.Sprint("with its neighbour ", i)), clientv3.OpPut(k+"/neighbour", fmt.Sprint(i)))
		default:
			ops = append(ops, clientv3.OpPut(k, fmt.Sprint("changed ", i)))
		}
		if _, err := m.source.Txn(ctx).Then(ops...).Commit(); err == nil {
			m.writes++
		}
	}
}

// storm strikes the leader and the dispatchers in turn, one a second, and starts what it has ended again after a moment.
func storm(c *proc.Cluster, blow time.Duration, dirs map[string]string) map[string]int {
	s := &strikes{c: c, dirs: dirs, n: map[string]int{}, asleep: map[*proc.Process]time.Time{}}
	over := time.Now().Add(blow)
	for i := 0; time.Now().Before(over); i++ {
		leader, name := i%2 == 0, fmt.Sprint("d", i/2%3+1)
		var ended []string
		switch i % 22 { // the leader is at even numbers; a short storm does not get to its sleep, which costs 5 seconds
		case 10, 21:
			ended = append(s.end("killed", c.Leader()), s.end("killed", c.Process(name))...)
		case 7, 14:
			s.sleep(s.victim(leader, name))
		case 3, 8:
			ended = s.stop(s.victim(leader, name))
		default:
			ended = s.end("killed", s.victim(leader, name))
		}
		<-time.After(killEvery / 2)
		s.start(ended)
		s.wake(time.Now())
		<-time.After(killEvery / 2)
	}
	s.wake(time.Now().Add(sleepsFor))
	return s.n
}

// strikes are what the storm does to processes.
type strikes struct {
	c    *proc.Cluster
	dirs map[string]string
	// n counts them by what was done to whom.
	n      map[string]int
	asleep map[*proc.Process]time.Time
}

func (s *strikes) victim(leader bool, name string) *proc.Process {
	if leader {
		return s.c.Leader()
	}
	return s.c.Process(name)
}

func (s *strikes) count(what string, p *proc.Process) {
	role := "maintainers"
	if s.dirs[p.Name] != "" {
		role = "dispatchers"
	}
	s.n[role+" "+what]++
}

func (s *strikes) end(what string, p *proc.Process) []string {
	p.Kill()
	s.count(what, p)
	delete(s.asleep, p)
	return []string{p.Name}
}

// stop ends a process cleanly; one that sleeps cannot.
func (s *strikes) stop(p *proc.Process) []string {
	if !s.asleep[p].IsZero() {
		return s.end("killed", p)
	}
	p.Stop()
	s.count("stopped", p)
	return []string{p.Name}
}

// sleep stops a process for longer than its session lasts.
func (s *strikes) sleep(p *proc.Process) {
	p.Pause()
	s.count("asleep", p)
	s.asleep[p] = time.Now().Add(sleepsFor)
}

func (s *strikes) wake(now time.Time) {
	for p, until := range s.asleep {
		if now.After(until) {
			p.Continue()
			delete(s.asleep, p)
		}
	}
}

func (s *strikes) start(names []string) {
	for _, name := range names {
		if dir := s.dirs[name]; dir != "" {
			s.c.Dispatcher(name, "--data-dir", dir)
		} else {
			s.c.Maintainer(name)
		}
	}
}

// eager has the scheduler do by itself as much as it can.
func eager(c *proc.Cluster) {
	c.Do("config", "set", "balance.cooldown=1s", "balance.warm-up=100ms", "balance.tolerance=0.01", "balance.load-tolerance=0.05")
	c.Do("config", "set", "--keyspace", "copy", "split.load=10", "split.after=300ms", "merge.load=4", "merge.after=300ms",
		"reshape.min-age=500ms", "max-spans=40")
}

// lazy has it do nothing any more, so that there is an end.
func lazy(c *proc.Cluster) {
	for _, planner := range []string{"balance", "split", "merge"} {
		c.Do("scheduler", "pause", planner)
	}
}

// ofTheScheduler counts the operators that nobody has asked for.
func ofTheScheduler(t *testing.T, c *proc.Cluster) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, o := range past(t, c) {
		if o.By == "balance" || o.By == "load" {
			out[o.Type+" "+o.Outcome]++
		}
	}
	return out
}
